/**
 * A unit is over: completed, failed, or failed for now. Owns the routes (which edges are taken), the retry policy, the
 * joining of `forEach` items, and what an unhandled failure or a rejection does to the run.
 */
import type { StepError, Warning } from '../errors.ts'
import type { Route } from '../event.ts'
import { itemOutputs } from '../evolve.ts'
import type { Edge, GraphNode } from '../graph.ts'
import type { Json } from '../json.ts'
import { retryDelayMs } from '../retry.ts'
import { nodeOf, stepOf } from '../routing.ts'
import { holdsRoute, parseKey, type StepState, type Unit } from '../run.ts'
import { type Draft, emit, offload, type Settling, StepFault, whileSettling } from './draft.ts'
import { conditionOf, describeCondition, evaluated, warning } from './scope.ts'

/** How long attempts and children may take to report while the run stops (R11). */
export const STOP_GRACE_MS = 10_000

export interface Performed {
  readonly startedAt?: number
  readonly worker?: string
}

export interface Completion extends Performed {
  readonly output: Json
  readonly label?: string
  readonly actor?: string
  readonly messageId?: string
  readonly warnings?: readonly Warning[]
}

/** How a step ended, for its edges. */
export type Outcome =
  | { readonly kind: 'completed'; readonly label: string | undefined; readonly output: Json }
  | { readonly kind: 'failed'; readonly error: StepError | null }
  | { readonly kind: 'skipped' }

const settlingOf = (node: GraphNode, outcome: Outcome): Settling => ({
  id: node.id,
  status: outcome.kind,
  output: outcome.kind === 'completed' ? outcome.output : null,
  error: outcome.kind === 'failed' ? outcome.error : null,
})

function matches(edge: Edge, node: GraphNode, outcome: Outcome): boolean {
  if (edge.on.includes('always')) return true
  switch (outcome.kind) {
    case 'skipped':
      return edge.on.includes('skipped')
    case 'failed':
      return edge.on.includes('failure') || (node.onError === 'continue' && edge.on.includes('success'))
    case 'completed': {
      const { label } = outcome
      if (label !== undefined && edge.on.includes(label)) return true
      return edge.on.includes('success') && isSuccess(node, label)
    }
  }
}

/** Types without labels always mean success; an unknown type completes, so its success edges are taken too. */
const isSuccess = (node: GraphNode, label: string | undefined): boolean =>
  node.labels.length === 0 || (label !== undefined && node.success.includes(label))

interface Routing {
  readonly route: Route
  /** Conditions that were looked at and not taken, for `no_path_taken`. */
  readonly refused: readonly Edge[]
}

/** Which outgoing edges a settled node takes. */
export const routeOf = (
  draft: Draft,
  node: GraphNode,
  outcome: Outcome,
  edges: readonly Edge[] = node.outgoing,
): Routing => whileSettling(draft, settlingOf(node, outcome), () => chooseEdges(draft, node, outcome, edges))

function chooseEdges(draft: Draft, node: GraphNode, outcome: Outcome, edges: readonly Edge[]): Routing {
  const taken: string[] = []
  const failed: { to: string; error: StepError }[] = []
  const refused: Edge[] = []
  let conditionalTaken = false
  for (const edge of edges) {
    if (edge.otherwise || !matches(edge, node, outcome)) continue
    if (edge.when === null) {
      taken.push(edge.to)
      continue
    }
    try {
      if (conditionOf(draft, edge.when, { pointer: `/nodes/${edge.to}/needs/${edge.from}/when` })) {
        taken.push(edge.to)
        conditionalTaken = true
      } else refused.push(edge)
    } catch (error) {
      if (!(error instanceof StepFault)) throw error
      failed.push({ to: edge.to, error: error.error })
    }
  }
  for (const edge of edges) {
    if (!edge.otherwise || !matches(edge, node, outcome)) continue
    if (conditionalTaken) refused.push(edge)
    else taken.push(edge.to)
  }
  return { route: failed.length > 0 ? { taken, failed } : { taken }, refused }
}

