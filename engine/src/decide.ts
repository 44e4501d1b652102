/**
 * `decide`: what follows from a signal. Every rule of how a run moves is behind this function; nothing else makes events.
 *
 * It folds each event into `state` as it emits it. When it asks for blobs, or throws, the state is spoiled: whoever
 * called drops it, loads the log again and, with the blobs at hand, calls once more. Invariants: a signal that is already
 * known changes nothing (R2); after a decision every live unit is owed to a worker or waits for something named; a run
 * without live units has ended (or is paused).
 */

import { perform } from './decide/command.ts'
import {
  type ClosedWait,
  type DecideContext,
  type Draft,
  draft,
  emit,
  MissingBlobs,
  type OpenedWait,
  offload,
  StepFault,
} from './decide/draft.ts'
import { settleEntering } from './decide/enter.ts'
import { dropCopiedReviews } from './decide/reviewing.ts'
import { rendered } from './decide/scope.ts'
import { complete, failAttempt, joinItems, routeHeld, stop } from './decide/settle.ts'
import { fireTimers } from './decide/time.ts'
import type { Effect } from './effect.ts'
import type { RunEvent } from './event.ts'
import type { Graph } from './graph.ts'
import type { Json, JsonObject } from './json.ts'
import { type ChildReport, childReport, effectsOf, failureEffects, outstanding } from './outstanding.ts'
import { nodeOf, stepOf } from './routing.ts'
import { isFinished, type RunState, type Unit } from './run.ts'
import type { AttemptName, Signal, Verdict } from './signal.ts'
import { findUnit, liveUnits } from './unit.ts'

export type { ClosedWait, DecideContext, OpenedWait } from './decide/draft.ts'
export { CONTROL_READ_LIMIT, INLINE_LIMIT } from './decide/draft.ts'

export type Decision =
  | {
      readonly kind: 'decided'
      readonly events: readonly RunEvent[]
      /** Newly owed; to be published only after the events are committed (R2). */
      readonly effects: readonly Effect[]
      readonly verdict?: Verdict
      /** Values that left the log: to be stored before the events that name them. */
      readonly blobs: readonly { readonly hash: string; readonly text: string }[]
      readonly opened: readonly OpenedWait[]
      readonly closed: readonly ClosedWait[]
      /** What the parent's inbox is to be told, in the statement that commits the events (R15). */
      readonly report?: ChildReport
      /** The run's new graph, after a patch. */
      readonly graph?: Graph
    }
  | { readonly kind: 'needs_blobs'; readonly hashes: readonly string[] }

export function decide(state: RunState, signal: Signal, context: DecideContext): Decision {
  const work = draft(state, context)
  const phaseBefore = state.phase.kind
  try {
    takeUp(work)
    handle(work, signal)
    settleEntering(work)
    if (state.unrouted.size > 0) {
      routeHeld(work)
      settleEntering(work)
    }
    conclude(work)
  } catch (error) {
    if (error instanceof MissingBlobs) return { kind: 'needs_blobs', hashes: error.hashes }
    throw error
  }
  const report = reportOf(work, signal)
  return {
    kind: 'decided',
    events: work.events,
    effects: newlyOwed(work, phaseBefore),
    ...(work.verdict ? { verdict: work.verdict } : {}),
    blobs: [...work.blobs].map(([hash, text]) => ({ hash, text })),
    opened: work.opened,
    closed: work.touched.closedWaits.map((waitId) => ({ waitId, ...closedAs(state, waitId), at: work.now })),
    ...(report ? { report } : {}),
    ...(work.patched ? { graph: work.patched } : {}),
  }
}

const isFinal = ({ type }: RunEvent): boolean =>
  type === 'run.completed' || type === 'run.failed' || type === 'run.cancelled'

function reportOf(work: Draft, signal: Signal): ChildReport | null {
  // Not "was unfinished before": a retried child may end within the decision that retried it.
  if (work.events.some(isFinal)) return childReport(work.state)
  const again = work.reportAgain && signal.kind === 'command' ? childReport(work.state) : null
  // The first report was settled by a parent that no longer waited: this is another row of its inbox.
  return again && signal.kind === 'command' ? { ...again, id: `${signal.id}:report` } : null
}

const closedAs = (state: RunState, waitId: string): { outcome: string; actor: string | null } =>
  state.closedWaits.get(waitId) ?? { outcome: 'closed', actor: null }

/**
 * Event 1 leaves its roots entering, and the copied events of a fork may end in the middle of what one decision made:
 * nothing has decided yet what follows.
 */
function takeUp(work: Draft): void {
  const { state } = work
  if (state.seq !== (state.forkedFrom?.copied ?? 1)) return
  for (const unit of liveUnits(state))
    if (unit.activity.phase === 'entering') work.touched.units.add(unit.key)
  for (const id of [...state.live]) {
    const step = stepOf(state, id)
    if (step.items) joinItems(work, step, nodeOf(state.graph, id))
  }
  dropCopiedReviews(work)
  settleEntering(work)
}

