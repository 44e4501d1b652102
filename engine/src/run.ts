/**
 * The state of a run: a fold of its events (R1), plain data that compares with `deepEqual`.
 *
 * A state belongs to whoever loaded it: `evolve` updates it in place, because work per signal must not grow with the
 * graph (R8). Whoever's commit fails, or whose `decide` threw, throws the state away and folds the log again.
 */

import type { Definition } from './definition.ts'
import type { StepError, Warning } from './errors.ts'
import type { ForkLink, Holds, ParentLink, Proposer, WaitSpec } from './event.ts'
import type { Graph } from './graph.ts'
import type { Json, JsonObject } from './json.ts'

export type RunStatus =
  | 'queued'
  | 'running'
  | 'waiting'
  | 'paused'
  | 'stopping'
  | 'completed'
  | 'failed'
  | 'cancelled'

export type StepStatus =
  | 'pending'
  | 'ready'
  | 'running'
  | 'waiting'
  | 'completed'
  | 'failed'
  | 'skipped'
  | 'cancelled'

/**
 * What a live unit (a step without `forEach`, or one item) is doing:
 * `entering` the join is met and `decide` must still say what happens (never outlives one call of `decide`);
 * `working` an attempt is owed by a worker; `backoff` the next attempt starts at `at`; `between` the next round starts
 * at `at`; `waiting` a wait is open.
 */
export type Activity =
  | { readonly phase: 'entering'; readonly admitted: boolean }
  | { readonly phase: 'working' }
  | { readonly phase: 'backoff'; readonly at: number }
  | { readonly phase: 'between'; readonly at: number }
  | {
      readonly phase: 'waiting'
      readonly waitId: string
      readonly wait: WaitSpec
      readonly wakeAt: number | null
    }

/** One thing that is performed: a step, or an item of a `forEach` step. */
export interface Unit {
  readonly key: string
  activity: Activity
  round: number
  /** The current attempt; grows over the life of the round and is never reused (R7). */
  attempt: number
  /** Attempts before this one do not count against the retry policy: set by a retry from failure. */
  attemptsBefore: number
  /** Losses in a row; two fail the step. */
  losses: number
  /** When the unit began to be what it is now. */
  since: number
}

export interface ItemsState {
  readonly count: number
  /** The list itself, or the blob that holds it. */
  readonly list: Json
  /** Index of the first item that has not been started. */
  next: number
  /** Live items by index. */
  readonly live: Map<number, Unit>
  /** Outputs of completed items by index; an item that is not settled has none yet. */
  readonly outputs: Map<number, Json>
  readonly labels: Map<number, string>
  readonly failed: Map<number, StepError>
  /** Items that were started and stopped without a result; they run again after a retry. */
  readonly cancelled: Set<number>
  /** Last attempt of items that failed or were cancelled, so that no attempt is ever reused (R7). */
  readonly lastAttempts: Map<number, number>
}

export interface StepState {
  readonly id: string
  /** `ready` is every live step; what it is doing is in its units (`view.ts` tells running from waiting). */
  status: Exclude<StepStatus, 'running' | 'waiting'>
  /** Incoming edges that are neither taken nor dead yet. */
  unmet: number
  /** Incoming edges taken. */
  taken: number
  /** The live unit of a step without `forEach` (or of one that is not expanded yet). */
  unit: Unit | null
  items: ItemsState | null
  output: Json
  label: string | null
  error: StepError | null
  /** Failed, and an edge or `onError` dealt with it. */
  handled: boolean
  /** Targets of the outgoing edges that were taken, once settled. */
  routed: readonly string[] | null
  /** The round it is in, or ended in: a retry goes on there. */
  round: number
  /** The last attempt of that round that was used, so that none is ever reused (R7). */
  attempts: number
  reachedAt: number | null
  startedAt: number | null
  settledAt: number | null
  worker: string | null
  actor: string | null
  warnings: readonly Warning[]
}

export interface BufferedMessage {
  readonly id: string
  readonly name: string
  readonly correlationKey: string | null
  readonly data: Json
  readonly expiresAt: number
}

export interface ClosedWaitState {
  /** A label of the step, `failed` (timed out into a failure), `closed` (the run stopped) or `superseded` (and went on). */
  readonly outcome: string
  readonly actor: string | null
}

