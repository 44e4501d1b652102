/**
 * The store's verbs. Postgres remembers: everything that must survive is behind this contract, and only `store/` writes
 * SQL. Methods are verbs of the domain that take one readonly object (never "update row"), grouped by noun, one file
 * each. Times come in as milliseconds (R12).
 */
import type {
  BlobRef,
  Command,
  EventType,
  Json,
  JsonObject,
  NodeTypeInfo,
  OpenedWait,
  ParentLink,
  RunEvent,
  RunStatus,
  StepError,
  Verdict,
} from '@weft/engine'
import type { MessageStore } from './message-store.ts'

export interface NewRun {
  readonly id: string
  readonly workspace: string
  readonly workflow: string
  readonly version: number | null
  /** Hash of the graph; its definition was stored before (`graphs.put`). */
  readonly graph: string
  /** Event 1: `run.started`. */
  readonly started: Extract<RunEvent, { type: 'run.started' }>
  /** Of a fork: the events that follow, copied from another run. */
  readonly copied?: readonly RunEvent[]
  readonly idempotency?: { readonly route: string; readonly key: string; readonly bodyHash: string }
}

export type BeginOutcome =
  | { readonly kind: 'begun' }
  /** The id, or the idempotency key with the same body, exists: the answer is that run. */
  | { readonly kind: 'exists'; readonly runId: string }
  | { readonly kind: 'key_reused' }

export interface RunRow {
  readonly id: string
  readonly workspace: string
  readonly workflow: string
  readonly version: number | null
  readonly graph: string
  readonly status: RunStatus
  readonly waitingFor: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly input: Json
  readonly output: Json
  readonly error: StepError | null
  readonly parent: ParentLink | null
  readonly seq: number
  readonly createdAt: number
  readonly finishedAt: number | null
  readonly wakeAt: number | null
  readonly stuckReason: string | null
}

export interface RunFilter {
  readonly workspace: string
  readonly status?: readonly RunStatus[]
  readonly workflow?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly parentId?: string
  /** In quarantine. */
  readonly stuck?: true
  /** Runs that somebody started: no bodies, no children. */
  readonly roots?: true
  readonly limit: number
  /** Opaque; from the previous page. */
  readonly cursor?: string
}

export interface StoredEvent {
  readonly seq: number
  readonly event: RunEvent
}

export interface InboxRow {
  readonly id: string
  readonly runId: string
  readonly actor: string
  readonly command: Command
}

export type InboxOutcome =
  | { readonly kind: 'queued' }
  /** The same command id was there already: settled with this verdict, or still waiting. */
  | { readonly kind: 'exists'; readonly verdict: Verdict | null }
  | { readonly kind: 'no_run' }

/** What one batch of a coordinator commits for one run, in one statement for the whole batch. */
export interface RunAppend {
  readonly runId: string
  readonly workspace: string
  /** `seq` of the first event; the others follow. */
  readonly firstSeq: number
  readonly events: readonly RunEvent[]
  readonly status: RunStatus
  readonly waitingFor: readonly string[]
  /** New value of `wake_at`; `undefined` leaves it, `null` clears it. */
  readonly wakeAt?: number | null
  /** Set with the final event. */
  readonly finished?: { readonly at: number; readonly output: Json; readonly error: StepError | null }
  /** Set with `run.patched`. */
  readonly graph?: string
  readonly verdicts: readonly { readonly commandId: string; readonly verdict: Verdict }[]
  /** Waits of people and messages that opened or closed: rows for inboxes and correlation. */
  readonly waitsOpened: readonly OpenedWait[]
  readonly waitsClosed: readonly {
    readonly waitId: string
    readonly outcome: string
    readonly actor: string | null
    readonly at: number
  }[]
  /** Messages that came by correlation and that the run refused: whoever refused last leaves them kept again. */
  readonly messagesRefused?: readonly { readonly commandId: string; readonly messageId: string }[]
  /** With the final event of a child: the parent's inbox row, in the same statement (R15). */
  readonly parentInbox?: { readonly id: string; readonly parentId: string; readonly command: Command }
}

export interface LoadedRun {
  readonly row: RunRow
  readonly events: readonly StoredEvent[]
  /** Commands that wait for their verdict, oldest first. */
  readonly inbox: readonly InboxRow[]
}

/**
 * The one Postgres session on which a coordinator owns partitions and appends (R3): it holds the advisory locks, and a
 * session that ended can append nothing.
 */
