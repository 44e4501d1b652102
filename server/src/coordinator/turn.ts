/**
 * One turn of a run: its waiting signals are decided in order, and what follows from them becomes its entry in the batch.
 *
 * Owns: the calls of `decide`, and the form in which a decision is committed. It does no I/O and never waits.
 *
 * R16: at most `MAX_SIGNALS_PER_TURN` signals of one run enter a batch. A decision that needs blobs, or that throws,
 * spoils the state and with it the whole entry: nothing of it has left the process, so all its signals are decided again
 * on a state that is loaded anew.
 */
import {
  type Decision,
  type Effect,
  isFinished,
  type Json,
  type NodeTypes,
  type RunState,
  type Signal,
} from '@weft/engine'
import type { RunAppend } from '../store/store.ts'
import type { Engine } from './engine.ts'
import {
  type Entry,
  type Item,
  isFailureAnswered,
  MAX_DEADMAN_MS,
  type OwedEffect,
  type Slot,
} from './slot.ts'
import { planWake } from './wake.ts'

export const MAX_SIGNALS_PER_TURN = 50

const NO_BLOBS: ReadonlyMap<string, Json> = new Map()
const LOOK: Signal = { kind: 'look' }
const TICK: Signal = { kind: 'tick' }

export type TurnOutcome =
  | { readonly kind: 'decided'; readonly entry: Entry }
  | { readonly kind: 'needs_blobs'; readonly hashes: readonly string[] }
  | { readonly kind: 'threw'; readonly error: unknown }

export interface TurnContext {
  readonly engine: Engine
  readonly types: NodeTypes
  readonly now: number
}

const newEntry = (slot: Slot, state: RunState): Entry => ({
  slot,
  items: [],
  firstSeq: state.seq + 1,
  events: [],
  effects: [],
  recheck: [],
  verdicts: [],
  messagesRefused: [],
  opened: [],
  closed: [],
  blobs: [],
  graphs: [],
  report: null,
  append: null,
})

/** Decides the waiting signals of a run whose state is in memory. */
export function takeTurn(slot: Slot, state: RunState, { engine, types, now }: TurnContext): TurnOutcome {
  slot.entry ??= newEntry(slot, state)
  const { entry, fresh } = slot
  const context = { now, types, blobs: slot.blobs ?? NO_BLOBS }
  const items = slot.mailbox.splice(0, MAX_SIGNALS_PER_TURN - entry.items.length)
  /** Tasks that the lane did not hold when a marker was sent that is back now. */
  const missing = new Set<string>()

  /** Answers the blobs that the decision needs, or `null` once it is part of the entry. */
  function decideItem({ signal }: Item): readonly string[] | null {
    // On a state from the log too: the first turn may have been spoiled before it led to anything.
    if (signal.kind === 'begun') return decideSignal(LOOK)
    if (signal.kind === 'marker') {
      for (const taskId of slot.missing?.get(signal.token) ?? []) missing.add(taskId)
      slot.missing?.delete(signal.token)
      return null
    }
    return decideSignal(signal)
  }

  function decideSignal(signal: Signal): readonly string[] | null {
    const tickedAt = slot.tickedAt
    const decision = engine.decide(state, signal, context)
    if (decision.kind === 'needs_blobs') return decision.hashes
    if (signal.kind === 'tick') slot.tickedAt = Math.max(now, state.at)
    absorb(entry, state, decision, signal, tickedAt)
    return null
  }

  entry.items.push(...items)
  try {
    for (const item of items) {
      const hashes = decideItem(item)
      if (hashes) return { kind: 'needs_blobs', hashes }
    }
    // A timer that came due meanwhile must not wait for the next alarm.
    const next = engine.nextWake(state, slot.tickedAt)
    if (next !== null && next <= now) {
      const hashes = decideSignal(TICK)
      if (hashes) return { kind: 'needs_blobs', hashes }
    }
    if (fresh) entry.effects = engine.outstanding(state, now).map((effect) => owed(effect, state))
    else if (missing.size > 0) publishMissing(entry, state, engine, missing, now)
  } catch (error) {
    return { kind: 'threw', error }
  }
  slot.fresh = false
  return { kind: 'decided', entry }
}

type Decided = Extract<Decision, { kind: 'decided' }>

function absorb(entry: Entry, state: RunState, decision: Decided, signal: Signal, tickedAt: number): void {
  for (const event of decision.events) entry.events.push(event)
  // A run that goes on after a pause is owed attempts whose results may be on their way: the lane is asked first.
  const resumed = decision.effects.some((effect) => effect.kind === 'unhalt')
  for (const effect of decision.effects) {
    if (effect.kind === 'dispatch') {
      // Every tick answers all retries that are due; those of an earlier tick were published then.
      if (
        signal.kind === 'tick' &&
        (state.timers.get(effect.task.key) ?? Number.POSITIVE_INFINITY) <= tickedAt
      )
        continue
      if (resumed) {
        entry.recheck.push(effect.task.id)
        continue
      }
    }
    entry.effects.push(owed(signal.kind === 'tick' ? repeated(effect) : effect, state))
  }
  for (const blob of decision.blobs) entry.blobs.push(blob)
  for (const opened of decision.opened) entry.opened.push(opened)
  for (const closed of decision.closed) entry.closed.push(closed)
  if (decision.graph) entry.graphs.push(decision.graph)
  if (decision.report) entry.report = decision.report
  if (signal.kind === 'command') {
    if (!decision.verdict)
      throw new Error(`decide gave no verdict on the command ${signal.command.kind} (${signal.id})`)
    entry.verdicts.push({ commandId: signal.id, verdict: decision.verdict })
    const { command } = signal
    if (command.kind === 'message' && command.waitIds && !decision.verdict.accepted)
      entry.messagesRefused.push({ commandId: signal.id, messageId: command.messageId })
  }
}