/** An attempt, or the engine itself, has the unit's output. */
export function complete(draft: Draft, unit: Unit, completion: Completion): void {
  const { id, index } = parseKey(unit.key)
  const node = nodeOf(draft.state.graph, id)
  const output = offload(draft, completion.output)
  const base = { ...completion, output, key: unit.key, round: unit.round, attempt: unit.attempt }
  if (index !== null) {
    emit(draft, { ...base, type: 'step.completed' })
    joinItems(draft, stepOf(draft.state, id), node)
    return
  }
  if (
    node.repeat &&
    draft.state.phase.kind !== 'stopping' &&
    repeats(draft, unit, node, { ...completion, output })
  )
    return
  if (holdsRoute(draft.state, id)) {
    emit(draft, { ...base, type: 'step.completed' })
    return
  }
  const { route, warnings } = routeCompleted(draft, node, completion.label, output)
  const all = [...(completion.warnings ?? []), ...warnings]
  emit(draft, { ...base, type: 'step.completed', route, ...(all.length > 0 ? { warnings: all } : {}) })
  stopIfRejected(draft, node, completion.label, route)
}

function routeCompleted(
  draft: Draft,
  node: GraphNode,
  label: string | undefined,
  output: Json,
): { route: Route; warnings: Warning[] } {
  const outcome: Outcome = { kind: 'completed', label, output }
  const { route, refused } = routeOf(draft, node, outcome)
  const none = route.taken.length === 0 && !route.failed
  if (!none || node.outgoing.length === 0 || mayReject(node, label)) return { route, warnings: [] }
  const conditions = whileSettling(draft, settlingOf(node, outcome), () =>
    refused.map((edge) => ({
      to: edge.to,
      ...(edge.when ? describeCondition(draft, edge.when, { pointer: '' }) : { when: 'else' }),
    })),
  )
  const because = label === undefined ? '' : ` with \`${label}\``
  const message = `Step \`${node.id}\` completed${because}, but none of its edges was taken: what follows it is skipped.`
  return {
    route,
    warnings: [warning('no_path_taken', message, node.id, { label: label ?? null, conditions })],
  }
}

/** A person's no, or nobody's answer, must not look like success. */
const mayReject = (node: GraphNode, label: string | undefined): boolean =>
  (node.kind === 'approval' || node.kind === 'wait') && !isSuccess(node, label)

function stopIfRejected(draft: Draft, node: GraphNode, label: string | undefined, route: Route): void {
  if (!mayReject(node, label) || route.taken.length > 0 || route.failed) return
  const what = label === 'timeout' ? 'got no answer in time' : `was answered with \`${label}\``
  stop(draft, 'failed', {
    error: {
      code: 'rejected',
      message: `Step \`${node.id}\` ${what}, and no edge takes that outcome. Add a node with \`needs: { ${node.id}: ${label} }\` to handle it.`,
      retryable: false,
      details: { step: node.id, label: label ?? null },
    },
  })
}

/** Whether another round of a `repeat` begins. Throws the step's fault when the rounds are used up. */
function repeats(draft: Draft, unit: Unit, node: GraphNode, completion: Completion): boolean {
  const { repeat } = node
  const { output, label, actor, messageId } = completion
  if (!repeat) return false
  try {
    if (repeat.until) {
      const { until } = repeat
      const settled = settlingOf(node, { kind: 'completed', label: undefined, output })
      const place = { key: unit.key, pointer: `/nodes/${node.id}/repeat/until` }
      if (whileSettling(draft, settled, () => conditionOf(draft, until, place))) return false
    }
    if (unit.round < repeat.maxIterations) {
      emit(draft, {
        type: 'step.repeated',
        key: unit.key,
        round: unit.round,
        output,
        nextAt: draft.now + repeat.delayMs,
        ...(label === undefined ? {} : { label }),
        ...(actor === undefined ? {} : { actor }),
        ...(messageId === undefined ? {} : { messageId }),
      })
      return true
    }
    if (!repeat.until) return false
    throw new StepFault({
      code: 'repeat_exhausted',
      message: `After ${unit.round} rounds \`${repeat.until.source}\` had never become true. Raise \`repeat.maxIterations\`, or handle it with an edge on \`failure\`.`,
      retryable: false,
      pointer: `/nodes/${node.id}/repeat`,
    })
  } catch (fault) {
    if (!(fault instanceof StepFault)) throw fault
    fail(draft, unit, fault.error, {})
    return true
  }
}