function handle(work: Draft, signal: Signal): void {
  switch (signal.kind) {
    case 'look':
      return
    case 'tick':
      fireTimers(work)
      return
    case 'command':
      work.verdict = perform(work, signal.command, signal.actor)
      return
    case 'completed': {
      const unit = currentAttempt(work.state, signal)
      if (!unit) return
      const { output, label, startedAt, worker, warnings } = signal
      complete(work, unit, {
        output,
        startedAt,
        worker,
        ...(label === undefined ? {} : { label }),
        ...(warnings === undefined ? {} : { warnings }),
      })
      return
    }
    case 'failed': {
      const unit = currentAttempt(work.state, signal)
      if (unit) failAttempt(work, unit, signal.error, { startedAt: signal.startedAt, worker: signal.worker })
      return
    }
    case 'lost': {
      const unit = currentAttempt(work.state, signal)
      if (unit) failAttempt(work, unit, LOST, {})
      return
    }
    case 'dropped': {
      const unit = currentAttempt(work.state, signal)
      if (unit && work.state.phase.kind === 'stopping')
        emit(work, { type: 'step.cancelled', ...nameOf(unit) })
      return
    }
  }
}

const nameOf = (unit: Unit): AttemptName => ({ key: unit.key, round: unit.round, attempt: unit.attempt })

const LOST = {
  code: 'worker_lost',
  message: 'The worker that performed the attempt is gone: its lease ran out without a word.',
  retryable: true,
}

/** The live unit that an attempt's signal speaks of; `null` for a stale one (R7). */
function currentAttempt(state: RunState, name: AttemptName): Unit | null {
  const unit = findUnit(state, name.key)
  if (!unit || unit.round !== name.round || unit.attempt !== name.attempt) return null
  const { phase } = unit.activity
  return phase === 'working' || phase === 'backoff' || phase === 'between' ? unit : null
}

/** Limits, and the end of a run that has nothing left to do. */
function conclude(work: Draft): void {
  const { state } = work
  if (state.phase.kind === 'active') checkLimits(work)
  // A patch under review may add steps behind the last one.
  if (state.phase.kind === 'active' && state.live.size === 0 && state.reviews.size === 0) finish(work)
  if (state.phase.kind !== 'stopping') return
  const { deadline, reason, error, output, actor } = state.phase
  if (state.live.size > 0 && work.now < deadline) return
  if (reason === 'completed') emit(work, { type: 'run.completed', output })
  else if (reason === 'cancelled') emit(work, { type: 'run.cancelled', actor: actor ?? 'system' })
  else emit(work, { type: 'run.failed', error: error ?? UNKNOWN_FAILURE })
}

const UNKNOWN_FAILURE = { code: 'failed', message: 'The run failed.', retryable: false }

function finish(work: Draft): void {
  try {
    emit(work, { type: 'run.completed', output: offload(work, runOutput(work)) })
  } catch (fault) {
    if (!(fault instanceof StepFault)) throw fault
    stop(work, 'failed', { error: fault.error })
  }
}

/** As the definition says; without `output`, what the final step, or each of the final steps, yielded. */
function runOutput(work: Draft): Json {
  const { graph, steps } = work.state
  if (graph.output) return rendered(work, graph.output, { pointer: '/output' })
  const finals = graph.order.filter((id) => graph.nodes.get(id)?.outgoing.length === 0)
  const [only] = finals
  if (finals.length === 1 && only !== undefined) return steps.get(only)?.output ?? null
  const outputs: JsonObject = {}
  for (const id of finals)
    if (steps.get(id)?.status === 'completed') outputs[id] = steps.get(id)?.output ?? null
  return outputs
}

function checkLimits(work: Draft): void {
  const { state } = work
  const { limits } = state.graph
  if (state.spentSteps > limits.steps)
    exceeded(work, 'too_many_steps', 'steps', limits.steps, 'started more than')
  else if (state.spentAgents > limits.agents)
    exceeded(work, 'too_many_agents', 'agents', limits.agents, 'started more than')
  // Room is kept for the events that end the run.
  else if (state.seq > limits.events)
    exceeded(work, 'log_too_long', 'events', limits.events, 'recorded more than')
}

function exceeded(work: Draft, code: string, limit: string, figure: number, what: string): void {
  const advice = limit === 'events' ? ' Put long loops into child runs.' : ''
  stop(work, 'failed', {
    error: {
      code,
      message: `The run ${what} ${figure} ${limit}, its limit (\`limits.${limit}\`). Raise the limit if that is meant.${advice}`,
      retryable: false,
    },
  })
}

function newlyOwed(work: Draft, phaseBefore: RunState['phase']['kind']): Effect[] {
  const { state } = work
  const effects: Effect[] = work.cancelledChildren.map((childId) => ({ kind: 'cancel_child', childId }))
  if (isFinished(state)) {
    // Attempts that outlived the grace are told to end.
    if (phaseBefore === 'stopping' || work.events.some((event) => event.type === 'run.stopping')) {
      effects.push({ kind: 'halt', abort: true, attempts: [] })
    }
    if (work.events.some(({ type }) => type === 'run.failed')) effects.push(...failureEffects(state))
    return effects
  }
  if (state.phase.kind === 'paused') {
    if (phaseBefore !== 'paused') effects.push({ kind: 'halt', abort: false, attempts: [] })
    return effects
  }
  if (state.phase.kind === 'stopping') {
    if (phaseBefore !== 'stopping') effects.push(...outstanding(state, work.now))
    return effects
  }
  if (work.resumed) return [...effects, { kind: 'unhalt' }, ...outstanding(state, work.now)]
  for (const key of work.touched.units) effects.push(...effectsOf(state, key, work.now))
  return effects
}
