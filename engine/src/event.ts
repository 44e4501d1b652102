/**
 * What happened in a run: durable facts, numbered `seq` from 1, the only source of its state (R1).
 *
 * An event carries everything that an expression yielded when it was decided (the edges taken, the label, the number of
 * items, the wake time), so that `evolve` never evaluates one. There are no events for ready, dispatched or started
 * (R8): those follow from the others. Values over 32 KiB stand here as a blob reference.
 *
 * An event type only ever gains optional fields; a change of meaning is a new type. A process that meets a type which is
 * not among its `KNOWN_EVENTS` sets that run aside (R4).
 */
import type { StepError, Warning } from './errors.ts'
import type { Json, JsonObject } from './json.ts'

/** Bytes that left the log for the blob store. */
export interface BlobRef {
  readonly $blob: string
  readonly bytes: number
  readonly contentType: string
}

/** Which outgoing edges of a settled node were taken, by target; every other outgoing edge is dead. */
export interface Route {
  readonly taken: readonly string[]
  /** Edges whose condition could not be evaluated: the target fails with this. */
  readonly failed?: readonly { readonly to: string; readonly error: StepError }[]
}

export interface ParentLink {
  readonly runId: string
  readonly key: string
  readonly round: number
  /** The first run of the family: limits and budgets that are shared hang there. */
  readonly rootId: string
  /** 1 for a child of a root run. */
  readonly depth: number
}

/** The run that the first events of this one were copied from. */
export interface ForkLink {
  readonly runId: string
  /** Its last event that was copied. */
  readonly seq: number
  /** How many events this run began with: `run.started`, the copies, and the patch of a fork that began with one. */
  readonly copied: number
  /** When this run began. (Copies keep their times.) */
  readonly at: number
  readonly reason?: string
}

/** Who sends a patch: people and programs by the API, or an agent from within a step. */
export type Proposer = 'api' | 'agent'

/** What a review holds until it is over. */
export interface Holds {
  /** Steps that the patch changes or removes: they do not start. */
  readonly starts: readonly string[]
  /** The proposing step, and steps whose outgoing edges the patch changes: they run, and their edges wait. */
  readonly routes: readonly string[]
}

/** What an open wait waits for, as far as the log must know. */
export type WaitSpec =
  | { readonly kind: 'timer' }
  | {
      readonly kind: 'approval'
      readonly title: string
      readonly body?: string
      readonly form?: JsonObject
      readonly assignees?: readonly string[]
      /** `timeout`: nothing was said, the step completes with that label. */
      readonly onTimeout: 'approve' | 'reject' | 'fail' | 'timeout'
    }
  | {
      readonly kind: 'message'
      readonly name: string
      readonly correlationKey?: string
      readonly match?: string
    }
  | {
      readonly kind: 'child'
      readonly childId: string
      /** `name[@tag]` of a stored workflow; without it the node's inline body. */
      readonly workflow?: string
      readonly input: Json
    }

interface Base {
  /** Milliseconds since 1970; never before the previous event's. */
  readonly at: number
}

/** What every event about one step names. `key` is the node's id, or `id[3]` for an item of a `forEach`. */
interface StepBase extends Base {
  readonly key: string
  readonly round: number
}

