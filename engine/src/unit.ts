/**
 * Units: what is performed, a step or one item of a `forEach`. The only place that changes what a unit is doing, so that
 * the run's indexes (timers, open waits, counts per kind of wait) can never disagree with it.
 */
import type { GraphNode } from './graph.ts'
import {
  type Activity,
  itemKey,
  parseKey,
  type RunState,
  type StepState,
  type Unit,
  type WaitsFor,
} from './run.ts'

/** What a live unit waits for; `null` while it is entering (the engine itself acts on it in the same decision). */
export function waitsFor(activity: Activity): WaitsFor | null {
  switch (activity.phase) {
    case 'entering':
      return null
    case 'working':
      return 'worker'
    case 'backoff':
    case 'between':
      return 'timer'
    case 'waiting':
      return activity.wait.kind
  }
}

function index(state: RunState, unit: Unit): void {
  const { activity } = unit
  const kind = waitsFor(activity)
  if (kind) state.waitingOn[kind]++
  if (activity.phase === 'backoff' || activity.phase === 'between') state.timers.set(unit.key, activity.at)
  if (activity.phase === 'waiting') {
    state.waits.set(activity.waitId, unit.key)
    if (activity.wakeAt !== null) state.timers.set(unit.key, activity.wakeAt)
  }
}

function unindex(state: RunState, unit: Unit): void {
  const { activity } = unit
  const kind = waitsFor(activity)
  if (kind) state.waitingOn[kind]--
  state.timers.delete(unit.key)
  if (activity.phase === 'waiting') state.waits.delete(activity.waitId)
}

export function setActivity(state: RunState, unit: Unit, activity: Activity, at: number): void {
  unindex(state, unit)
  unit.activity = activity
  unit.since = at
  index(state, unit)
}

/**
 * A step at its beginning, or where it left off before a retry. A task without conditions is owed to a worker at once,
 * everything else is entered first; so is a step with an error from an edge into it, which is never owed to anybody.
 */
export function stepUnit(state: RunState, node: GraphNode, step: StepState, at: number): Unit {
  const direct = node.kind === 'task' && node.when === null && node.forEach === null && step.error === null
  const activity: Activity = direct ? { phase: 'working' } : { phase: 'entering', admitted: false }
  return open(state, node.id, activity, step.round, step.attempts, at)
}

/** An item at its beginning. The step's own `when` was evaluated before the list was. */
export function itemUnit(
  state: RunState,
  node: GraphNode,
  item: number,
  lastAttempt: number,
  at: number,
): Unit {
  const activity: Activity =
    node.kind === 'task' ? { phase: 'working' } : { phase: 'entering', admitted: true }
  return open(state, itemKey(node.id, item), activity, 1, lastAttempt, at)
}

function open(
  state: RunState,
  key: string,
  activity: Activity,
  round: number,
  lastAttempt: number,
  at: number,
): Unit {
  const unit: Unit = {
    key,
    activity,
    round,
    attempt: lastAttempt + 1,
    attemptsBefore: lastAttempt,
    losses: 0,
    since: at,
  }
  index(state, unit)
  return unit
}

/** The unit is no more: settled, cancelled, or replaced by its items. */
export function closeUnit(state: RunState, unit: Unit): void {
  unindex(state, unit)
}

/** The live unit with this key. */
export function findUnit(state: RunState, key: string): Unit | null {
  const { id, index: item } = parseKey(key)
  const step = state.steps.get(id)
  if (!step) return null
  return (item === null ? step.unit : step.items?.live.get(item)) ?? null
}

/** Every live unit of a step. */
export function* unitsOf(step: StepState): Iterable<Unit> {
  if (step.unit) yield step.unit
  if (step.items) yield* step.items.live.values()
}

/** Every live unit of the run, in the order in which its step was reached. */
export function* liveUnits(state: RunState): Iterable<Unit> {
  for (const id of state.live) yield* unitsOf(state.steps.get(id) as StepState)
}
