/**
 * What a run still owes, as a function of its state (R5): recovery is a fold and this. `decide` uses the same rules for
 * the units that it touched, so a run that was never interrupted and one that was are owed the same.
 */
import type { Effect, ItemValue, TaskScope } from './effect.ts'
import { taskId } from './effect.ts'
import type { StepError } from './errors.ts'
import { isBlobRef } from './event.ts'
import type { GraphNode } from './graph.ts'
import { failureRunId } from './identity.ts'
import type { Json, JsonObject } from './json.ts'
import { isOwedToWorker, nodeOf, stepOf } from './routing.ts'
import { endsBy, isFinished, parseKey, type RunState, type Unit } from './run.ts'
import type { AttemptName, Command } from './signal.ts'
import { findUnit, liveUnits } from './unit.ts'

/** Everything that the run owes at `now`. Publishing any of it twice is harmless. */
export function outstanding(state: RunState, now: number): Effect[] {
  switch (state.phase.kind) {
    case 'active':
      return [...liveUnits(state)].flatMap((unit) => effectsOfUnit(state, unit, now))
    case 'stopping':
      return stoppingEffects(state)
    case 'failed':
      return failureEffects(state)
    case 'paused':
    case 'completed':
    case 'cancelled':
      return []
  }
}

/** What the unit with this key owes. */
export function effectsOf(state: RunState, key: string, now: number): Effect[] {
  const unit = findUnit(state, key)
  return unit ? effectsOfUnit(state, unit, now) : []
}

function effectsOfUnit(state: RunState, unit: Unit, now: number): Effect[] {
  const { activity } = unit
  const { id, index } = parseKey(unit.key)
  const node = nodeOf(state.graph, id)
  switch (activity.phase) {
    case 'entering':
      return []
    case 'backoff':
    case 'between':
    case 'working':
      return isOwedToWorker(state, unit, now) ? [dispatch(state, unit, node)] : []
    case 'waiting': {
      if (activity.wait.kind === 'message') {
        const { kind: _, ...wanted } = activity.wait
        return [{ kind: 'listen', waitId: activity.waitId, ...wanted }]
      }
      if (activity.wait.kind !== 'child') return []
      const { childId, workflow, input } = activity.wait
      const item = itemOf(state, id, index)
      return [
        {
          kind: 'child',
          childId,
          key: unit.key,
          node: id,
          round: unit.round,
          attempt: unit.attempt,
          input,
          ...(workflow === undefined ? {} : { workflow }),
          ...(item === undefined ? {} : { item }),
          ...(index === null ? {} : { index }),
        },
      ]
    }
  }
}

/**
 * What a failed run starts. The failure of a child is for its parent to handle, and a run that was started by a failure
 * starts no other: no chain of failures without an end.
 */
export function failureEffects(state: RunState): Effect[] {
  const { phase } = state
  const workflow = failureWorkflow(state)
  if (workflow === undefined || phase.kind !== 'failed') return []
  const input = {
    run: {
      id: state.id,
      workflow: state.workflow.name,
      version: state.workflow.version,
      input: state.input,
      labels: { ...state.labels },
      startedAt: state.startedAt,
      failedAt: phase.at,
    },
    error: errorSummary(phase.error),
    steps: [...state.steps.values()].flatMap(({ id, status, error }) =>
      status === 'failed' && error ? [{ id, error: errorSummary(error) }] : [],
    ),
  }
  return [{ kind: 'on_failure', runId: failureRunId(state.id, phase.seq), workflow, input }]
}

const failureWorkflow = ({ graph, parent, failureOf }: RunState): string | undefined =>
  parent === null && failureOf === null ? graph.definition.onFailure : undefined

const errorSummary = ({ code, message, details }: StepError): JsonObject => ({
  code,
  message,
  ...(details === undefined ? {} : { details }),
})

function stoppingEffects(state: RunState): Effect[] {
  const attempts: AttemptName[] = []
  const effects: Effect[] = []
  // Live are only those that may report: attempts, also of a retry whose time had come, and children.
  for (const { key, round, attempt, activity } of liveUnits(state)) {
    if (activity.phase !== 'waiting') attempts.push({ key, round, attempt })
    else if (activity.wait.kind === 'child')
      effects.push({ kind: 'cancel_child', childId: activity.wait.childId })
  }
  return [{ kind: 'halt', abort: true, attempts }, ...effects]
}