export type RunEvent =
  | (Base & {
      readonly type: 'run.started'
      readonly graph: string
      readonly input: Json
      readonly labels: Readonly<Record<string, string>>
      readonly workflow: { readonly name: string; readonly version: number | null }
      /** Captured values of the `vars.<name>` that the graph reads. */
      readonly vars: JsonObject
      readonly actor: string
      readonly parent?: ParentLink
      /** In a body of a `forEach`. */
      readonly item?: Json
      readonly index?: number
      readonly forkedFrom?: ForkLink
      /** The run whose failure started this one (`onFailure`). */
      readonly failureOf?: string
    })
  /** The node's own `when` was true: it starts. Nodes without `when` start without an event. */
  | (StepBase & { readonly type: 'step.admitted' })
  /** The node's own `when` was false. (Dead paths need no event: they follow from the routes.) */
  | (StepBase & { readonly type: 'step.skipped'; readonly route?: Route })
  /** A `forEach` was evaluated. `items` is the list, or the blob that holds it. */
  | (StepBase & { readonly type: 'step.expanded'; readonly count: number; readonly items: Json })
  /** A control step, or an item of one, waits. `wakeAt`: its timer, timeout or deadline; `null` for none. */
  | (StepBase & {
      readonly type: 'step.waiting'
      readonly waitId: string
      readonly wait: WaitSpec
      readonly wakeAt: number | null
    })
  /** A try failed and there will be another. */
  | (StepBase & {
      readonly type: 'attempt.failed'
      readonly attempt: number
      readonly error: StepError
      readonly retryAt: number
      readonly startedAt?: number
      readonly worker?: string
    })
  /** One round of a `repeat` is over and the next starts at `nextAt`. */
  | (StepBase & {
      readonly type: 'step.repeated'
      readonly output: Json
      readonly nextAt: number
      /** How the wait of the round ended, who ended it, and with which message. */
      readonly label?: string
      readonly actor?: string
      readonly messageId?: string
    })
  | (StepBase & {
      readonly type: 'step.completed'
      readonly attempt: number
      readonly output: Json
      readonly label?: string
      /** Absent for an item of a `forEach`, since the step routes once, and while a review holds the edges. */
      readonly route?: Route
      readonly startedAt?: number
      readonly worker?: string
      readonly actor?: string
      readonly warnings?: readonly Warning[]
      /** The message that a `wait` node took from the run's buffer or from outside. */
      readonly messageId?: string
    })
  | (StepBase & {
      readonly type: 'step.failed'
      readonly attempt: number
      readonly error: StepError
      /** By an edge on `failure` or by `onError: continue`. Unhandled, it settles no edge and the run stops. */
      readonly handled: boolean
      readonly route?: Route
      readonly startedAt?: number
      readonly worker?: string
    })
  /** While stopping: an attempt, or a child, reported that it ended without a result. */
  | (StepBase & { readonly type: 'step.cancelled'; readonly attempt: number })
  /**
   * All items of a `forEach` are settled: the step itself is. Its output is the list of the items' outputs in order,
   * written out only when it was moved to a blob; else it is what the log already holds.
   */
  | (StepBase & {
      readonly type: 'step.joined'
      readonly outcome: 'completed' | 'failed'
      readonly output?: Json
      readonly label?: string
      readonly error?: StepError
      readonly handled?: boolean
      readonly route?: Route
      readonly warnings?: readonly Warning[]
    })
  /**
   * The edges of a step that a review held, decided now: of its `step.completed`, `step.failed`, `step.skipped` or
   * `step.joined`, which had no route. `handled` is false for a failure that nothing deals with any more.
   */
  | (StepBase & {
      readonly type: 'step.routed'
      readonly route?: Route
      readonly handled?: false
      readonly warnings?: readonly Warning[]
    })
  | (Base & {
      readonly type: 'message.received'
      readonly messageId: string
      readonly name: string
      readonly correlationKey?: string
      readonly data: Json
      readonly actor: string
      readonly expiresAt: number
    })
  | (Base & { readonly type: 'run.paused'; readonly actor: string })
  | (Base & { readonly type: 'run.resumed'; readonly actor: string })
  | (Base & {
      readonly type: 'run.patched'
      readonly actor: string
      readonly reason: string
      readonly operations: Json
      readonly before: string
      readonly after: string
      /** Absent: by the API. */
      readonly by?: Proposer
      /** The step that proposed it. */
      readonly stepKey?: string
      /** The review that it passed, and who approved it there. */
      readonly reviewId?: string
      readonly approvedBy?: string
      /** Edges added from sources that are already settled: which of them are taken. */
      readonly routes?: Readonly<Record<string, Route>>
      readonly vars?: JsonObject
    })
  /** A patch that is applied only once a person has approved it. */
  | (Base & {
      readonly type: 'patch.proposed'
      readonly reviewId: string
      readonly actor: string
      readonly by: Proposer
      readonly stepKey?: string
      readonly reason: string
      readonly operations: Json
      readonly vars?: JsonObject
      /** Hash of the definition that it was judged against. */
      readonly before: string
      readonly preview: Json
      readonly holds: Holds
      /** `null` for a run that has ended: nothing of it moves by itself. */
      readonly expiresAt: number | null
    })
  /**
   * The review is over. `approved`: the `run.patched` right before is that patch. `refused`: it was approved, and the run
   * could not take it by then. `dropped`: a fork does not take it along. (A run that stops drops its reviews itself.)
   */
  | (Base & {
      readonly type: 'patch.reviewed'
      readonly reviewId: string
      readonly outcome: 'approved' | 'rejected' | 'timeout' | 'refused' | 'dropped'
      readonly actor?: string
      readonly comment?: string
      readonly refusal?: { readonly code: string; readonly message: string }
    })
  | (Base & {
      readonly type: 'run.stopping'
      readonly reason: 'completed' | 'failed' | 'cancelled'
      readonly error?: StepError
      readonly output?: Json
      readonly actor?: string
      /** When the run ends even if attempts have not reported: 10 s later (R11). */
      readonly deadline: number
    })
  | (Base & { readonly type: 'run.completed'; readonly output: Json; readonly warnings?: readonly Warning[] })
  | (Base & { readonly type: 'run.failed'; readonly error: StepError })
  | (Base & { readonly type: 'run.cancelled'; readonly actor: string })
  /** Failed and cancelled steps become ready again, with fresh attempts. */
  | (Base & { readonly type: 'run.retried'; readonly actor: string })

export type EventType = RunEvent['type']

/** Every event type that this version of the engine can fold. */
export const KNOWN_EVENTS: Readonly<Record<EventType, true>> = {
  'run.started': true,
  'step.admitted': true,
  'step.skipped': true,
  'step.expanded': true,
  'step.waiting': true,
  'attempt.failed': true,
  'step.repeated': true,
  'step.completed': true,
  'step.failed': true,
  'step.cancelled': true,
  'step.joined': true,
  'step.routed': true,
  'message.received': true,
  'run.paused': true,
  'run.resumed': true,
  'run.patched': true,
  'patch.proposed': true,
  'patch.reviewed': true,
  'run.stopping': true,
  'run.completed': true,
  'run.failed': true,
  'run.cancelled': true,
  'run.retried': true,
}

export const isBlobRef = (value: unknown): value is BlobRef =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as { $blob?: unknown }).$blob === 'string' &&
  /^sha256:[0-9a-f]{64}$/.test((value as { $blob: string }).$blob) &&
  typeof (value as { bytes?: unknown }).bytes === 'number'
