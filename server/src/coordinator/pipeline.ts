/**
 * From a signal to the log and out: the heart of the coordinator.
 *
 * Owns: the slots, the order in which they are decided, the batch that gathers while the last one is committed (R10).
 * Everything between a signal and its append is synchronous: no timers, no chains of promises.
 *
 * 1. What follows from a decision leaves only after its commit (R2). A run that is being committed is not decided upon;
 *    its signals wait.
 * 2. Without a session nothing is decided. When it is lost everything known is thrown away, states, batch and signals:
 *    the lane hands the signals out again, and the sweep finds the rest (R3).
 * 3. A run that cannot be decided, or that Postgres refuses, is set aside; the others go on (R16).
 */
import { isFinished, type NodeTypes } from '@weft/engine'
import type { Clock } from '../clock.ts'
import { listen } from '../correlation.ts'
import type { GraphCatalog } from '../graphs.ts'
import type { Log } from '../log.ts'
import type { CoordinatorMetrics } from '../metrics.ts'
import { type OwnerSession, type RunStore, SessionLost } from '../store/store.ts'
import { partitionOf, type ReceivedSignal, type Transport } from '../transport/transport.ts'
import { Batch } from './batch.ts'
import { Children } from './children.ts'
import { type CommitOutcome, commit } from './commit.ts'
import type { Engine } from './engine.ts'
import { Mailboxes } from './mailboxes.ts'
import { Postponing } from './postponing.ts'
import { Publisher } from './publish.ts'
import { Quarantine } from './quarantine.ts'
import { Recall } from './recall.ts'
import { type Entry, FIRST_DEADMAN_MS, type Item, localItem, type Slot } from './slot.ts'
import { entryBytes, States } from './states.ts'
import { Territory } from './territory.ts'
import type { Trouble } from './trouble.ts'
import { isEmpty, MAX_SIGNALS_PER_TURN, mayBeRepeats, planNext, seal, takeTurn } from './turn.ts'
import { Alarm } from './wake.ts'

/** Handed out more often, a signal kills whoever decides it (R16). */
const MAX_DELIVERIES = 3
/**
 * After a commit whose answer took longer than this, the session may have ended and another owner may have published,
 * and seen done, what follows from it: of a process that stood still meanwhile, the answer is the last to know.
 */
const LATE_COMMIT_MS = 250
/** Timers nearer than this ring in this process; the sweep finds the others when they come near. */
export const ALARM_HORIZON_MS = 3_000

export interface PipelineParts {
  readonly engine: Engine
  readonly store: RunStore
  readonly transport: Transport
  readonly graphs: GraphCatalog
  readonly types: () => NodeTypes
  readonly clock: Clock
  readonly log: Log
  readonly metrics: CoordinatorMetrics
  readonly trouble: Trouble
  readonly cacheBytes: number
  /** Nobody else has ever owned the partitions, or will. */
  readonly isAlone: boolean
  /** Whether no peer can have ended the session yet, as far as this process knows (R4). */
  readonly isLeased: () => boolean
  /** The session broke: the outcome of what was in flight is unknown. */
  readonly lost: (session: OwnerSession) => void
}

export class Pipeline {
  readonly #parts: PipelineParts
  readonly #states: States
  readonly #recall: Recall
  readonly #publisher: Publisher
  readonly #alarm: Alarm
  readonly #quarantine: Quarantine
  readonly #postponing: Postponing
  readonly #mailboxes = new Mailboxes()
  readonly #batch = new Batch()
  readonly #territory = new Territory()
  #session: OwnerSession | null = null
  /** A session was lost: of runs that have gone on since they began nothing is known any more. */
  #hasForgotten = false
  #committing: readonly Entry[] | null = null
  /** Entries that had nothing for the log. */
  #settled: Entry[] = []
  #pumping = false
  /** Runs whose effects could not be published. */
  readonly #unpublished = new Set<string>()
  #quietWaiters: (() => void)[] = []