/** An attempt failed: another one follows, or the step has failed for good. */
export function failAttempt(draft: Draft, unit: Unit, error: StepError, performed: Performed): void {
  const { id } = parseKey(unit.key)
  const node = nodeOf(draft.state.graph, id)
  if (draft.state.phase.kind === 'stopping') {
    endWhileStopping(draft, unit, error, performed)
    return
  }
  const lost = error.code === 'worker_lost'
  if (node.effect === 'irreversible' && (lost || SAYS_NOTHING.has(error.code))) {
    fail(draft, unit, unknownOutcome(node, error), performed)
    return
  }
  if (lost && unit.losses === 0) {
    emit(draft, { ...performed, type: 'attempt.failed', ...attemptOf(unit), error, retryAt: draft.now })
    return
  }
  const failures = unit.attempt - unit.attemptsBefore
  if (lost || !error.retryable || failures >= node.retry.attempts) {
    fail(draft, unit, error, performed)
    return
  }
  const name = `${draft.state.id}/${unit.key}/${unit.round}/${unit.attempt}`
  const retryAt = draft.now + retryDelayMs(node.retry, failures, error, name)
  emit(draft, { ...performed, type: 'attempt.failed', ...attemptOf(unit), error, retryAt })
}

/** Errors after which nobody knows whether the act happened. */
const SAYS_NOTHING: ReadonlySet<string> = new Set(['timeout', 'outcome_unknown', 'node_failed'])

const attemptOf = (unit: Unit) => ({ key: unit.key, round: unit.round, attempt: unit.attempt })

const unknownOutcome = (node: GraphNode, error: StepError): StepError => ({
  code: 'outcome_unknown',
  message: `An attempt of \`${node.id}\` (${node.type}) ended without an answer (${error.code}). What it does cannot be undone, so it is not repeated by itself: look whether it happened, then say done or not done.`,
  retryable: false,
  details: { cause: error.code, message: error.message },
})

/** While the run stops, an attempt that was told to end has ended; a real failure is recorded as one. */
function endWhileStopping(draft: Draft, unit: Unit, error: StepError, performed: Performed): void {
  if (error.retryable || error.code === 'aborted') emit(draft, { type: 'step.cancelled', ...attemptOf(unit) })
  else emit(draft, { ...performed, type: 'step.failed', ...attemptOf(unit), error, handled: false })
}

/** The unit failed for good. */
export function fail(draft: Draft, unit: Unit, error: StepError, performed: Performed): void {
  const { id, index } = parseKey(unit.key)
  const { state } = draft
  const node = nodeOf(state.graph, id)
  const base = { ...performed, type: 'step.failed' as const, ...attemptOf(unit), error }
  if (index !== null) {
    emit(draft, { ...base, handled: false })
    joinItems(draft, stepOf(state, id), node)
    return
  }
  const { handled, route } = failureRoute(draft, node, error)
  const routed = handled && !holdsRoute(state, id) ? { route } : {}
  emit(draft, { ...base, handled, ...routed })
  if (!handled) stopForFailure(draft, node, error)
}

function failureRoute(draft: Draft, node: GraphNode, error: StepError): { handled: boolean; route: Route } {
  const { route } = routeOf(draft, node, { kind: 'failed', error })
  const byEdge = node.outgoing.some(
    (edge) =>
      edge.on.includes('failure') &&
      (route.taken.includes(edge.to) || route.failed?.some((failed) => failed.to === edge.to)),
  )
  return { handled: byEdge || node.onError === 'continue', route }
}

function stopForFailure(draft: Draft, node: GraphNode, error: StepError): void {
  stop(draft, 'failed', {
    error: {
      ...error,
      message: `Step \`${node.id}\` failed: ${error.message}`,
      retryable: false,
      details: { step: node.id, error: error.details ?? null },
    },
  })
}

/** Settles a `forEach` step once its items are: all of them, or those that still could report after one failed. */
export function joinItems(draft: Draft, step: StepState, node: GraphNode): void {
  const { items } = step
  if (step.status !== 'ready' || !items || !node.forEach || items.live.size > 0) return
  const collect = node.forEach.onItemError === 'collect'
  if (items.failed.size > 0 && !collect) {
    joinFailed(draft, step, node)
    return
  }
  if (items.outputs.size + items.failed.size < items.count) return
  const label = joinedLabel(step, node)
  const output = offload(draft, itemOutputs(step))
  const held: Partial<ReturnType<typeof routeCompleted>> & { warnings: Warning[] } = { warnings: [] }
  const { route, warnings } = holdsRoute(draft.state, step.id)
    ? held
    : routeCompleted(draft, node, label, output)
  const collected = [...items.failed].sort(([a], [b]) => a - b)
  if (collected.length > 0) {
    const message = `${collected.length} of ${items.count} items of \`${node.id}\` failed; their outputs are null.`
    warnings.push(
      warning(
        'items_failed',
        message,
        node.id,
        collected.slice(0, 20).map(([index, error]) => ({ index, code: error.code, message: error.message })),
      ),
    )
  }
  const moved = !Array.isArray(output)
  emit(draft, {
    type: 'step.joined',
    key: step.id,
    round: 1,
    outcome: 'completed',
    ...(route ? { route } : {}),
    ...(moved ? { output } : {}),
    ...(label !== undefined ? { label } : {}),
    ...(warnings.length > 0 ? { warnings } : {}),
  })
  if (route) stopIfRejected(draft, node, label, route)
}

