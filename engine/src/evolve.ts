/**
 * `evolve` folds one event into the state. Nothing else changes a state (R1).
 *
 * Owns: what each event means. Does not own: whether it may happen (`decide`). It evaluates no expression, reads no
 * clock and keeps nothing beside the state, so live, recovered and browser states are equal.
 */
import type { RunEvent } from './event.ts'
import type { Graph } from './graph.ts'
import type { Json } from './json.ts'
import { dropReviews, openReview, patch, review } from './reweave.ts'
import {
  countAgent,
  isOwedToWorker,
  newStep,
  nodeOf,
  reach,
  settleEdges,
  stepOf,
  type Touched,
  untouched,
} from './routing.ts'
import { isFinished, parseKey, type RunState, type StepState, type Unit } from './run.ts'
import { closeUnit, findUnit, itemUnit, liveUnits, setActivity, unitsOf } from './unit.ts'

/** Finds the compiled graph of a hash; throws when it is not at hand. */
export type GraphLookup = (hash: string) => Graph

export type RunStarted = Extract<RunEvent, { type: 'run.started' }>

/** The state after event 1. */
export function start(
  runId: string,
  event: RunStarted,
  graph: Graph,
  touched: Touched = untouched(),
): RunState {
  const state: RunState = {
    id: runId,
    graph,
    seq: 1,
    at: event.at,
    phase: { kind: 'active' },
    input: event.input,
    labels: event.labels,
    workflow: event.workflow,
    vars: event.vars,
    startedAt: event.at,
    actor: event.actor,
    parent: event.parent ?? null,
    forkedFrom: event.forkedFrom ?? null,
    failureOf: event.failureOf ?? null,
    item: event.item,
    index: event.index,
    steps: new Map(),
    live: new Set(),
    waitingOn: { worker: 0, timer: 0, approval: 0, message: 0, child: 0 },
    timers: new Map(),
    waits: new Map(),
    closedWaits: new Map(),
    reviews: new Map(),
    unrouted: new Set(),
    messages: [],
    messageIds: new Set(),
    waitCount: 0,
    spentSteps: 0,
    spentAgents: 0,
    patchCount: 0,
    versions: [graph.hash],
    earlier: new Map(),
    warnings: [],
  }
  for (const node of graph.nodes.values()) state.steps.set(node.id, newStep(node))
  for (const id of graph.roots) reach(state, id, event.at, touched)
  return state
}

/** The state after these events, the first of which is `run.started`. */
export function fold(runId: string, events: readonly RunEvent[], graphs: GraphLookup): RunState {
  const first = events[0]
  if (first?.type !== 'run.started')
    throw new Error(`the log of run ${runId} does not begin with run.started`)
  const state = start(runId, first, graphs(first.graph))
  for (let i = 1; i < events.length; i++) evolve(state, events[i] as RunEvent, graphs)
  return state
}

/** Folds one event, in place, and answers the same state. `touched` collects the keys of units that changed. */
export function evolve(
  state: RunState,
  event: RunEvent,
  graphs: GraphLookup,
  touched: Touched = untouched(),
): RunState {
  state.seq++
  state.at = event.at
  switch (event.type) {
    case 'run.started':
      throw new Error(`run ${state.id} started twice`)
    case 'step.admitted':
      admit(state, event.key, event.at, touched)
      break
    case 'step.skipped':
      settleStep(state, stepOf(state, event.key), 'skipped', event.at)
      if (event.route) settleEdges(state, event.key, event.route, event.at, touched)
      else state.unrouted.add(event.key)
      break
    case 'step.expanded':
      expand(state, event.key, event.count, event.items, event.at, touched)
      break
    case 'step.waiting': {
      const unit = unitOf(state, event.key)
      state.waitCount++
      const { waitId, wait, wakeAt } = event
      setActivity(state, unit, { phase: 'waiting', waitId, wait, wakeAt }, event.at)
      touched.units.add(event.key)
      break
    }
    case 'attempt.failed':
      failAttempt(state, event, touched)
      break
    case 'step.repeated':
      repeat(state, event, touched)
      break
    case 'step.completed':
    case 'step.failed':
      settle(state, event, touched)
      break
    case 'step.cancelled':
      cancelUnit(state, unitOf(state, event.key), event.at, touched)
      break
    case 'step.joined':
      join(state, event, touched)
      break
    case 'step.routed':
      routeLate(state, event, touched)
      break
    case 'message.received':
      state.messageIds.add(event.messageId)
      state.messages.push({
        id: event.messageId,
        name: event.name,
        correlationKey: event.correlationKey ?? null,
        data: event.data,
        expiresAt: event.expiresAt,
      })
      break
    case 'run.paused':
      state.phase = { kind: 'paused', since: event.at, actor: event.actor }
      break
    case 'run.resumed':
      state.phase = { kind: 'active' }
      break
    case 'run.patched':
      patch(state, event, graphs(event.after), touched)
      break
    case 'patch.proposed':
      openReview(state, event)
      break
    case 'patch.reviewed':
      review(state, event, touched)
      break
    case 'run.stopping':
      stop(state, event, touched)
      break
    case 'run.completed':
      state.warnings.push(...(event.warnings ?? []))
      endLiveSteps(state, event.at, touched)
      state.phase = { kind: 'completed', at: event.at, output: event.output }
      break
    case 'run.failed':
      endLiveSteps(state, event.at, touched)
      state.phase = { kind: 'failed', at: event.at, seq: state.seq, error: event.error }
      break
    case 'run.cancelled':
      endLiveSteps(state, event.at, touched)
      state.phase = { kind: 'cancelled', at: event.at, actor: event.actor }
      break
    case 'run.retried':
      retry(state, event.at, touched)
      break
    default:
      throw new Error(`unknown event type ${(event satisfies never as RunEvent).type}`)
  }
  return state
}

