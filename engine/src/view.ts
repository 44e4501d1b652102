/**
 * What people see of a run: the state in the words of the API. Pure, so that the browser draws a live run, a finished
 * one and any moment between with the same code.
 */
import type { StepError, Warning } from './errors.ts'
import type { ParentLink } from './event.ts'
import { itemOutputs } from './evolve.ts'
import type { Json } from './json.ts'
import { nodeOf } from './routing.ts'
import {
  endsBy,
  isFinished,
  parseKey,
  type Review,
  type RunState,
  type RunStatus,
  type StepState,
  type StepStatus,
  type Unit,
  type WaitsFor,
} from './run.ts'
import { liveUnits, unitsOf, waitsFor } from './unit.ts'

export interface ItemsView {
  readonly count: number
  readonly completed: number
  readonly failed: number
  readonly live: number
}

export interface StepView {
  readonly id: string
  readonly type: string
  readonly name: string | null
  readonly status: StepStatus
  readonly label: string | null
  readonly output: Json
  readonly error: StepError | null
  readonly handled: boolean
  readonly attempts: number
  readonly round: number
  readonly items: ItemsView | null
  /** Targets of the edges taken, once settled. */
  readonly next: readonly string[] | null
  readonly waitsFor: readonly WaitsFor[]
  /** When it next moves by itself: a retry, a round, a delay, a timeout. */
  readonly wakeAt: number | null
  readonly reachedAt: number | null
  readonly startedAt: number | null
  readonly settledAt: number | null
  readonly worker: string | null
  readonly actor: string | null
  readonly warnings: readonly Warning[]
}

/** A patch that waits for a person, who decides about the approval with this id. */
export type ReviewView = Pick<
  Review,
  'id' | 'actor' | 'by' | 'stepKey' | 'reason' | 'before' | 'holds' | 'proposedAt' | 'expiresAt'
>

export interface RunView {
  readonly id: string
  readonly status: RunStatus
  readonly waitingFor: readonly WaitsFor[]
  readonly workflow: { readonly name: string; readonly version: number | null }
  readonly graph: string
  readonly versions: readonly string[]
  readonly seq: number
  readonly input: Json
  readonly labels: Readonly<Record<string, string>>
  readonly output: Json
  readonly error: StepError | null
  readonly warnings: readonly Warning[]
  readonly parent: ParentLink | null
  /** Patches under review, the oldest first. */
  readonly reviews: readonly ReviewView[]
  readonly startedAt: number
  readonly finishedAt: number | null
  readonly steps: readonly StepView[]
}

/** Tells whether a worker holds the attempt of this step key now: the log does not know. */
export type IsTaken = (key: string) => boolean

/** A run of which nothing has happened yet is queued, until a worker takes one of its attempts. */
export function statusOf(
  state: RunState,
  taken: IsTaken = () => false,
): { status: RunStatus; waitingFor: WaitsFor[] } {
  const { phase } = state
  const waitingFor = (Object.keys(state.waitingOn) as WaitsFor[]).filter((kind) => state.waitingOn[kind] > 0)
  if (phase.kind !== 'active') return { status: phase.kind, waitingFor: isFinished(state) ? [] : waitingFor }
  if (state.waitingOn.worker === 0 && waitingFor.length > 0) return { status: 'waiting', waitingFor }
  const untouched = state.seq === 1 && ![...liveUnits(state)].some((unit) => taken(unit.key))
  return { status: untouched ? 'queued' : 'running', waitingFor }
}

export function viewRun(state: RunState, taken: IsTaken = () => false): RunView {
  const { phase } = state
  return {
    id: state.id,
    ...statusOf(state, taken),
    workflow: state.workflow,
    graph: state.graph.hash,
    versions: state.versions,
    seq: state.seq,
    input: state.input,
    labels: state.labels,
    output: phase.kind === 'completed' ? phase.output : null,
    error: phase.kind === 'failed' || phase.kind === 'stopping' ? phase.error : null,
    warnings: state.warnings,
    parent: state.parent,
    reviews: [...state.reviews.values()].map(({ operations: _, vars: _vars, ...review }) => review),
    startedAt: state.startedAt,
    finishedAt:
      phase.kind === 'completed' || phase.kind === 'failed' || phase.kind === 'cancelled' ? phase.at : null,
    steps: state.graph.order.map((id) => viewStep(state, state.steps.get(id) as StepState, taken)),
  }
}

function viewStep(state: RunState, step: StepState, taken: IsTaken): StepView {
  const node = nodeOf(state.graph, step.id)
  const units = [...unitsOf(step)]
  const { items } = step
  return {
    id: step.id,
    type: node.type,
    name: state.graph.definition.nodes[step.id]?.name ?? null,
    status: stepStatus(step, units, taken),
    label: step.label,
    output:
      items && step.status !== 'completed'
        ? items.outputs.size > 0
          ? itemOutputs(step)
          : null
        : step.output,
    error: step.error,
    handled: step.handled,
    attempts: Math.max(step.attempts, ...units.filter((unit) => taken(unit.key)).map((unit) => unit.attempt)),
    round: step.round,
    items: items && {
      count: items.count,
      completed: items.outputs.size,
      failed: items.failed.size,
      live: items.live.size,
    },
    next: step.routed,
    waitsFor: [...new Set(units.map((unit) => waitsFor(unit.activity)).filter((kind) => kind !== null))],
    wakeAt: earliest(units.map(wakeOf)),
    reachedAt: step.reachedAt,
    startedAt: step.startedAt,
    settledAt: step.settledAt,
    worker: step.worker,
    actor: step.actor,
    warnings: step.warnings,
  }
}