export interface OwnerSession {
  /** Names the session among all that the database has had: with it a peer ends the one it means. */
  readonly id: string
  /** Locks as many of these partitions as are free; answers which it now owns. */
  claim(partitions: readonly number[]): Promise<number[]>
  release(partitions: readonly number[]): Promise<void>
  /**
   * One autocommit statement. Throws `AppendConflict` (quarantine), `RowRefused` (split the batch), `SessionLost` (outcome
   * unknown: load again), or a `StoreError` (nothing was written).
   */
  append(batch: readonly RunAppend[]): Promise<void>
  /** Loads runs of owned partitions, whole. */
  load(runIds: readonly string[]): Promise<Map<string, LoadedRun>>
  /** Unsettled commands of these runs, oldest first. */
  inbox(runIds: readonly string[]): Promise<Map<string, InboxRow[]>>
  /** Runs of these partitions whose `wake_at` has passed, earliest first, a page. Never quarantined ones. */
  due(request: {
    readonly partitions: readonly number[]
    readonly now: number
    readonly limit: number
  }): Promise<{ runId: string; wakeAt: number }[]>
  /** Moves `wake_at` without events (dead-man's switch, after a sweep found that nothing is due). */
  postpone(runs: readonly { readonly runId: string; readonly wakeAt: number | null }[]): Promise<void>
  quarantine(request: { readonly runId: string; readonly reason: string }): Promise<void>
  /** Resolves when the session has ended, however it did. */
  readonly ended: Promise<void>
  close(): Promise<void>
}

/** A coordinator with a session, or a session that owns partitions without being a member's. */
export interface CoordinatorRow {
  /** `null`: it owns partitions and takes no part in sharing them, as the only engine of a database does. */
  readonly id: string | null
  readonly name: string
  readonly partitions: readonly number[]
  readonly leaving: boolean
  /** By the database's clock; 0 for one that takes no part. */
  readonly startedAt: number
  /** Since it last showed that it lives, by the database's clock; 0 for one that takes no part. */
  readonly silentMs: number
}

/** Somebody who performs attempts. */
export interface WorkerRow {
  readonly id: string
  readonly name: string
  /** `process`: a Weft with the worker role. `program`: one outside, which claims tasks over HTTP. */
  readonly kind: 'process' | 'program'
  readonly types: readonly {
    readonly type: string
    /** Attempts at work when it last showed itself. */
    readonly active: number
    /** Attempts at a time; `null`: as many as it asks for. */
    readonly limit: number | null
  }[]
  readonly startedAt: number
  /** When it last showed itself. */
  readonly seenAt: number
}

export interface WorkerBeat extends Omit<WorkerRow, 'startedAt' | 'seenAt'> {
  /** `null`: performs for every workspace. */
  readonly workspace: string | null
  /** Counts as gone when nothing more is heard for this long. */
  readonly livesMs: number
}

export class SessionLost extends Error {
  override readonly name = 'SessionLost'
}

export class AppendConflict extends Error {
  override readonly name = 'AppendConflict'
  readonly runId: string
  constructor(runId: string, message: string) {
    super(message)
    this.runId = runId
  }
}

/**
 * Postgres refused a value of the batch (text that the encoding cannot hold, nesting, size). Nothing of the batch was
 * written: whoever has more than one row in it splits it to find the run that is to blame (R16).
 */
export class RowRefused extends Error {
  override readonly name = 'RowRefused'
  readonly sqlState: string
  constructor(sqlState: string, message: string) {
    super(message)
    this.sqlState = sqlState
  }
}

export type StoreErrorCode =
  /** Unreachable, restarting, or the connection broke. A write in flight may or may not have happened. */
  | 'database_unavailable'
  /** Nothing was written; goes on as soon as there is room. */
  | 'database_disk_full'
  /** A deadlock, a timeout or too little memory; nothing was written. */
  | 'database_busy'
  | 'database_login_refused'
  /** The two sides do not agree on encryption, or a certificate is not trusted. */
  | 'database_tls'
  | 'database_missing'
  | 'database_too_old'
  | 'database_behind_pooler'
  /** A newer version of the program has changed it so that this one would not understand it. */
  | 'database_newer'
  | 'database_refused'

/** What the database could not do, in a sentence for whoever runs it. The code says whether to try again. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode
  readonly retryable: boolean
  constructor(code: StoreErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
    this.retryable =
      code === 'database_unavailable' || code === 'database_disk_full' || code === 'database_busy'
  }
}

export interface StoredWorkflow {
  readonly name: string
  readonly version: number
  readonly tags: readonly string[]
  readonly graph: string
  readonly description: string | null
  /** The author's text, comments included, when it came as text. */
  readonly source: string | null
  readonly definition: Json
  readonly createdAt: number
}