/** A patch that a person has yet to decide about. */
export interface Review {
  /** Of the same series as those of waits: it is an approval's id. */
  readonly id: string
  readonly actor: string
  readonly by: Proposer
  readonly stepKey: string | null
  readonly reason: string
  /** The operations, or the blob that holds them. */
  readonly operations: Json
  readonly vars: JsonObject | null
  readonly before: string
  readonly holds: Holds
  readonly proposedAt: number
  readonly expiresAt: number | null
}

/** What a live unit waits for, as `waitingFor` names it. */
export type WaitsFor = 'worker' | 'timer' | 'approval' | 'message' | 'child'

/** Where the run is in its life; a shape per phase, so that an illegal state has none. */
export type Phase =
  | { readonly kind: 'active' }
  | { readonly kind: 'paused'; readonly since: number; readonly actor: string }
  | {
      readonly kind: 'stopping'
      readonly reason: 'completed' | 'failed' | 'cancelled'
      readonly error: StepError | null
      readonly output: Json
      readonly actor: string | null
      readonly deadline: number
    }
  | { readonly kind: 'completed'; readonly at: number; readonly output: Json }
  /** `seq`: number of the event that ended it; a patch may follow it. */
  | { readonly kind: 'failed'; readonly at: number; readonly seq: number; readonly error: StepError }
  | { readonly kind: 'cancelled'; readonly at: number; readonly actor: string }

export interface RunState {
  readonly id: string
  graph: Graph
  /** Number of the last event folded. */
  seq: number
  /** Time of the last event folded. */
  at: number
  phase: Phase
  readonly input: Json
  readonly labels: Readonly<Record<string, string>>
  readonly workflow: { readonly name: string; readonly version: number | null }
  vars: JsonObject
  readonly startedAt: number
  readonly actor: string
  readonly parent: ParentLink | null
  readonly forkedFrom: ForkLink | null
  /** The run whose failure started this one. */
  readonly failureOf: string | null
  readonly item: Json | undefined
  readonly index: number | undefined
  readonly steps: Map<string, StepState>
  /** Ids of the steps that were reached and are not settled, in the order in which they were reached. */
  readonly live: Set<string>
  /** How many live units wait for what; kept so that the status costs nothing per signal (R8). */
  readonly waitingOn: Record<WaitsFor, number>
  /** Keys of units whose activity carries a time, with that time. */
  readonly timers: Map<string, number>
  /** Open waits by id. */
  readonly waits: Map<string, string>
  /** Waits of people and messages that are over, by id, so that a late answer gets a true reply. */
  readonly closedWaits: Map<string, ClosedWaitState>
  /** Patches under review by id, the oldest first. */
  readonly reviews: Map<string, Review>
  /** Settled steps whose edges a review held and nothing has decided since. */
  readonly unrouted: Set<string>
  readonly messages: BufferedMessage[]
  /** Messages already counted, by the sender's id. */
  readonly messageIds: Set<string>
  /** Waits and reviews opened so far; numbers their ids. */
  waitCount: number
  /** Steps and items started so far, and agents among them. */
  spentSteps: number
  spentAgents: number
  patchCount: number
  /** Versions of the run's definition: hashes, the base first. */
  readonly versions: string[]
  /** The definitions of earlier versions, by hash: a patch may have been written against one of them. */
  readonly earlier: Map<string, Definition>
  readonly warnings: Warning[]
}

export const isFinished = (state: RunState): boolean =>
  state.phase.kind === 'completed' || state.phase.kind === 'failed' || state.phase.kind === 'cancelled'

/** Whether a review holds the step back from starting. */
export const holdsStart = ({ reviews }: RunState, id: string): boolean =>
  reviews.size > 0 && [...reviews.values()].some(({ holds }) => holds.starts.includes(id))

/** Whether a review holds the edges out of the step. */
export const holdsRoute = ({ reviews }: RunState, id: string): boolean =>
  reviews.size > 0 && [...reviews.values()].some(({ holds }) => holds.routes.includes(id))

export const itemKey = (id: string, index: number): string => `${id}[${index}]`

/** Splits a step key into its node and, for an item, the index. */
export function parseKey(key: string): { id: string; index: number | null } {
  const open = key.indexOf('[')
  return open < 0
    ? { id: key, index: null }
    : { id: key.slice(0, open), index: Number(key.slice(open + 1, -1)) }
}

/** When the run must have ended by its own limit; `null` without one. */
export const endsBy = (state: RunState): number | null =>
  state.graph.limits.durationMs === null
    ? null
    : (state.forkedFrom?.at ?? state.startedAt) + state.graph.limits.durationMs