/** The label of the whole: success when every item says so, else that of the first item that does not. */
function joinedLabel(step: StepState, node: GraphNode): string | undefined {
  const labels = step.items?.labels
  if (!labels || node.labels.length === 0) return undefined
  for (const [, label] of [...labels].sort(([a], [b]) => a - b)) if (!isSuccess(node, label)) return label
  return node.success[0]
}

function joinFailed(draft: Draft, step: StepState, node: GraphNode): void {
  const failed = [...(step.items?.failed ?? [])].sort(([a], [b]) => a - b)
  const [index, cause] = failed[0] as [number, StepError]
  const error: StepError = {
    ...cause,
    message: `Item ${index} of \`${node.id}\` failed (${failed.length} of ${step.items?.count} did): ${cause.message}`,
    retryable: false,
    details: { index, failed: failed.length, error: cause.details ?? null },
  }
  const { handled, route } =
    draft.state.phase.kind === 'stopping'
      ? { handled: false, route: undefined }
      : failureRoute(draft, node, error)
  emit(draft, {
    type: 'step.joined',
    key: step.id,
    round: 1,
    outcome: 'failed',
    error,
    handled,
    ...(handled && !holdsRoute(draft.state, step.id) ? { route } : {}),
  })
  if (!handled) stopForFailure(draft, node, error)
}

/** The first of the two events that end a run before its time (R11). A run that is stopping already goes on with that. */
export function stop(
  draft: Draft,
  reason: 'completed' | 'failed' | 'cancelled',
  what: { error?: StepError; output?: Json; actor?: string },
): void {
  const { kind } = draft.state.phase
  if (kind !== 'active' && kind !== 'paused') return
  emit(draft, { ...what, type: 'run.stopping', reason, deadline: draft.now + STOP_GRACE_MS })
}

/** Decides the edges that reviews held and that none holds any more, by the graph that is in force now. */
export function routeHeld(draft: Draft): void {
  const { state } = draft
  for (const id of state.unrouted) {
    if (state.phase.kind !== 'active' && state.phase.kind !== 'paused') return
    if (!holdsRoute(state, id)) routeLate(draft, stepOf(state, id), nodeOf(state.graph, id))
  }
}

function routeLate(draft: Draft, step: StepState, node: GraphNode): void {
  const base = { type: 'step.routed' as const, key: step.id, round: step.round }
  if (step.status === 'skipped') {
    emit(draft, { ...base, route: routeOf(draft, node, { kind: 'skipped' }).route })
    return
  }
  if (step.status === 'completed') {
    const label = step.label ?? undefined
    const { route, warnings } = routeCompleted(draft, node, label, step.output)
    emit(draft, { ...base, route, ...(warnings.length > 0 ? { warnings } : {}) })
    stopIfRejected(draft, node, label, route)
    return
  }
  const error = step.error ?? { code: 'failed', message: 'it failed', retryable: false }
  const { handled, route } = failureRoute(draft, node, error)
  emit(draft, handled ? { ...base, route } : { ...base, handled })
  if (!handled) stopForFailure(draft, node, error)
}

/** Evaluates the list of a `forEach`. */
export function itemsOf(draft: Draft, node: GraphNode): Json[] {
  const { forEach } = node
  if (!forEach) return []
  const pointer = `/nodes/${node.id}/forEach`
  const list =
    'constant' in forEach.items
      ? forEach.items.constant
      : evaluated(draft, forEach.items.expression, { pointer })
  if (Array.isArray(list)) return list
  const type = list === null ? 'null' : typeof list === 'object' ? 'a map' : `a ${typeof list}`
  throw new StepFault({
    code: 'for_each_not_a_list',
    message: `\`forEach\` of \`${node.id}\` yields ${type}; it needs a list. An empty list is fine: the step then completes with [].`,
    retryable: false,
    pointer,
  })
}