export interface KeyRow {
  readonly id: string
  readonly name: string
  readonly role: string
  /** What a key of the role `worker` is for; `null`: all. */
  readonly taskTypes: readonly string[] | null
  readonly createdAt: number
  readonly expiresAt: number | null
}

export interface ApprovalRow {
  readonly id: string
  readonly runId: string
  readonly workspace: string
  /** The step that asks; `null`: the run as a whole does. */
  readonly key: string | null
  readonly status: 'open' | 'approved' | 'rejected' | 'timeout' | 'refused' | 'closed' | 'superseded'
  readonly title: string
  readonly body: string | null
  readonly form: JsonObject | null
  readonly assignees: readonly string[]
  readonly openedAt: number
  readonly expiresAt: number | null
  readonly closedAt: number | null
  readonly actor: string | null
  /** The patch under review, when that is what is asked about. */
  readonly patch: JsonObject | null
}

/** Ciphertext: the store never sees a value or a master key (R14). */
export interface SealedCredential {
  readonly keyId: string
  readonly nonce: Uint8Array
  readonly sealed: Uint8Array
}

export interface CredentialRow {
  readonly name: string
  readonly keyId: string
  readonly createdAt: number
  readonly rotatedAt: number
}

/** A step that failed for good, in a run that was not retried since. */
export interface DeadLetterRow {
  /** The run's id with the number of the event that says it failed: `<run>.<seq>`. */
  readonly id: string
  readonly runId: string
  readonly workflow: string
  readonly version: number | null
  readonly graph: string
  readonly key: string
  readonly round: number
  /** The last attempt; those before it are in `attempts` of `get`. */
  readonly attempt: number
  /** An edge or `onError` dealt with the failure: the run went on. */
  readonly handled: boolean
  readonly error: StepError
  readonly failedAt: number
  /** The run that somebody started and that a replay retries; the letter's own, or the first of its family. */
  readonly root: {
    readonly runId: string
    readonly status: RunStatus
    readonly seq: number
    readonly graph: string
  }
}

export interface DeadLetterFilter {
  readonly workspace: string
  readonly workflow?: string
  readonly runId?: string
  /** A node's id: the step, or its items. */
  readonly step?: string
  /** Code of the error. */
  readonly code?: string
  /** Only those whose run can be retried now. */
  readonly replayable?: true
  readonly limit: number
  readonly cursor?: string
}

export interface FailedAttempt {
  readonly attempt: number
  readonly error: StepError
  readonly at: number
  readonly startedAt: number | null
  readonly worker: string | null
}