  constructor(parts: PipelineParts) {
    this.#parts = parts
    this.#states = new States(parts.cacheBytes)
    this.#recall = new Recall(
      { ...parts, states: this.#states, mailboxes: this.#mailboxes, territory: this.#territory },
      {
        ready: (slot) => this.#rest(slot),
        gone: (slot) => this.#gone(slot),
        stuck: (slot) => this.#stuck(slot),
        unreadable: (slot, reason) => this.#setAside(slot, reason),
        owes: (slot, effects) => this.#publisher.publishOwed(slot, effects),
        done: () => this.pump(),
      },
    )
    this.#quarantine = new Quarantine(parts.log, parts.metrics)
    this.#postponing = new Postponing(() => this.#quiet())
    const tell = (runId: string, signal: Item['signal']): void => {
      this.accept(runId, localItem(signal))
      this.pump()
    }
    this.#alarm = new Alarm(parts.clock, (runId) => tell(runId, { kind: 'tick' }))
    const look = (runId: string): void => tell(runId, { kind: 'look' })
    const blob = (workspace: string, hash: string) => this.#recall.blob(workspace, hash)
    this.#publisher = new Publisher({
      transport: parts.transport,
      children: new Children({ ...parts, blob, begun: tell, look }),
      metrics: parts.metrics,
      blob,
      isOwner: (runId) => this.#territory.has(runId) && parts.isLeased(),
      look,
      failureAnswered: (runId, startedId) => this.#failureAnswered(runId, startedId),
      listen: (listeners) => listen(parts, listeners),
      unpublished: (runId, error) => this.#notPublished(runId, error),
      clock: parts.clock,
      missing: (slot, token, taskIds) => {
        slot.missing ??= new Map()
        slot.missing.set(token, taskIds)
        slot.deadmanMs = FIRST_DEADMAN_MS
      },
    })
  }

  attach(session: OwnerSession): void {
    this.#session = session
    this.#recall.attach(session)
  }

  /** These partitions are owned from now on. */
  own(partitions: readonly number[]): void {
    // Alone, and as long as nothing was forgotten, what is in the lane for the first time was decided by nobody.
    const { clock, isAlone } = this.#parts
    const isFirst = isAlone && !this.#hasForgotten
    this.#territory.add(partitions, isFirst ? Number.NEGATIVE_INFINITY : clock.now())
  }

  /**
   * Lets go of these partitions: nothing of them is accepted any more, what is not in a commit is forgotten, and the
   * promise resolves when the last commit of theirs is settled and what follows from it has left. What was not decided
   * is in the lane for the next owner.
   */
  async giveUp(partitions: readonly number[]): Promise<void> {
    const given = new Set(partitions)
    const isGiven = (runId: string): boolean => given.has(partitionOf(runId))
    this.#territory.remove(partitions)
    for (const slot of this.#states.those(isGiven)) if (slot.phase !== 'committing') this.#abandon(slot)
    this.#quarantine.forget(isGiven)
    for (const runId of this.#unpublished) if (isGiven(runId)) this.#unpublished.delete(runId)
    while (this.#committing?.some(({ slot }) => isGiven(slot.runId))) await this.#nextQuiet()
    await this.#publisher.settled(isGiven)
  }

  /** Forgets everything: it is to be read and received again. */
  detach(): void {
    if (this.#committing) this.#batch.lost(this.#committing)
    this.#session = null
    this.#hasForgotten = true
    this.#recall.attach(null)
    this.#alarm.clear()
    this.#states.clear()
    this.#quarantine.clear()
    this.#unpublished.clear()
    this.#mailboxes.clear()
    this.#batch.clear()
    this.#territory.clear()
    this.#committing = null
    this.#settled = []
    this.#postponing.clear()
    this.#quiet()
  }

  /** Signals that are not decided yet. */
  get backlog(): number {
    return this.#mailboxes.backlog
  }

  /** Resolves once at most this many signals are undecided. */
  async room(count: number): Promise<void> {
    while (this.#session && this.backlog > count) await this.#nextQuiet()
  }

  /** A signal from the lane. `retakes`: how often this process made the lane hand its signals out once more. */
  receive({ runId, signal, receipt, deliveries }: ReceivedSignal, retakes: number): void {
    this.accept(runId, { signal, receipt, deliveries })
    const slot = this.#states.peek(runId)
    // Other processes died over it, each time (R16).
    if (deliveries - retakes > MAX_DELIVERIES && slot?.phase === 'idle') {
      this.#setAside(
        slot,
        `a signal of it (\`${signal.kind}\`) was handed out ${deliveries} times without being decided`,
      )
    }
  }

  /** Puts a signal into the run's mailbox; `pump` decides it. */
  accept(runId: string, item: Item): void {
    if (!this.#session || !this.#territory.has(runId)) return
    const { kind } = item.signal
    if (this.#quarantine.has(runId)) {
      if (kind !== 'look' && kind !== 'tick') {
        this.#quarantine.park(runId, [item])
        return
      }
      // Somebody says that it is worth another look: the load tells whether it is still in quarantine.
      const slot = this.#states.open(runId)
      this.#mailboxes.put(slot, this.#quarantine.take(runId))
    }
    const slot = this.#states.open(runId)
    if (kind === 'look') slot.needsInbox = true
    this.#mailboxes.put(slot, [item])
  }

  /** The sweep found the run due: its timers and its inbox are looked at. */
  due(runId: string, wakeAt: number): void {
    const slot = this.#states.peek(runId)
    // One that is being worked on moves its `wake_at` by itself.
    if (slot && (slot.phase !== 'idle' || slot.mailbox.length > 0)) return
    if (slot?.state) slot.wakeAt = wakeAt
    this.accept(runId, localItem({ kind: 'look' }))
    this.accept(runId, localItem({ kind: 'tick' }))
  }

  /** Something of the run is to be looked at, whatever its timers say. */
  look(runId: string): void {
    this.accept(runId, localItem({ kind: 'look' }))
  }

  /** A timer of the run is near. */
  near(runId: string, at: number): void {
    this.#alarm.set(runId, at)
  }

  /** What this run owes may not be in the lanes; `republish` sees to it. */
  owes(runId: string): void {
    this.#unpublished.add(runId)
  }

  /** Owed effects whose publishing failed are tried again. */
  republish(): void {
    const runIds = [...this.#unpublished]
    this.#unpublished.clear()
    for (const runId of runIds) {
      const slot = this.#states.peek(runId)
      if (slot?.state && slot.phase === 'idle') this.#recall.publishOutstanding(slot)
      else if (slot?.state) this.#unpublished.add(runId)
      else this.accept(runId, localItem({ kind: 'look' }))
    }
  }

  /** Forgets what is too old to matter. */
  tidy(): void {
    this.#states.prune(this.#parts.clock.now())
    this.#parts.metrics.states(this.#states.size, this.#states.bytes)
  }

  /** Resolves when nothing is to be decided, committed or published. */
  async idle(): Promise<void> {
    for (;;) {
      await this.#publisher.errands.settled()
      if (this.#isQuiet()) return
      await this.#nextQuiet()
    }
  }

  #nextQuiet(): Promise<void> {
    return new Promise((resolve) => this.#quietWaiters.push(resolve))
  }

  #isQuiet(): boolean {
    if (!this.#session) return true
    return (
      this.backlog === 0 &&
      !this.#committing &&
      !this.#postponing.isWriting &&
      this.#batch.size === 0 &&
      !this.#recall.isReading &&
      this.#publisher.errands.size === 0
    )
  }

  #quiet(): void {
    const waiters = this.#quietWaiters
    this.#quietWaiters = []
    for (const resolve of waiters) resolve()
  }

  /** Decides what can be decided, publishes what has nothing for the log, and commits the rest. */
  pump(): void {
    if (this.#pumping || !this.#mayGoOn()) return
    this.#pumping = true
    try {
      do {
        for (const slot of this.#mailboxes.takeReady()) this.#step(slot)
        this.#publishSettled()
        this.#commitBatch()
      } while (!this.#mailboxes.isEmpty)
    } finally {
      this.#pumping = false
    }
    this.#recall.flush()
    if (this.#session) this.#postponing.flush(this.#session)
    this.#quiet()
  }

  /**
   * A process that was stopped for a while may have been declared dead without having noticed: its tasks could come
   * after their results. It publishes nothing more, and starts again.
   */
  #mayGoOn(): boolean {
    const session = this.#session
    if (!session || this.#parts.isLeased()) return true
    this.#parts.lost(session)
    return false
  }

  #step(slot: Slot): void {
    if (slot.isAbandoned || slot.phase === 'reading' || slot.phase === 'committing') return
    if (!slot.state && !this.#recall.begin(slot)) {
      this.#recall.load(slot)
      return
    }
    if (slot.needsInbox) {
      // In the batch: its inbox is read after the commit, which settles what was read before.
      if (slot.phase === 'idle') this.#recall.inbox(slot)
      return
    }
    if (slot.mailbox.length === 0) return
    if (slot.phase === 'gathered' && (slot.entry?.items.length ?? 0) >= MAX_SIGNALS_PER_TURN) return
    if (slot.phase === 'idle' && this.#batch.isFull) this.#batch.hold(slot)
    else this.#decide(slot)
  }

  #decide(slot: Slot): void {
    const { state } = slot
    if (!state) return
    const { engine, types, clock, metrics } = this.#parts
    const before = slot.mailbox.length
    const outcome = takeTurn(slot, state, { engine, types: types(), now: clock.now() })
    this.#mailboxes.taken(before - slot.mailbox.length)
    metrics.signals(before - slot.mailbox.length)
    switch (outcome.kind) {
      case 'decided':
        if (isEmpty(outcome.entry)) {
          slot.entry = null
          this.#settled.push(outcome.entry)
        } else {
          slot.phase = 'gathered'
          this.#batch.add(outcome.entry)
        }
        break
      case 'needs_blobs': {
        const missing = outcome.hashes.filter((hash) => !slot.blobs?.has(hash))
        if (missing.length === 0) this.#setAside(slot, 'the engine asked again for blobs that it was given')
        else {
          slot.wanted = missing
          this.#again(slot)
        }
        break
      }
      case 'threw':
        this.#setAside(slot, `the engine failed: ${sentence(outcome.error)}`, outcome.error)
        break
    }
  }

  /** The state is spoiled, and nothing of the entry has left the process: everything is decided again. */
  #again(slot: Slot): void {
    const { entry } = slot
    if (entry) this.#batch.remove(entry)
    this.#states.spoil(slot)
    slot.phase = 'idle'
    // Commands are read again with the log.
    if (entry)
      this.#mailboxes.put(
        slot,
        entry.items.filter(({ signal }) => signal.kind !== 'command'),
        'front',
      )
    this.#recall.load(slot)
  }

  #publishSettled(): void {
    if (this.#settled.length === 0) return
    const entries = this.#settled
    this.#settled = []
    const now = this.#parts.clock.now()
    for (const entry of entries) {
      const { slot } = entry
      if (!slot.state) continue
      const { wakeAt } = this.#plan(slot, entry, now)
      if (wakeAt !== undefined) this.#postponing.add(slot.runId, wakeAt)
    }
    this.#publisher.publish(entries)
    for (const { slot } of entries) this.#rest(slot)
  }

  #plan(slot: Slot, entry: Entry, now: number) {
    const state = slot.state as NonNullable<Slot['state']>
    const plan = planNext(slot, entry, state, this.#parts.engine, now)
    slot.cold = plan.cold
    if (plan.next !== null && plan.next <= now + ALARM_HORIZON_MS) this.#alarm.set(slot.runId, plan.next)
    return plan
  }

  #commitBatch(): void {
    const session = this.#session
    if (this.#committing || this.#batch.size === 0 || !session) return
    const { entries, blamed } = this.#batch.take()
    for (const { slot } of blamed) {
      this.#setAside(slot, 'the session with the database broke each time this run was being committed')
    }
    if (entries.length === 0) return
    const { clock, engine } = this.#parts
    const now = clock.now()
    for (const entry of entries) {
      const { slot } = entry
      const state = slot.state as NonNullable<Slot['state']>
      slot.phase = 'committing'
      seal(entry, state, engine, this.#plan(slot, entry, now).wakeAt)
    }
    this.#committing = entries
    const startedAt = clock.monotonic()
    commit(this.#parts, session, entries).then(
      (outcome) => {
        if (session === this.#session && this.#mayGoOn())
          this.#committed(outcome, clock.monotonic() - startedAt)
      },
      (error: unknown) => {
        if (session !== this.#session) return
        if (!(error instanceof SessionLost))
          this.#parts.log.error({ error }, 'a commit failed for an unforeseen reason')
        this.#parts.lost(session)
      },
    )
  }

  #committed({ committed, conflicted, refused }: CommitOutcome, tookMs: number): void {
    this.#committing = null
    const { metrics } = this.#parts
    metrics.committed(
      committed.length,
      committed.reduce((sum, { events }) => sum + events.length, 0),
      tookMs / 1000,
    )
    if (!this.#parts.isAlone && tookMs > LATE_COMMIT_MS) mayBeRepeats(committed)
    this.#publisher.publish(committed)
    for (const entry of committed) this.#finish(entry)
    for (const { slot } of conflicted) {
      slot.conflicts++
      if (slot.conflicts > 1) this.#setAside(slot, 'its events met numbers that are taken, twice in a row')
      else if (this.#territory.has(slot.runId)) this.#again(slot)
      else this.#abandon(slot)
    }
    for (const { entry, error } of refused) {
      this.#setAside(entry.slot, `the database refuses its events: ${sentence(error)}`, error)
    }
    for (const slot of this.#batch.takeHeld()) this.#mailboxes.queue(slot)
    this.pump()
  }

  #finish(entry: Entry): void {
    const { slot } = entry
    slot.phase = 'idle'
    slot.entry = null
    slot.blobs = null
    slot.conflicts = 0
    this.#batch.committed(entry)
    this.#states.resize(slot, slot.bytes + entryBytes(entry))
    const ended = entry.append?.finished
    const phase = slot.state?.phase.kind
    if (slot.state && ended && (phase === 'completed' || phase === 'failed' || phase === 'cancelled')) {
      this.#parts.metrics.runEnded(phase, (ended.at - slot.state.startedAt) / 1000)
    }
    this.#rest(slot)
  }

  /** The slot has nothing under way: on with its next signals, or out of the memory when the run is over. */
  #rest(slot: Slot): void {
    if (slot.phase !== 'idle') return
    if (!this.#territory.has(slot.runId)) {
      this.#abandon(slot)
      return
    }
    if (slot.mailbox.length > 0 || slot.needsInbox) this.#mailboxes.queue(slot)
    else if (!slot.state || isFinished(slot.state)) this.#states.forget(slot)
    else this.#states.rest(slot, slot.cold)
  }

  #gone(slot: Slot): void {
    this.#publisher.forget(slot.mailbox.flatMap(({ receipt }) => receipt ?? []))
    this.#drop(slot)
  }

  #stuck(slot: Slot): void {
    this.#quarantine.park(slot.runId, slot.mailbox)
    this.#drop(slot)
  }

  #setAside(slot: Slot, reason: string, error?: unknown): void {
    const { runId, entry } = slot
    if (entry) this.#batch.remove(entry)
    const items = [...(entry?.items ?? []), ...slot.mailbox]
    this.#drop(slot)
    this.#quarantine.setAside(this.#session, runId, items, reason, error)
  }

  /** Forgets the slot for good, with what was decided and is not in a commit. */
  #abandon(slot: Slot): void {
    if (slot.entry) this.#batch.remove(slot.entry)
    this.#drop(slot)
  }

  /** A slot that stands in line must not be taken up again: the run gets a new one, and would be decided twice. */
  #drop(slot: Slot): void {
    slot.isAbandoned = true
    this.#mailboxes.empty(slot)
    slot.phase = 'idle'
    slot.entry = null
    this.#states.forget(slot)
  }

  /** The run's next turn takes back its switch; a turn, because it may have been retried meanwhile. */
  #failureAnswered(runId: string, startedId: string): void {
    this.look(runId)
    const slot = this.#states.peek(runId)
    if (slot) slot.failureAnswered = startedId
    this.pump()
  }

  #notPublished(runId: string, error: unknown): void {
    if (this.#unpublished.size === 0) {
      this.#parts.log.warn(
        { runId, error },
        'what follows from a commit could not be published; it is tried again',
      )
    }
    this.#unpublished.add(runId)
  }
}

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error))