function unitOf(state: RunState, key: string): Unit {
  const unit = findUnit(state, key)
  if (!unit) throw new Error(`step ${key} of run ${state.id} is not live`)
  return unit
}

function admit(state: RunState, key: string, at: number, touched: Touched): void {
  const node = nodeOf(state.graph, key)
  const unit = unitOf(state, key)
  if (node.kind === 'task' && !node.forEach) {
    setActivity(state, unit, { phase: 'working' }, at)
    countAgent(state, key)
  } else setActivity(state, unit, { phase: 'entering', admitted: true }, at)
  touched.units.add(key)
}

function expand(state: RunState, id: string, count: number, list: Json, at: number, touched: Touched): void {
  const step = stepOf(state, id)
  if (step.unit) closeUnit(state, step.unit)
  step.unit = null
  step.items = {
    count,
    list,
    next: 0,
    live: new Map(),
    outputs: new Map(),
    labels: new Map(),
    failed: new Map(),
    cancelled: new Set(),
    lastAttempts: new Map(),
  }
  startItems(state, step, at, touched)
  touched.units.add(id)
}

/** Starts items until `maxConcurrency` of them live; none after an item failed under `onItemError: fail`. */
function startItems(state: RunState, step: StepState, at: number, touched: Touched): void {
  const { items } = step
  const node = nodeOf(state.graph, step.id)
  if (!items || !node.forEach || state.phase.kind === 'stopping') return
  if (items.failed.size > 0 && node.forEach.onItemError === 'fail') return
  while (
    items.live.size < node.forEach.maxConcurrency &&
    (items.cancelled.size > 0 || items.next < items.count)
  ) {
    const [again] = items.cancelled
    if (again !== undefined) items.cancelled.delete(again)
    const index = again ?? items.next++
    const unit = itemUnit(state, node, index, items.lastAttempts.get(index) ?? 0, at)
    items.live.set(index, unit)
    state.spentSteps++
    countAgent(state, step.id)
    touched.units.add(unit.key)
  }
}

function failAttempt(
  state: RunState,
  event: Extract<RunEvent, { type: 'attempt.failed' }>,
  touched: Touched,
): void {
  const unit = unitOf(state, event.key)
  const lost = event.error.code === 'worker_lost'
  unit.losses = lost ? unit.losses + 1 : 0
  // A lost attempt does not count against the retry policy: it says nothing about the step.
  if (lost) unit.attemptsBefore++
  unit.attempt = event.attempt + 1
  const step = stepOf(state, parseKey(event.key).id)
  step.attempts = Math.max(step.attempts, event.attempt)
  step.startedAt ??= event.startedAt ?? null
  setActivity(
    state,
    unit,
    event.retryAt <= event.at ? { phase: 'working' } : { phase: 'backoff', at: event.retryAt },
    event.at,
  )
  touched.units.add(event.key)
}

function repeat(
  state: RunState,
  event: Extract<RunEvent, { type: 'step.repeated' }>,
  touched: Touched,
): void {
  const unit = unitOf(state, event.key)
  const node = nodeOf(state.graph, event.key)
  const step = stepOf(state, event.key)
  closeWait(state, unit, event.label ?? 'completed', event, touched)
  if (event.messageId) takeMessage(state, event.messageId)
  step.output = event.output
  step.round = event.round + 1
  step.attempts = 0
  unit.round = event.round + 1
  unit.attempt = 1
  unit.attemptsBefore = 0
  unit.losses = 0
  if (event.nextAt > event.at) setActivity(state, unit, { phase: 'between', at: event.nextAt }, event.at)
  else if (node.kind === 'task') setActivity(state, unit, { phase: 'working' }, event.at)
  else setActivity(state, unit, { phase: 'entering', admitted: true }, event.at)
  state.spentSteps++
  countAgent(state, event.key)
  touched.units.add(event.key)
}