function stepStatus(step: StepState, units: readonly Unit[], taken: IsTaken): StepStatus {
  if (step.status !== 'ready') return step.status
  if (units.some((unit) => unit.activity.phase === 'working' && taken(unit.key))) return 'running'
  if (units.some((unit) => unit.activity.phase === 'working' || unit.activity.phase === 'entering'))
    return 'ready'
  return 'waiting'
}

function wakeOf(unit: Unit): number | null {
  const { activity } = unit
  if (activity.phase === 'backoff' || activity.phase === 'between') return activity.at
  return activity.phase === 'waiting' ? activity.wakeAt : null
}

const earliest = (times: readonly (number | null)[]): number | null =>
  times.reduce<number | null>(
    (least, at) => (at !== null && (least === null || at < least) ? at : least),
    null,
  )

/** One live token, and what would move it. */
export interface Explanation {
  readonly token: string
  readonly waitsFor: WaitsFor | 'resume' | 'stop'
  readonly since: number
  /** When it moves by itself; `null`: only what it waits for moves it. */
  readonly until: number | null
  readonly text: string
  /** The approval, the child run or the message that is waited for. */
  readonly subject?: string
  readonly type: string | null
}

/** Why the run is not moving: every live token says what it waits for. Empty for a run that is finished. */
export function explain(state: RunState, now: number, taken: IsTaken = () => false): Explanation[] {
  if (isFinished(state)) return []
  const tokens = [...liveUnits(state)].map((unit) => explainUnit(state, unit, now, taken))
  for (const review of state.reviews.values()) tokens.push(explainReview(review))
  if (state.phase.kind === 'paused') {
    const text = `The run was paused by ${state.phase.actor}: nothing is dispatched and no deadline moves until it is resumed.`
    tokens.unshift({
      token: 'run',
      waitsFor: 'resume',
      since: state.phase.since,
      until: null,
      text,
      type: null,
    })
  }
  if (state.phase.kind === 'stopping') {
    const text = `The run is stopping (${state.phase.reason}): it ends when ${state.live.size} steps have reported, at the latest at the deadline.`
    tokens.unshift({
      token: 'run',
      waitsFor: 'stop',
      since: state.at,
      until: state.phase.deadline,
      text,
      type: null,
    })
  }
  const end = endsBy(state)
  if (end !== null) {
    const text = `The whole run ends by its limit of ${state.graph.limits.durationMs} ms.`
    tokens.push({ token: 'run', waitsFor: 'timer', since: state.startedAt, until: end, text, type: null })
  }
  return tokens
}

function explainReview({ id, actor, reason, stepKey, holds, proposedAt, expiresAt }: Review): Explanation {
  const starts = holds.starts.length > 0 ? ` ${names(holds.starts)} may not start.` : ''
  const routes = holds.routes.length > 0 ? ` What follows ${names(holds.routes)} waits.` : ''
  return {
    token: stepKey ?? 'run',
    waitsFor: 'approval',
    since: proposedAt,
    until: expiresAt,
    text: `A patch by ${actor} waits for review ("${reason}"); until then the run does not end.${starts}${routes}`,
    subject: id,
    type: null,
  }
}

const names = (ids: readonly string[]): string => ids.map((id) => `\`${id}\``).join(', ')

function explainUnit(state: RunState, unit: Unit, now: number, taken: IsTaken): Explanation {
  const { activity } = unit
  const { id } = parseKey(unit.key)
  const { type } = nodeOf(state.graph, id)
  const base = { token: unit.key, since: unit.since, type }
  switch (activity.phase) {
    case 'entering':
      return { ...base, waitsFor: 'worker', until: null, text: 'It was reached and is about to start.' }
    case 'working': {
      const text = taken(unit.key)
        ? `A worker performs attempt ${unit.attempt} of this \`${type}\` step.`
        : `Attempt ${unit.attempt} is queued for a worker that serves \`${type}\`.`
      return { ...base, waitsFor: 'worker', until: null, text }
    }
    case 'backoff':
      if (activity.at <= now)
        return {
          ...base,
          waitsFor: 'worker',
          until: null,
          text: `Attempt ${unit.attempt} is due and with the workers.`,
        }
      return {
        ...base,
        waitsFor: 'timer',
        until: activity.at,
        text: `Attempt ${unit.attempt - 1} failed; attempt ${unit.attempt} starts at the time given.`,
      }
    case 'between':
      return {
        ...base,
        waitsFor: 'timer',
        until: activity.at,
        text: `Round ${unit.round} starts at the time given.`,
      }
    case 'waiting':
      return { ...base, until: activity.wakeAt, ...explainWait(activity) }
  }
}

function explainWait(activity: Extract<Unit['activity'], { phase: 'waiting' }>): {
  waitsFor: WaitsFor
  text: string
  subject?: string
} {
  const { wait, waitId } = activity
  switch (wait.kind) {
    case 'timer':
      return { waitsFor: 'timer', text: 'A delay ends at the time given.' }
    case 'approval': {
      const who = wait.assignees && wait.assignees.length > 0 ? wait.assignees.join(', ') : 'a person'
      return { waitsFor: 'approval', text: `"${wait.title}" waits for ${who} to decide.`, subject: waitId }
    }
    case 'message': {
      const key = wait.correlationKey === undefined ? '' : ` with key ${wait.correlationKey}`
      return {
        waitsFor: 'message',
        text: `It waits for a message named \`${wait.name}\`${key}.`,
        subject: wait.name,
      }
    }
    case 'child':
      return { waitsFor: 'child', text: `It waits for child run ${wait.childId}.`, subject: wait.childId }
  }
}