export interface Store {
  readonly runs: {
    /** Durable once it resolves. Concurrent calls share one commit (R10). */
    begin(run: NewRun): Promise<BeginOutcome>
    get(request: { workspace: string; id: string }): Promise<RunRow | null>
    /** The newest run, or the newest of a workflow: `@last`, `@last:name`; or by the last 6 or more characters. */
    find(request: { workspace: string; reference: string }): Promise<{ ids: string[] }>
    list(filter: RunFilter): Promise<{ items: RunRow[]; nextCursor: string | null }>
    /** How many runs the filter finds, over all pages. */
    count(filter: Omit<RunFilter, 'limit' | 'cursor'>): Promise<number>
    events(request: {
      runId: string
      afterSeq: number
      limit: number
      /** Events of this type only. */
      type?: EventType
    }): Promise<StoredEvent[]>
    delete(request: { workspace: string; id: string }): Promise<'deleted' | 'not_found' | 'not_finished'>
    /** Removes finished runs older than `before`, a batch; answers how many. */
    expire(request: { before: number; limit: number }): Promise<number>
    /** Ends a quarantine; the run is due at once. */
    recover(request: { workspace: string; id: string }): Promise<boolean>
    /** Unfinished runs by status, and quarantined ones: figures for `doctor` and metrics. */
    counts(): Promise<{ byStatus: Record<string, number>; stuck: number }>
    /** Attempts whose retry is not due yet, by node type; a type that has none is not there. */
    retries(request: { now: number }): Promise<Record<string, number>>
  }
  readonly deadLetters: {
    /** The newest first. */
    list(filter: DeadLetterFilter): Promise<{ items: DeadLetterRow[]; nextCursor: string | null }>
    /** With its attempts, oldest first, and the input of its run. */
    get(request: {
      workspace: string
      id: string
    }): Promise<{ letter: DeadLetterRow; attempts: FailedAttempt[]; input: Json } | null>
  }
  /** Messages by correlation. */
  readonly messages: MessageStore
  readonly inbox: {
    /** Inserts the command and makes the run due, in one statement (R15). */
    insert(row: InboxRow & { workspace: string }): Promise<InboxOutcome>
    verdict(commandId: string): Promise<Verdict | null>
  }
  readonly graphs: {
    /** Stores a definition by its hash; again is a no-op. */
    put(request: { hash: string; definition: Json }): Promise<void>
    get(hash: string): Promise<Json | null>
  }
  readonly workflows: {
    /** A new version, or the newest one when its graph and source are the same. */
    push(request: {
      workspace: string
      name: string
      graph: string
      definition: Json
      source: string | null
      description: string | null
      tags: readonly string[]
      at: number
    }): Promise<{ version: number; created: boolean }>
    /** `name`, `name@tag` or `name@version`. */
    get(request: { workspace: string; reference: string }): Promise<StoredWorkflow | null>
    list(request: {
      workspace: string
      limit: number
      cursor?: string
    }): Promise<{ items: StoredWorkflow[]; nextCursor: string | null }>
    versions(request: { workspace: string; name: string }): Promise<StoredWorkflow[]>
    tag(request: { workspace: string; name: string; tag: string; version: number }): Promise<boolean>
    delete(request: { workspace: string; name: string }): Promise<boolean>
  }
  readonly approvals: {
    get(request: { workspace: string; id: string }): Promise<ApprovalRow | null>
    list(request: {
      workspace: string
      status?: string
      runId?: string
      limit: number
      cursor?: string
    }): Promise<{ items: ApprovalRow[]; nextCursor: string | null }>
  }
  readonly blobs: {
    /** Stores bytes by their hash; again is a no-op that marks them as touched. */
    put(request: { workspace: string; bytes: Uint8Array; contentType: string; at: number }): Promise<BlobRef>
    get(request: {
      workspace: string
      hash: string
    }): Promise<{ bytes: Uint8Array; contentType: string } | null>
    /** Removes what is unreferenced and untouched since `before`; answers how many. */
    collect(request: { before: number; limit: number }): Promise<number>
  }
  readonly records: {
    /** First commit wins (R7): answers the stored value. `refused` when a newer attempt has written one. */
    once(request: {
      runId: string
      key: string
      round: number
      attempt: number
      name: string
      value: Json
      at: number
    }): Promise<{ value: Json } | { refused: true }>
    get(request: { runId: string; key: string; round: number; name: string }): Promise<{ value: Json } | null>
    /**
     * The attempt whose completion of this round of the step, or of the item, is in the log; `null`: none is. Of a round
     * that another one follows nobody knows which attempt it was.
     */
    completion(request: {
      runId: string
      key: string
      round: number
    }): Promise<{ attempt: number | null; worker: string | null } | null>
  }
  readonly nodeTypes: {
    /** A worker adds its types; they stay when it leaves. */
    register(request: { workspace: string; types: readonly NodeTypeInfo[]; at: number }): Promise<void>
    list(request: { workspace: string }): Promise<NodeTypeInfo[]>
  }
  readonly variables: {
    get(request: { workspace: string; names: readonly string[] }): Promise<JsonObject>
    list(request: { workspace: string }): Promise<{ name: string; value: Json; updatedAt: number }[]>
    set(request: { workspace: string; name: string; value: Json; at: number }): Promise<void>
    delete(request: { workspace: string; name: string }): Promise<boolean>
  }
  readonly credentials: {
    /** `false`: there is one of that name, which stays as it is. */
    create(request: {
      workspace: string
      name: string
      sealed: SealedCredential
      at: number
    }): Promise<boolean>
    get(request: { workspace: string; name: string }): Promise<SealedCredential | null>
    list(request: { workspace: string }): Promise<CredentialRow[]>
    /** `null`: there is none of that name. */
    rotate(request: {
      workspace: string
      name: string
      sealed: SealedCredential
      at: number
    }): Promise<{ createdAt: number } | null>
    delete(request: { workspace: string; name: string }): Promise<boolean>
    /** Those of every workspace that are encrypted under another key. */
    sealedOtherwise(request: {
      keyId: string
    }): Promise<(SealedCredential & { workspace: string; name: string })[]>
    /** The same value under another key; `false` when it is no longer what was sealed with the nonce `before`. */
    reseal(request: {
      workspace: string
      name: string
      before: Uint8Array
      sealed: SealedCredential
    }): Promise<boolean>
  }
  readonly keys: {
    /** Makes sure that this key is an admin key of the workspace (hashed). */
    ensure(request: {
      workspace: string
      hash: string
      name: string
      role: string
      at: number
    }): Promise<void>
    /** `null`: the workspace has a key of this name. */
    create(request: {
      workspace: string
      hash: string
      name: string
      role: string
      taskTypes: readonly string[] | null
      expiresAt: number | null
      at: number
    }): Promise<KeyRow | null>
    /** The newest first; never a hash. */
    list(request: {
      workspace: string
      limit: number
      cursor?: string
    }): Promise<{ items: KeyRow[]; nextCursor: string | null }>
    /** Forgets the key and answers its hash; `null` when there is none. */
    revoke(request: { workspace: string; id: string }): Promise<string | null>
    find(hash: string): Promise<(Omit<KeyRow, 'createdAt'> & { readonly workspace: string }) | null>
  }
  readonly idempotency: {
    /** For every POST that creates something but a run (which carries its own): remembers the answer. */
    remember(request: {
      workspace: string
      route: string
      key: string
      bodyHash: string
      answer: Json
      at: number
    }): Promise<{ kind: 'stored' } | { kind: 'exists'; answer: Json } | { kind: 'key_reused' }>
    recall(request: {
      workspace: string
      route: string
      key: string
      bodyHash: string
    }): Promise<{ kind: 'none' } | { kind: 'exists'; answer: Json } | { kind: 'key_reused' }>
    expire(request: { before: number }): Promise<number>
  }
  readonly workers: {
    /** Shows that these live, by the database's clock, and forgets those that are long gone. */
    beat(request: { readonly workers: readonly WorkerBeat[] }): Promise<void>
    /** Those that live, and perform for this workspace; by name. */
    list(request: { workspace: string }): Promise<WorkerRow[]>
    leave(request: { readonly ids: readonly string[] }): Promise<void>
  }
  readonly coordinators: {
    /**
     * Shows that this coordinator lives, and on which session; on a connection of its own, so that nothing else keeps it
     * waiting. Answers for how long it had been silent before: `null` the first time.
     */
    beat(request: {
      readonly id: string
      readonly name: string
      readonly session: string
      readonly leaving: boolean
    }): Promise<{ readonly silentBeforeMs: number | null }>
    /** Those that share, and whoever else owns partitions; the one that started first in front. */
    list(): Promise<CoordinatorRow[]>
    /**
     * Ends the sessions of these coordinators, which frees their partitions; one that has shown within `silentMs` that it
     * lives is left alone. Answers which were ended.
     */
    evict(request: { readonly ids: readonly string[]; readonly silentMs: number }): Promise<string[]>
    /** This coordinator takes no part any more. */
    leave(request: { readonly id: string }): Promise<void>
  }
  /** Processes that were started paused. */
  readonly holds: {
    /** Shows that this process is held and lives; answers whether it was told to go on. */
    beat(request: { readonly id: string; readonly name: string }): Promise<{ readonly isResumed: boolean }>
    /** Those that live and dispatch nothing; who was held first in front. */
    list(): Promise<{ readonly name: string; readonly since: number }[]>
    /** Tells all of them to go on; answers the names of those that live. */
    resume(): Promise<string[]>
    leave(request: { readonly id: string }): Promise<void>
  }
  /** Opens the session on which a coordinator owns partitions. */
  openOwner(name: string): Promise<OwnerSession>
  /**
   * The database's clock against this machine's, and its settings, for `doctor`, `bench` and start-up checks.
   * `databaseId`: differs between any two databases, for what processes on one of them share elsewhere.
   */
  describe(): Promise<{
    version: string
    databaseId: string
    nowMs: number
    settings: Record<string, string>
  }>
  ping(): Promise<void>
  close(): Promise<void>
}

/** The verbs that runs pass through: all that coordinators, workers, submits and commands use. */
export type RunStore = Pick<
  Store,
  | 'runs'
  | 'inbox'
  | 'messages'
  | 'graphs'
  | 'workflows'
  | 'approvals'
  | 'blobs'
  | 'records'
  | 'variables'
  | 'idempotency'
  | 'coordinators'
  | 'openOwner'
>