/** What follows from these decisions may have been published by another owner already, and done. */
export function mayBeRepeats(entries: readonly Entry[]): void {
  for (const entry of entries)
    entry.effects = entry.effects.map((effect) => ({ ...effect, effect: repeated(effect.effect) }))
}

/**
 * What follows from no commit may have been published by another owner, and done, before this one heard that its session
 * has ended: whoever takes the task looks into the log first.
 */
const repeated = (effect: Effect): Effect =>
  effect.kind === 'dispatch' ? { ...effect, task: { ...effect.task, again: true } } : effect

/** An effect with what it needs from the state of this moment: the state moves on before it is published. */
export const owed = (effect: Effect, state: RunState): OwedEffect => ({
  effect,
  state,
  body:
    effect.kind === 'child' && effect.workflow === undefined
      ? (state.graph.nodes.get(effect.node)?.body ?? null)
      : null,
  occasion: state.phase.kind === 'stopping' ? state.phase.deadline : state.at,
})

function publishMissing(
  entry: Entry,
  state: RunState,
  engine: Engine,
  missing: ReadonlySet<string>,
  at: number,
): void {
  for (const effect of engine.outstanding(state, at)) {
    if (effect.kind === 'dispatch' && missing.has(effect.task.id))
      entry.effects.push(owed(repeated(effect), state))
  }
}

export const isEmpty = (entry: Entry): boolean => entry.events.length === 0 && entry.verdicts.length === 0

/** What is to be done about the run's next moment. */
export interface WakePlan {
  /** New value of `wake_at`; `undefined` leaves it. */
  readonly wakeAt: number | null | undefined
  /** The run's earliest timer. */
  readonly next: number | null
  /** Only people, messages or far timers can move the run. */
  readonly cold: boolean
}

/** A run whose next timer is farther away may leave the memory early. */
const COLD_AFTER_MS = 60_000

/**
 * Plans the run's next wake-up; the slot remembers it. When the one before has fired and somebody still owes the run
 * something, the entry asks the lane whether it holds those tasks, and the switch is set twice as far (R6).
 */
export function planNext(slot: Slot, entry: Entry, state: RunState, engine: Engine, now: number): WakePlan {
  const owes = engine.owesWork(state, now) && !isFailureAnswered(slot, state)
  // A failed run that starts another is done once that one has begun.
  const finished = isFinished(state) && !owes
  // One that came due since the decision, while the batch gathered, has not fired: it rings at once.
  const next = finished ? null : engine.nextWake(state, Math.min(now, slot.tickedAt))
  const cold = !finished && !owes && (next === null || next > now + COLD_AFTER_MS)
  const fired = slot.wakeAt !== null && slot.wakeAt <= now
  if (fired && owes) {
    slot.deadmanMs = Math.min(slot.deadmanMs * 2, MAX_DEADMAN_MS)
    for (const effect of engine.outstanding(state, now)) {
      if (effect.kind === 'dispatch') entry.recheck.push(effect.task.id)
    }
  }
  const { wakeAt: current, deadmanMs } = slot
  const wakeAt = planWake({ current, next, owes, finished, now, deadmanMs })
  if (wakeAt !== undefined) slot.wakeAt = wakeAt
  return { wakeAt, next, cold }
}

/** What the entry commits. */
export function seal(
  entry: Entry,
  state: RunState,
  engine: Engine,
  wakeAt: number | null | undefined,
): RunAppend {
  const { slot } = entry
  const graph = entry.graphs.at(-1)
  const { status, waitingFor } = engine.statusOf(state)
  const ended = isFinished(state) && entry.events.some(isFinal)
  entry.append = {
    runId: slot.runId,
    workspace: slot.workspace,
    firstSeq: entry.firstSeq,
    events: entry.events,
    status,
    waitingFor,
    verdicts: entry.verdicts,
    messagesRefused: entry.messagesRefused,
    waitsOpened: entry.opened,
    waitsClosed: entry.closed,
    ...(wakeAt === undefined ? {} : { wakeAt }),
    ...(ended ? { finished: endOf(state) } : {}),
    ...(graph ? { graph: graph.hash } : {}),
    ...(entry.report ? { parentInbox: entry.report } : {}),
  }
  return entry.append
}

const isFinal = (event: { readonly type: string }): boolean =>
  event.type === 'run.completed' || event.type === 'run.failed' || event.type === 'run.cancelled'

function endOf({ phase }: RunState): RunAppend['finished'] {
  switch (phase.kind) {
    case 'completed':
      return { at: phase.at, output: phase.output, error: null }
    case 'failed':
      return { at: phase.at, output: null, error: phase.error }
    case 'cancelled':
      return { at: phase.at, output: null, error: null }
    default:
      return undefined
  }
}
