/**
 * A slot is what the coordinator keeps of one run while it is busy with it: the state, the signals that wait for it, and
 * what was decided but is not committed.
 *
 * Invariants: a run has at most one slot. A slot whose `phase` is `committing` is not decided upon, so its state is at
 * most one batch ahead of the log. What is not idle is never evicted (R3).
 */
import {
  type Effect,
  failureRunId,
  type Graph,
  type Json,
  type RunEvent,
  type RunState,
  type Signal,
} from '@weft/engine'
import type { RunAppend } from '../store/store.ts'
import type { BegunSignal, MarkerSignal } from '../transport/transport.ts'

/** A signal for a run: from the transport, or made here (then without a receipt). */
export interface Item {
  readonly signal: Signal | BegunSignal | MarkerSignal
  readonly receipt: string | null
  readonly deliveries: number
}

/**
 * `idle`: nothing is under way. `reading`: its log, its inbox or a blob is being read. `gathered`: decided, in the batch
 * that is being gathered. `committing`: in the append under way.
 */
export type SlotPhase = 'idle' | 'reading' | 'gathered' | 'committing'

/** An effect, and what its publishing needs of the state as it was when the effect was decided. */
export interface OwedEffect {
  readonly effect: Effect
  readonly state: RunState
  /** Of a `child` without a stored workflow: the inline body. */
  readonly body: Graph | null
  /** Tells one order to cancel a child from a later one. */
  readonly occasion: number
}

/** What one batch holds for one run. */
export interface Entry {
  readonly slot: Slot
  /** What is consumed with this entry: deleted after the commit, decided again when it fails. */
  readonly items: Item[]
  readonly firstSeq: number
  readonly events: RunEvent[]
  effects: OwedEffect[]
  /** Tasks that are published only if the lane does not hold them and no result of theirs is on its way. */
  readonly recheck: string[]
  readonly verdicts: RunAppend['verdicts'][number][]
  /** Messages by correlation that the run does not take: others may. */
  readonly messagesRefused: NonNullable<RunAppend['messagesRefused']>[number][]
  readonly opened: RunAppend['waitsOpened'][number][]
  readonly closed: RunAppend['waitsClosed'][number][]
  /** JSON texts that left the log: stored before the append (R1). */
  readonly blobs: { readonly hash: string; readonly text: string }[]
  /** The graphs after its patches, in their order: stored before the append, since each stands in the log (R9). */
  readonly graphs: Graph[]
  /** What the parent's inbox is told in the same statement (R15). */
  report: RunAppend['parentInbox'] | null
  /** Filled when the batch is sealed. */
  append: RunAppend | null
}

export interface Slot {
  readonly runId: string
  workspace: string
  state: RunState | null
  phase: SlotPhase
  /** In the list of slots that have something to decide. */
  queued: boolean
  readonly mailbox: Item[]
  /** A `look` arrived: commands may stand in the inbox. */
  needsInbox: boolean
  entry: Entry | null
  /** The value of `wake_at` in the database, as far as is known; `null`: none. */
  wakeAt: number | null
  /** How far ahead the dead-man's switch is set (R6). */
  deadmanMs: number
  /** The state was built from event 1 and nothing of what it owes was published. */
  fresh: boolean
  /** Timers up to here have fired in this state, and what became due by them was published. */
  tickedAt: number
  /**
   * Tasks that the lane did not hold when it was asked, by the marker that was sent then: once that one is back, every
   * signal sent before was decided, and what is still owed is published.
   */
  missing: Map<string, readonly string[]> | null
  /** Blobs that `decide` asked for and that are still to be read. */
  wanted: readonly string[]
  /** Those that were read, kept until the entry that needed them is committed. */
  blobs: Map<string, Json> | null
  /** Appends of this run that met a foreign `seq`, in a row (R16). */
  conflicts: number
  /** Only people, messages or far timers can move the run: it leaves the memory early. */
  cold: boolean
  /** Estimated size of the state. */
  bytes: number
  /** The run that its failure was to start and that has begun, or cannot: it is owed no more. */
  failureAnswered: string | null
  /** The run's partition was given up: whatever still comes back for this slot is nobody's. */
  isAbandoned: boolean
}

export const FIRST_DEADMAN_MS = 10_000
export const MAX_DEADMAN_MS = 300_000

/** Whether what the run's last failure was to start is done. (It may have been retried, and failed anew.) */
export const isFailureAnswered = ({ failureAnswered }: Slot, { id, phase }: RunState): boolean =>
  phase.kind === 'failed' && failureAnswered === failureRunId(id, phase.seq)

export const newSlot = (runId: string): Slot => ({
  runId,
  workspace: '',
  state: null,
  phase: 'idle',
  queued: false,
  mailbox: [],
  needsInbox: false,
  entry: null,
  wakeAt: null,
  deadmanMs: FIRST_DEADMAN_MS,
  fresh: false,
  tickedAt: 0,
  missing: null,
  wanted: [],
  blobs: null,
  conflicts: 0,
  cold: false,
  bytes: 0,
  failureAnswered: null,
  isAbandoned: false,
})

export const localItem = (signal: Item['signal']): Item => ({ signal, receipt: null, deliveries: 1 })