type Settled = Extract<RunEvent, { type: 'step.completed' | 'step.failed' }>

function settle(state: RunState, event: Settled, touched: Touched): void {
  const { id, index } = parseKey(event.key)
  const step = stepOf(state, id)
  closeWait(
    state,
    findUnit(state, event.key),
    event.type === 'step.completed' ? (event.label ?? 'completed') : 'failed',
    event,
    touched,
  )
  if (event.type === 'step.completed' && event.messageId) takeMessage(state, event.messageId)
  step.startedAt ??= event.startedAt ?? null
  step.worker = event.worker ?? step.worker
  if (event.type === 'step.completed') state.warnings.push(...(event.warnings ?? []))
  if (index === null) settleWhole(state, step, event, touched)
  else settleItem(state, step, index, event, touched)
}

function settleWhole(state: RunState, step: StepState, event: Settled, touched: Touched): void {
  step.attempts = Math.max(step.attempts, event.attempt)
  if (event.type === 'step.completed') {
    settleStep(state, step, 'completed', event.at)
    step.output = event.output
    step.label = event.label ?? null
    step.actor = event.actor ?? null
    step.warnings = event.warnings ?? []
    step.error = null
  } else {
    settleStep(state, step, 'failed', event.at)
    step.output = null
    step.error = event.error
    step.handled = event.handled
  }
  settleRoute(state, step, event, touched)
}

/** An unhandled failure settles no edge: a retry may still go either way. Edges that a review holds are settled later. */
function settleRoute(
  state: RunState,
  step: StepState,
  event: Settled | Extract<RunEvent, { type: 'step.joined' }>,
  touched: Touched,
): void {
  if (event.route) settleEdges(state, step.id, event.route, event.at, touched)
  else if (step.status === 'completed' || step.handled) state.unrouted.add(step.id)
}

function routeLate(
  state: RunState,
  event: Extract<RunEvent, { type: 'step.routed' }>,
  touched: Touched,
): void {
  const step = stepOf(state, event.key)
  state.unrouted.delete(step.id)
  state.warnings.push(...(event.warnings ?? []))
  step.warnings = [...step.warnings, ...(event.warnings ?? [])]
  if (event.route) settleEdges(state, step.id, event.route, event.at, touched)
  else step.handled = false
}

function settleItem(state: RunState, step: StepState, index: number, event: Settled, touched: Touched): void {
  const items = step.items
  const unit = items?.live.get(index)
  if (!items || !unit) throw new Error(`item ${event.key} of run ${state.id} is not live`)
  closeUnit(state, unit)
  items.live.delete(index)
  step.attempts = Math.max(step.attempts, event.attempt)
  if (event.type === 'step.completed') {
    items.outputs.set(index, event.output)
    if (event.label !== undefined) items.labels.set(index, event.label)
  } else {
    items.failed.set(index, event.error)
    items.lastAttempts.set(index, event.attempt)
    if (nodeOf(state.graph, step.id).forEach?.onItemError === 'fail')
      dropIdleItems(state, step, event.at, touched)
  }
  startItems(state, step, event.at, touched)
  const settled = items.outputs.size + items.failed.size
  const cutOff = state.phase.kind === 'stopping' && items.live.size === 0 && settled < items.count
  if (cutOff) settleStep(state, step, 'cancelled', event.at)
  else touched.units.add(step.id)
}

/** After an item failed for good: siblings that nobody is performing end here; the others may still report. */
function dropIdleItems(state: RunState, step: StepState, at: number, touched: Touched): void {
  for (const unit of [...unitsOf(step)]) if (!mayReport(state, unit, at)) cancelUnit(state, unit, at, touched)
}

/** Whether somebody outside performs the unit, or may do so. */
const mayReport = (state: RunState, unit: Unit, at: number): boolean =>
  isOwedToWorker(state, unit, at) ||
  (unit.activity.phase === 'waiting' && unit.activity.wait.kind === 'child')

/** The step is no longer live; what it was doing is forgotten. */
function settleStep(state: RunState, step: StepState, status: StepState['status'], at: number): void {
  if (step.unit) closeUnit(state, step.unit)
  step.unit = null
  step.status = status
  step.settledAt = at
  state.live.delete(step.id)
}

/** A wait has the message: it counts no more, and leaves the buffer. */
function takeMessage(state: RunState, messageId: string): void {
  state.messageIds.add(messageId)
  const buffered = state.messages.findIndex(({ id }) => id === messageId)
  if (buffered >= 0) state.messages.splice(buffered, 1)
}

