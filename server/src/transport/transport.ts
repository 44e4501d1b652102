/**
 * The transport carries; it remembers nothing that matters. Everything in it can be wiped at any moment and is rebuilt
 * from the log (R5). Two implementations stand behind this contract, `memory.ts` for one process and `redis.ts` for many;
 * one conformance suite holds for both.
 *
 * Three lanes: *tasks* per node type, *signals* per partition, *live* for whoever watches.
 */
import type { RunEvent, Signal, Task } from '@weft/engine'

/**
 * The run was begun a moment ago. Carries event 1, so that the owner need not read what was just written; one that is
 * late, redelivered, or older than the ownership is only a reason to load the run (R2).
 */
export interface BegunSignal {
  readonly kind: 'begun'
  readonly workspace: string
  readonly started: Extract<RunEvent, { type: 'run.started' }>
}

/**
 * Sent through a run's own signals by its owner, to know when everything that was there before has been decided. Which of
 * its markers it is matters: one that an owner before has sent, or the same owner earlier, says nothing about what was
 * reported since.
 */
export interface MarkerSignal {
  readonly kind: 'marker'
  readonly token: string
}

/** A signal on its way to the owner of the run's partition. `look` also says: read the run's inbox. */
export interface SignalEnvelope {
  readonly runId: string
  readonly signal: Signal | BegunSignal | MarkerSignal
}

export interface ReceivedSignal extends SignalEnvelope {
  /** Names the message in the lane until it is deleted. */
  readonly receipt: string
  /** How often it was handed out, this time included; above 1 after a crash. */
  readonly deliveries: number
}

export interface TakenTask {
  readonly task: Task
  /** How often the task was taken, this time included. */
  readonly deliveries: number
}

export interface LaneDepth {
  readonly type: string
  readonly waiting: number
  readonly active: number
  /** Age of the oldest waiting task in milliseconds; 0 when none waits. */
  readonly oldestAgeMs: number
}

export interface TaskResult {
  readonly taskId: string
  readonly runId: string
  readonly signal: Signal
  /** The worker may report it again, when the answer is lost: the lane knows for some minutes that it has, see `reportedBy`. */
  readonly mayRepeat?: boolean
}

export interface TaskLane {
  /**
   * Queues tasks. Idempotent by task id: while the lane holds one, queued or taken, a second publish is a no-op. So is
   * that of a task which was `missing`, and was reported since.
   */
  publish(tasks: readonly Task[]): Promise<void>
  /**
   * Takes up to `capacity[type]` tasks of each type; waits until there is at least one, or until `signal` aborts (then
   * the list is empty). Tasks of halted runs are not handed out: each becomes a signal `dropped`.
   */
  take(worker: string, capacity: ReadonlyMap<string, number>, signal: AbortSignal): Promise<TakenTask[]>
  /**
   * Prolongs the leases of a worker's tasks. A task that the lane has forgotten is registered as taken. Of the answer,
   * `abort` names tasks whose run was halted with `abort`; `lost` those that the lane has reported lost or that somebody
   * else has: they abort too, and their results are no longer wanted.
   */
  heartbeat(
    worker: string,
    tasks: readonly Task[],
  ): Promise<{ readonly abort: readonly string[]; readonly lost: readonly string[] }>
  /**
   * The attempt is over: its signal goes into the run's lane and the task is forgotten, both or neither. A task that
   * somebody else has taken stays theirs: this worker's result of it is no longer wanted, as its next heartbeat would say.
   */
  report(worker: string, results: readonly TaskResult[]): Promise<void>
  /** Who has reported this task and may repeat that; `null`: nobody, or long ago. */
  reportedBy(taskId: string): Promise<string | null>
  /** Gives tasks back that were not started: the next `take` gets them under the same attempt. */
  handBack(taskIds: readonly string[]): Promise<void>
  /** Skips the queued tasks of a run (each becomes a signal `dropped`); with `abort`, taken ones get their abort. */
  halt(runId: string, abort: boolean): Promise<void>
  unhalt(runId: string): Promise<void>
  /** Taken tasks whose lease ran out become signals `lost`. Called by the coordinator's loop. */
  reap(): Promise<void>
  /** Those of these tasks that this worker has taken, as they were published: for a process that did not take them. */
  held(worker: string, taskIds: readonly string[]): Promise<Task[]>
  /**
   * Those of these tasks that the lane does not hold. Whoever asks will publish them again, unless one has been reported
   * before: what is reported from now on, for at least a minute, is not queued again.
   */
  missing(taskIds: readonly string[]): Promise<string[]>
  /** Which of these tasks the lane holds, and how. */
  inspect(taskIds: readonly string[]): Promise<ReadonlyMap<string, 'queued' | 'taken'>>
  depth(): Promise<LaneDepth[]>
}