function dispatch(state: RunState, unit: Unit, node: GraphNode): Effect {
  const { index } = parseKey(unit.key)
  const item = itemOf(state, node.id, index)
  const task = {
    id: taskId(state.id, unit.key, unit.round, unit.attempt),
    runId: state.id,
    key: unit.key,
    node: node.id,
    round: unit.round,
    attempt: unit.attempt,
    type: node.type,
    workflow: state.workflow.name,
    graph: state.graph.hash,
    config: node.config,
    credentials: node.credentials,
    timeoutMs: node.timeoutMs,
    scope: scopeOf(state, node, index),
  }
  return item === undefined ? { kind: 'dispatch', task } : { kind: 'dispatch', task, item }
}

/** The item of a `forEach` by its list, which may lie in a blob; `undefined` for a step that is no item. */
function itemOf(state: RunState, id: string, index: number | null): ItemValue | undefined {
  if (index === null) return undefined
  const list = stepOf(state, id).items?.list ?? null
  if (isBlobRef(list)) return { blob: list.$blob, index }
  return { value: Array.isArray(list) ? (list[index] ?? null) : null }
}

/** Only what the config reads travels with the task. */
function scopeOf(state: RunState, node: GraphNode, index: number | null): TaskScope {
  const itemIndex = index ?? state.index
  const scope: { -readonly [K in keyof TaskScope]: TaskScope[K] } = { startedAt: state.startedAt }
  if (node.readsInput) scope.input = state.input
  if (node.reads.length > 0)
    scope.steps = Object.fromEntries(node.reads.map((id) => [id, reading(state, id)]))
  if (node.readsVars.length > 0) scope.vars = pick(state.vars, node.readsVars)
  if (itemIndex !== undefined) scope.index = itemIndex
  if (index === null && state.item !== undefined) scope.item = state.item
  if (Object.keys(state.labels).length > 0) scope.labels = state.labels
  return scope
}

function reading(state: RunState, id: string): { output: Json; status: string; error: Json } {
  const step = stepOf(state, id)
  return {
    output: step.output,
    status: step.status,
    error: step.error === null ? null : { code: step.error.code, message: step.error.message },
  }
}

const pick = (values: JsonObject, names: readonly string[]): JsonObject =>
  Object.fromEntries(
    names.filter((name) => Object.hasOwn(values, name)).map((name) => [name, values[name] as Json]),
  )

/**
 * The earliest time after `now` at which the run wants attention by itself; `null` when only others can move it. What is
 * due already is owed by `outstanding`, not by a timer.
 */
export function nextWake(state: RunState, now: number): number | null {
  if (state.phase.kind === 'stopping') return state.phase.deadline
  if (state.phase.kind !== 'active') return null
  let earliest = endsBy(state) ?? Number.POSITIVE_INFINITY
  for (const at of state.timers.values()) if (at > now && at < earliest) earliest = at
  for (const { expiresAt } of state.reviews.values())
    if (expiresAt !== null && expiresAt > now && expiresAt < earliest) earliest = expiresAt
  return Number.isFinite(earliest) ? earliest : null
}

/** Whether a worker, a child or the engine owes the run something: then it needs a dead man's switch (R6). */
export function owesWork(state: RunState, now: number): boolean {
  if (state.phase.kind === 'failed') return failureWorkflow(state) !== undefined
  if (isFinished(state) || state.phase.kind === 'paused') return false
  if (state.phase.kind === 'stopping') return true
  // Nobody has looked at the run yet: its first steps are still to be reached.
  if (state.seq === 1) return true
  if (state.waitingOn.worker > 0) return true
  // A child is begun after its parent's commit: until it has reported, the parent may be the only one that knows of it.
  if (state.waitingOn.child > 0) return true
  for (const at of state.timers.values()) if (at <= now) return true
  for (const { expiresAt } of state.reviews.values()) if (expiresAt !== null && expiresAt <= now) return true
  return false
}

export interface ChildReport {
  readonly id: string
  readonly parentId: string
  readonly command: Command
}

/** What a finished child tells its parent. The id repeats for the same end, so that telling twice counts once. */
export function childReport(state: RunState): ChildReport | null {
  const { parent, phase } = state
  if (!parent) return null
  const base = { kind: 'child_finished' as const, childId: state.id, key: parent.key, round: parent.round }
  const id = `${state.id}:finished:${state.seq}`
  switch (phase.kind) {
    case 'completed':
      return { id, parentId: parent.runId, command: { ...base, outcome: 'completed', output: phase.output } }
    case 'failed':
      return { id, parentId: parent.runId, command: { ...base, outcome: 'failed', error: phase.error } }
    case 'cancelled':
      return { id, parentId: parent.runId, command: { ...base, outcome: 'cancelled' } }
    default:
      return null
  }
}
