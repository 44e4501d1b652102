/**
 * A unit begins: its own `when`, the list of its `forEach`, and everything that control nodes do themselves. After it no
 * unit is `entering`: each is owed to a worker, waits for something named, or is settled.
 */
import { matchHolds } from '../compile/match.ts'
import { parseDuration, parseTime } from '../duration.ts'
import type { WaitSpec } from '../event.ts'
import type { GraphNode } from '../graph.ts'
import { childRunId } from '../identity.ts'
import type { Json, JsonObject } from '../json.ts'
import type { ControlType } from '../node-type.ts'
import { nodeOf, stepOf } from '../routing.ts'
import { type BufferedMessage, holdsRoute, parseKey, type Unit } from '../run.ts'
import { findUnit } from '../unit.ts'
import { type Draft, emit, offload, resolve, StepFault } from './draft.ts'
import { conditionOf, rendered, warning } from './scope.ts'
import { complete, fail, itemsOf, joinItems, routeOf, stop } from './settle.ts'

/** Acts on every unit that is entering, until none is left. */
export function settleEntering(draft: Draft): void {
  // Units that are touched meanwhile join the end of the set and are visited too.
  for (const key of draft.touched.units) {
    for (
      let unit = findUnit(draft.state, key);
      unit?.activity.phase === 'entering';
      unit = findUnit(draft.state, key)
    ) {
      enter(draft, unit)
    }
  }
}

export function enter(draft: Draft, unit: Unit): void {
  const { id } = parseKey(unit.key)
  const node = nodeOf(draft.state.graph, id)
  try {
    const step = stepOf(draft.state, id)
    if (step.error !== null && unit.key === id) throw new StepFault(step.error)
    if (unit.activity.phase === 'entering' && !unit.activity.admitted && node.when !== null)
      admit(draft, unit, node)
    else if (node.kind === 'unknown') completeUnknown(draft, unit, node)
    else if (node.forEach && unit.key === id) expand(draft, unit, node)
    else if (node.kind !== 'task') PERFORMERS[node.kind](draft, unit, node)
  } catch (fault) {
    if (!(fault instanceof StepFault)) throw fault
    fail(draft, unit, fault.error, {})
  }
}

function admit(draft: Draft, unit: Unit, node: GraphNode): void {
  if (node.when === null) return
  const { key, round } = unit
  if (conditionOf(draft, node.when, { pointer: `/nodes/${node.id}/when` }))
    emit(draft, { type: 'step.admitted', key, round })
  else {
    const held = holdsRoute(draft.state, node.id)
    const routed = held ? {} : { route: routeOf(draft, node, { kind: 'skipped' }).route }
    emit(draft, { type: 'step.skipped', key, round, ...routed })
  }
}

function completeUnknown(draft: Draft, unit: Unit, node: GraphNode): void {
  const message = `No node type \`${node.type}\` is known here, so step \`${node.id}\` did nothing and completed with null.`
  complete(draft, unit, {
    output: null,
    warnings: [warning('unknown_type', message, node.id, { type: node.type })],
  })
}

function expand(draft: Draft, unit: Unit, node: GraphNode): void {
  const items = itemsOf(draft, node)
  emit(draft, {
    type: 'step.expanded',
    key: unit.key,
    round: unit.round,
    count: items.length,
    items: offload(draft, items),
  })
  if (items.length === 0) joinItems(draft, stepOf(draft.state, node.id), node)
}

const PERFORMERS: Readonly<Record<ControlType, (draft: Draft, unit: Unit, node: GraphNode) => void>> = {
  branch,
  set: (draft, unit, node) => complete(draft, unit, { output: config(draft, unit, node) }),
  delay,
  approval,
  wait,
  workflow: child,
  fail: failRun,
  stop: stopRun,
}

const config = (draft: Draft, unit: Unit, node: GraphNode): JsonObject =>
  rendered(draft, node.template, { key: unit.key, pointer: `/nodes/${node.id}/with` }) as JsonObject

function branch(draft: Draft, unit: Unit, node: GraphNode): void {
  const taken = node.cases.find(({ label, when }) =>
    conditionOf(draft, when, { key: unit.key, pointer: `/nodes/${node.id}/with/cases/${label}` }),
  )
  const label = taken?.label ?? 'default'
  complete(draft, unit, { output: { case: label }, label })
}

function delay(draft: Draft, unit: Unit, node: GraphNode): void {
  const values = config(draft, unit, node)
  const wakeAt =
    'until' in values ? timeOf(values.until, node) : draft.now + durationOf(values.for, node, 'for')
  if (wakeAt <= draft.now) complete(draft, unit, { output: null })
  else openWait(draft, unit, { kind: 'timer' }, wakeAt)
}

function approval(draft: Draft, unit: Unit, node: GraphNode): void {
  const values = config(draft, unit, node)
  const onTimeout = values.onTimeout
  const spec: WaitSpec = {
    kind: 'approval',
    title: textOf(values.title ?? node.id),
    ...(values.body === undefined ? {} : { body: textOf(values.body) }),
    ...(values.form === undefined ? {} : { form: values.form as JsonObject }),
    ...(values.assignees === undefined ? {} : { assignees: listOf(values.assignees).map(textOf) }),
    onTimeout:
      onTimeout === 'approve' || onTimeout === 'reject' || onTimeout === 'fail' ? onTimeout : 'timeout',
  }
  openWait(draft, unit, spec, timeoutOf(draft, values, node))
}