export interface SignalLane {
  send(signals: readonly SignalEnvelope[]): Promise<void>
  /**
   * Hands out signals of these partitions, at most `limit`, oldest first; waits until there is one or `signal` aborts.
   * What was received and not deleted is handed out again after `reset`.
   */
  receive(partitions: ReadonlySet<number>, limit: number, signal: AbortSignal): Promise<ReceivedSignal[]>
  /** After their events are committed (R2). */
  delete(receipts: readonly string[]): Promise<void>
  /** The owner of these partitions starts again: what was received and not deleted is handed out once more. */
  reset(partitions: ReadonlySet<number>): Promise<void>
  /** How many signals, of all partitions, are not deleted yet. */
  lag(): Promise<number>
}

/** Fire and forget. `seq` numbers stand in the log; everything without one may be lost. */
export type LiveMessage =
  | {
      readonly kind: 'event'
      readonly runId: string
      readonly workspace: string
      readonly seq: number
      readonly event: unknown
    }
  | {
      readonly kind: 'attempt'
      readonly runId: string
      readonly workspace: string
      readonly key: string
      readonly attempt: number
      readonly state: 'started' | 'progress' | 'log'
      readonly percent?: number
      readonly text?: string
      readonly at: number
    }
  | { readonly kind: 'verdict'; readonly commandId: string }
  /** The run was halted with `abort`: whoever performs attempts of it aborts them now. Published by the task lane. */
  | { readonly kind: 'halted'; readonly runId: string }
  /** A coordinator came, or let go of partitions: the others look whether there is something for them. */
  | { readonly kind: 'partitions' }
  /** A node type was registered or changed: every process reads them again. */
  | { readonly kind: 'node_types' }

export interface LiveLane {
  publish(messages: readonly LiveMessage[]): void
  /** Calls back for every message; the returned function ends the subscription. */
  subscribe(listener: (message: LiveMessage) => void): () => void
}

export interface Transport {
  readonly kind: 'memory' | 'redis'
  readonly tasks: TaskLane
  readonly signals: SignalLane
  readonly live: LiveLane
  /**
   * Calls back when what the lanes held is gone (a wipe, a failover): owners wait one heartbeat interval, in which
   * workers register what they perform, then publish what is owed again. In memory that never happens.
   */
  onWiped(listener: () => void): () => void
  close(): Promise<void>
}

/**
 * The transport cannot be reached. Nothing that matters is lost (R5): what is owed is published when it answers again,
 * which it is asked to by itself.
 */
export class TransportUnavailable extends Error {
  override readonly name = 'TransportUnavailable'
  readonly code = 'transport_unavailable'
  /** `reason`: which server, and what it said. */
  constructor(reason: string, cause?: unknown) {
    super(
      `The transport does not answer: ${reason}. Weft connects again by itself; nothing is lost meanwhile, and steps go on when it is back.`,
      { cause },
    )
  }
}

/** How long a worker may be silent before its tasks are lost. */
export const LEASE_MS = 15_000
/** Who holds tasks beats at least this often. */
export const HEARTBEAT_INTERVAL_MS = LEASE_MS / 3

export const PARTITIONS = 16

/** The partition of a run, fixed at its creation: by the last hexadecimal digit of its id (R4). */
export const partitionOf = (runId: string): number => Number.parseInt(runId.slice(-1), 16)