/** Remembers how a wait of a person or a message ended; timers and children are nobody's business but the run's. */
function closeWait(
  state: RunState,
  unit: Unit | null,
  outcome: string,
  by: { readonly actor?: string } | object,
  touched: Touched,
): void {
  if (unit?.activity.phase !== 'waiting') return
  const { wait, waitId } = unit.activity
  if (wait.kind !== 'approval' && wait.kind !== 'message') return
  state.closedWaits.set(waitId, {
    outcome,
    actor: 'actor' in by && typeof by.actor === 'string' ? by.actor : null,
  })
  touched.closedWaits.push(waitId)
}

/** Ends a unit without a result: its step, or its item, is cancelled and runs again after a retry. */
function cancelUnit(state: RunState, unit: Unit, at: number, touched: Touched): void {
  const { id, index } = parseKey(unit.key)
  const step = stepOf(state, id)
  closeWait(state, unit, 'closed', {}, touched)
  // An attempt that may have begun is used up; one that waits for its time is not.
  const mayHaveBegun = unit.activity.phase === 'waiting' || isOwedToWorker(state, unit, at)
  const used = mayHaveBegun ? unit.attempt : unit.attempt - 1
  step.attempts = Math.max(step.attempts, used)
  if (index === null) {
    settleStep(state, step, 'cancelled', at)
    return
  }
  closeUnit(state, unit)
  step.items?.live.delete(index)
  step.items?.cancelled.add(index)
  step.items?.lastAttempts.set(index, used)
  if (state.phase.kind === 'stopping' && step.items?.live.size === 0) settleStep(state, step, 'cancelled', at)
}

function join(state: RunState, event: Extract<RunEvent, { type: 'step.joined' }>, touched: Touched): void {
  const step = stepOf(state, event.key)
  settleStep(state, step, event.outcome, event.at)
  state.warnings.push(...(event.warnings ?? []))
  step.warnings = event.warnings ?? []
  if (event.outcome === 'completed') {
    step.output = event.output ?? itemOutputs(step)
    step.label = event.label ?? null
    step.error = null
  } else {
    step.output = null
    step.error = event.error ?? null
    step.handled = event.handled ?? false
  }
  settleRoute(state, step, event, touched)
}

/** Outputs of a `forEach` in order; a failed item that was collected is `null`. */
export function itemOutputs(step: StepState): Json[] {
  const outputs: Json[] = []
  for (let index = 0; index < (step.items?.count ?? 0); index++)
    outputs.push(step.items?.outputs.get(index) ?? null)
  return outputs
}

/**
 * Nothing starts any more, waits close, whoever waits for a time ends. Attempts and children still report: until then
 * their steps stay live (R11).
 */
function stop(state: RunState, event: Extract<RunEvent, { type: 'run.stopping' }>, touched: Touched): void {
  state.phase = {
    kind: 'stopping',
    reason: event.reason,
    error: event.error ?? null,
    output: event.output ?? null,
    actor: event.actor ?? null,
    deadline: event.deadline,
  }
  for (const unit of [...liveUnits(state)])
    if (!mayReport(state, unit, event.at)) cancelUnit(state, unit, event.at, touched)
  for (const id of [...state.live]) {
    const step = stepOf(state, id)
    if (!step.unit && step.items?.live.size === 0) settleStep(state, step, 'cancelled', event.at)
  }
  dropReviews(state, event.at, touched)
}

/** With the final event: what has not reported by now is cancelled. */
function endLiveSteps(state: RunState, at: number, touched: Touched): void {
  for (const unit of [...liveUnits(state)]) cancelUnit(state, unit, at, touched)
  for (const id of [...state.live]) settleStep(state, stepOf(state, id), 'cancelled', at)
}

/** Failed and cancelled steps are reached once more; their attempts count on, their retry policy starts afresh. */
function retry(state: RunState, at: number, touched: Touched): void {
  if (!isFinished(state)) throw new Error(`run ${state.id} is not finished and cannot be retried`)
  state.phase = { kind: 'active' }
  dropReviews(state, at, touched)
  for (const [waitId, closed] of state.closedWaits) {
    if (closed.outcome !== 'closed') continue
    state.closedWaits.set(waitId, { outcome: 'superseded', actor: closed.actor })
    touched.closedWaits.push(waitId)
  }
  for (const step of state.steps.values()) {
    const again = step.status === 'cancelled' || (step.status === 'failed' && !step.handled)
    if (!again) continue
    step.error = null
    step.settledAt = null
    if (step.items) {
      for (const index of step.items.failed.keys()) step.items.cancelled.add(index)
      step.items.failed.clear()
      step.status = 'ready'
      state.live.add(step.id)
      touched.units.add(step.id)
      startItems(state, step, at, touched)
    } else reach(state, step.id, at, touched)
  }
}
