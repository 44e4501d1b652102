/**
 * `forkEvents`: the log of a new run that begins where another one stood. Pure: it copies events, and decides nothing.
 *
 * 1. The copy ends at an event after which the run was going on. The end of a run is not copied, nor the failure (or the
 *    decision) that led to it: a fork from there performs that step again.
 * 2. What waited at the cut waits anew: its `step.waiting` is left out, so that the unit enters once more, under an id of
 *    the new run; a child is begun anew for the same reason. A pause that was in force is left out, too.
 *    A patch under review stays behind: its proposal is copied, with what it held, and the fork begins by dropping it.
 * 3. Events keep their times: they happened then. What the new run's own time counts from is `forkedFrom.at` (R12).
 */
import type { RunEvent } from './event.ts'
import { evolve, type GraphLookup, type RunStarted, start } from './evolve.ts'
import type { Json } from './json.ts'
import { nodeOf } from './routing.ts'
import { parseKey, type RunState } from './run.ts'

/** Where the copy ends: at an event, or right where a step was reached for the first time. */
export type ForkPoint = { readonly atSeq: number } | { readonly fromStep: string }

export interface ForkTarget {
  readonly runId: string
  readonly at: number
  readonly actor: string
  readonly reason?: string
  /** Instead of the old run's; steps that are copied have read the old one. */
  readonly input?: Json
}

export type ForkOutcome =
  | {
      readonly ok: true
      readonly started: RunStarted
      /** What follows `run.started`. */
      readonly rest: readonly RunEvent[]
      /** The last event of the old run that is copied; at most the one that was asked for. */
      readonly seq: number
      /** The definition in force there. */
      readonly graph: string
    }
  | {
      readonly ok: false
      readonly code: 'unknown_step' | 'step_not_reached' | 'unknown_event'
      readonly message: string
    }

interface Cut {
  readonly seq: number
  readonly openWaits: ReadonlySet<string>
  /** Number of the `run.paused` in force. */
  readonly pausedAt: number | null
  readonly graph: string
}

export function forkEvents(
  runId: string,
  events: readonly RunEvent[],
  point: ForkPoint,
  target: ForkTarget,
  graphs: GraphLookup,
): ForkOutcome {
  const first = events[0]
  if (first?.type !== 'run.started')
    throw new Error(`the log of run ${runId} does not begin with run.started`)
  if ('atSeq' in point && (point.atSeq < 1 || point.atSeq > events.length)) {
    return {
      ok: false,
      code: 'unknown_event',
      message: `Run ${runId} has events 1 to ${events.length}, and none numbered ${point.atSeq}.`,
    }
  }
  const cut = findCut(runId, first, events, point, graphs)
  if (typeof cut === 'string') return notReached(runId, cut, point)
  const rest = copyOf(events.slice(1, cut.seq), 2, cut, target.runId)
  const { parent: _, ...kept } = first
  const started: RunStarted = {
    ...kept,
    actor: target.actor,
    ...(target.input === undefined ? {} : { input: target.input }),
    forkedFrom: {
      runId,
      seq: cut.seq,
      copied: rest.length + 1,
      at: target.at,
      ...(target.reason === undefined ? {} : { reason: target.reason }),
    },
  }
  return { ok: true, started, rest, seq: cut.seq, graph: cut.graph }
}

function notReached(runId: string, code: 'unknown_step' | 'step_not_reached', point: ForkPoint): ForkOutcome {
  const step = 'fromStep' in point ? point.fromStep : ''
  const message =
    code === 'unknown_step'
      ? `Run ${runId} has no step \`${step}\`.`
      : `Run ${runId} has not reached step \`${step}\`, so there is nothing to replay from it.`
  return { ok: false, code, message }
}

/** Folds the log up to the point, and answers the last place on the way at which the run was going on. */
function findCut(
  runId: string,
  first: RunStarted,
  events: readonly RunEvent[],
  point: ForkPoint,
  graphs: GraphLookup,
): Cut | 'unknown_step' | 'step_not_reached' {
  const state = start(runId, first, graphs(first.graph))
  const last = 'atSeq' in point ? point.atSeq : events.length
  let cut = cutAt(state, null)
  let pausedAt: number | null = null
  let hasFailed = false
  for (let index = 0; index < last; index++) {
    const event = events[index] as RunEvent
    if (index > 0) evolve(state, event, graphs)
    if (event.type === 'run.paused') pausedAt = state.seq
    if (event.type === 'run.resumed') pausedAt = null
    if (event.type === 'run.retried') hasFailed = false
    if (isFailure(state, event)) hasFailed = true
    const goesOn = state.phase.kind === 'active' || state.phase.kind === 'paused'
    if (goesOn && !hasFailed && !leadsToEnd(event, events[index + 1])) cut = cutAt(state, pausedAt)
    if ('fromStep' in point && state.steps.get(point.fromStep)?.reachedAt != null) return cut
  }
  if ('atSeq' in point) return cut
  return state.steps.has(point.fromStep) ? 'step_not_reached' : 'unknown_step'
}

const cutAt = (state: RunState, pausedAt: number | null): Cut => ({
  seq: state.seq,
  openWaits: new Set(state.waits.keys()),
  pausedAt: state.phase.kind === 'paused' ? pausedAt : null,
  graph: state.graph.hash,
})

/** Nothing dealt with it: the run stops for it, now or when its other items have ended. */
function isFailure(state: RunState, event: RunEvent): boolean {
  if (event.type === 'step.routed') return event.handled === false
  if (event.type === 'step.joined') return event.outcome === 'failed' && !event.handled
  if (event.type !== 'step.failed' || event.handled) return false
  const { id, index } = parseKey(event.key)
  return index === null || nodeOf(state.graph, id).forEach?.onItemError === 'fail'
}

/** A rejection, a `stop`, a limit: the run ends for what this event says. A cancel comes from outside. */
const leadsToEnd = (event: RunEvent, next: RunEvent | undefined): boolean =>
  event.type !== 'run.started' && next?.type === 'run.stopping' && next.reason !== 'cancelled'

function copyOf(events: readonly RunEvent[], firstSeq: number, cut: Cut, runId: string): RunEvent[] {
  const copy: RunEvent[] = []
  /** New ids by old ones: of waits, and of reviews. */
  const ids = new Map<string, string>()
  const renamed = (id: string): string => {
    const known = ids.get(id) ?? `${runId}.${ids.size + 1}`
    ids.set(id, known)
    return known
  }
  for (const [index, event] of events.entries()) {
    if (firstSeq + index === cut.pausedAt) continue
    if (event.type === 'step.waiting') {
      if (!cut.openWaits.has(event.waitId)) copy.push({ ...event, waitId: renamed(event.waitId) })
    } else if ('reviewId' in event && event.reviewId !== undefined)
      copy.push({ ...event, reviewId: renamed(event.reviewId) })
    else copy.push(event)
  }
  return copy
}