function wait(draft: Draft, unit: Unit, node: GraphNode): void {
  const values = config(draft, unit, node)
  const spec: WaitSpec = {
    kind: 'message',
    name: textOf(values.message ?? ''),
    ...(values.key === undefined || values.key === null ? {} : { correlationKey: textOf(values.key) }),
    ...(values.match === undefined ? {} : { match: textOf(values.match) }),
  }
  const early = draft.state.messages.find(
    (message) => message.expiresAt > draft.now && takes(draft, spec, message),
  )
  if (early) complete(draft, unit, { output: early.data, label: 'received', messageId: early.id })
  else openWait(draft, unit, spec, timeoutOf(draft, values, node))
}

/** Whether a wait takes a message: by name, by key when the wait names one, by `match` over the message alone. */
export function takes(
  draft: Draft,
  wait: Extract<WaitSpec, { kind: 'message' }>,
  message: Pick<BufferedMessage, 'name' | 'correlationKey' | 'data'>,
): boolean {
  if (wait.name !== message.name) return false
  if (wait.correlationKey !== undefined && wait.correlationKey !== message.correlationKey) return false
  if (wait.match === undefined) return true
  return matchHolds(wait.match, readable(draft, message.data), draft.now)
}

/** The data behind a blob; what is too large for an expression to read stays a reference, which no condition fits. */
function readable(draft: Draft, data: Json): Json {
  try {
    return resolve(draft, data)
  } catch (fault) {
    if (fault instanceof StepFault) return data
    throw fault
  }
}

function child(draft: Draft, unit: Unit, node: GraphNode): void {
  const values = config(draft, unit, node)
  const { state } = draft
  const workflow = node.body ? undefined : textOf(values.workflow ?? '')
  // An inline body sees the input of the run that it belongs to, unless it is given one of its own.
  const input = values.input === undefined ? (node.body ? state.input : {}) : values.input
  const spec: WaitSpec = {
    kind: 'child',
    childId: childRunId(state.id, unit.key, unit.round),
    ...(workflow === undefined ? {} : { workflow }),
    input: offload(draft, input),
  }
  if ((state.parent?.depth ?? 0) >= 8) {
    throw new StepFault({
      code: 'nesting_too_deep',
      message: `Step \`${node.id}\` would start a child run nine levels deep; at most 8 are allowed. Look for a workflow that starts itself.`,
      retryable: false,
    })
  }
  openWait(draft, unit, spec, node.timeoutMs === null ? null : draft.now + node.timeoutMs)
}

function failRun(draft: Draft, unit: Unit, node: GraphNode): void {
  const values = config(draft, unit, node)
  const error = {
    code: textOf(values.code ?? 'failed'),
    message: textOf(values.message ?? `Step \`${node.id}\` ended the run as failed.`),
    retryable: false,
    ...(values.details === undefined ? {} : { details: values.details }),
  }
  emit(draft, {
    type: 'step.failed',
    key: unit.key,
    round: unit.round,
    attempt: unit.attempt,
    error,
    handled: false,
  })
  stop(draft, 'failed', { error })
}

function stopRun(draft: Draft, unit: Unit, node: GraphNode): void {
  const output = offload(draft, config(draft, unit, node).output ?? null)
  complete(draft, unit, { output })
  stop(draft, 'completed', { output })
}

function openWait(draft: Draft, unit: Unit, wait: WaitSpec, wakeAt: number | null): void {
  const waitId = `${draft.state.id}.${draft.state.waitCount + 1}`
  emit(draft, { type: 'step.waiting', key: unit.key, round: unit.round, waitId, wait, wakeAt })
  if (wait.kind === 'approval' || wait.kind === 'message') {
    draft.opened.push({ waitId, key: unit.key, wait, wakeAt, at: draft.now })
  }
}

function timeoutOf(draft: Draft, values: JsonObject, node: GraphNode): number | null {
  const own = values.timeout
  if (own !== undefined && own !== null) return draft.now + durationOf(own, node, 'timeout')
  return node.timeoutMs === null ? null : draft.now + node.timeoutMs
}

function durationOf(value: Json | undefined, node: GraphNode, field: string): number {
  const duration = typeof value === 'string' || typeof value === 'number' ? parseDuration(value) : null
  if (duration !== null) return duration
  throw new StepFault({
    code: 'invalid_duration',
    message: `\`${field}\` of \`${node.id}\` is ${JSON.stringify(value ?? null)}, which is no duration. Write 30s, 5m, 24h, 1h30m, or a number of milliseconds.`,
    retryable: false,
    pointer: `/nodes/${node.id}/with/${field}`,
  })
}

function timeOf(value: Json | undefined, node: GraphNode): number {
  const at = typeof value === 'number' || typeof value === 'string' ? parseTime(value) : null
  if (at !== null) return at
  throw new StepFault({
    code: 'invalid_time',
    message: `\`until\` of \`${node.id}\` is ${JSON.stringify(value ?? null)}, which is no time. Write ISO 8601 (2030-01-31T09:00:00Z) or milliseconds since 1970.`,
    retryable: false,
    pointer: `/nodes/${node.id}/with/until`,
  })
}

const textOf = (value: Json): string =>
  typeof value === 'string'
    ? value
    : value === null
      ? ''
      : typeof value === 'object'
        ? JSON.stringify(value)
        : String(value)

const listOf = (value: Json): Json[] => (Array.isArray(value) ? value : [value])
