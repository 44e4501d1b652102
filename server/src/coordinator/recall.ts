/**
 * Brings runs into memory: from event 1 when they began a moment ago, else from the log; and what stands in their inbox.
 *
 * Every load is followed by publishing what the run owes (R5): whoever owned it before may have died between a commit and
 * what follows from it.
 */
import type { Clock } from '../clock.ts'
import type { GraphCatalog } from '../graphs.ts'
import type { CoordinatorMetrics } from '../metrics.ts'
import type { InboxRow, OwnerSession, Store } from '../store/store.ts'
import type { Transport } from '../transport/transport.ts'
import type { Engine } from './engine.ts'
import type { Mailboxes } from './mailboxes.ts'
import { type LoadOutcome, Reader } from './reader.ts'
import { FIRST_DEADMAN_MS, isFailureAnswered, localItem, type OwedEffect, type Slot } from './slot.ts'
import { MAX_BEGUN_AGE_MS, type States, stateBytes } from './states.ts'
import type { Territory } from './territory.ts'
import type { Trouble } from './trouble.ts'
import { owed } from './turn.ts'

const RETRY_READ_MS = 500
/** How far the clock of the process that began a run may be off. */
const CLOCK_MARGIN_MS = 2_000

export interface RecallParts {
  readonly engine: Engine
  readonly store: Pick<Store, 'blobs'>
  readonly transport: Pick<Transport, 'live'>
  readonly graphs: Pick<GraphCatalog, 'get' | 'peek'>
  readonly clock: Clock
  readonly metrics: CoordinatorMetrics
  readonly trouble: Trouble
  readonly states: States
  readonly mailboxes: Mailboxes
  readonly territory: Territory
}

export interface RecallEvents {
  /** The slot is idle again; its state, and the commands of its inbox, are in memory. */
  readonly ready: (slot: Slot) => void
  /** There is no such run any more. */
  readonly gone: (slot: Slot) => void
  /** The run is in quarantine. */
  readonly stuck: (slot: Slot) => void
  readonly unreadable: (slot: Slot, reason: string) => void
  /** The run was loaded and owes this. */
  readonly owes: (slot: Slot, effects: readonly OwedEffect[]) => void
  /** A page of runs is ready. */
  readonly done: () => void
}

export class Recall {
  readonly #parts: RecallParts
  readonly #events: RecallEvents
  readonly #reader: Reader
  #session: OwnerSession | null = null

  constructor(parts: RecallParts, events: RecallEvents) {
    this.#parts = parts
    this.#events = events
    this.#reader = new Reader(parts, {
      loaded: (slot, outcome) => this.#loaded(slot, outcome),
      inbox: (slot, rows) => this.#inbox(slot, rows),
      done: events.done,
      failed: (slots, error) => this.#failed(slots, error),
    })
  }

  attach(session: OwnerSession | null): void {
    this.#session = session
    this.#reader.attach(session)
  }

  get isReading(): boolean {
    return this.#reader.isReading
  }

  load(slot: Slot): void {
    this.#reader.load(slot)
  }

  inbox(slot: Slot): void {
    this.#reader.inbox(slot)
  }

  /** Starts the next read unless one is under way. */
  flush(): void {
    this.#reader.flush()
  }

  blob(workspace: string, hash: string) {
    return this.#reader.blob(workspace, hash)
  }

  /** Builds the state of a run that began a moment ago from event 1, if that is certainly the whole log. */
  begin(slot: Slot): boolean {
    const [first] = slot.mailbox
    if (first?.signal.kind !== 'begun' || first.deliveries !== 1 || !this.#parts.states.mayBeNew(slot.runId))
      return false
    const { started, workspace } = first.signal
    const ageMs = this.#parts.clock.now() - started.at
    // A time to come says that the clocks differ, so what follows from them says nothing.
    if (ageMs > MAX_BEGUN_AGE_MS || ageMs < -CLOCK_MARGIN_MS) return false
    // Begun under an owner before: it may have gone further than its first event.
    if (started.at < this.#parts.territory.since(slot.runId) + CLOCK_MARGIN_MS) return false
    const graph = this.#parts.graphs.peek(started.graph)
    if (!graph) return false
    slot.workspace = workspace
    slot.state = this.#parts.engine.start(slot.runId, started, graph)
    slot.fresh = true
    slot.tickedAt = started.at
    slot.wakeAt = started.at + FIRST_DEADMAN_MS
    this.#parts.states.resize(slot, stateBytes(slot.state))
    this.#parts.transport.live.publish([
      { kind: 'event', runId: slot.runId, workspace, seq: 1, event: started },
    ])
    return true
  }

  /** Publishes everything that the run owes. */
  publishOutstanding(slot: Slot): void {
    const { state } = slot
    if (!state || isFailureAnswered(slot, state)) return
    const effects = this.#parts.engine.outstanding(state, this.#parts.clock.now())
    this.#events.owes(
      slot,
      effects.map((effect) => owed(effect, state)),
    )
  }

  #loaded(slot: Slot, outcome: LoadOutcome): void {
    if (slot.isAbandoned) return
    slot.phase = 'idle'
    switch (outcome.kind) {
      case 'gone':
        this.#events.gone(slot)
        return
      case 'stuck':
        this.#events.stuck(slot)
        return
      case 'unreadable':
        this.#events.unreadable(slot, outcome.reason)
        return
    }
    const { run, state } = outcome
    const { clock, engine, metrics, mailboxes, states } = this.#parts
    const now = clock.now()
    slot.state = state
    slot.workspace = run.row.workspace
    slot.wakeAt = run.row.wakeAt
    slot.tickedAt = Math.max(now, state.at)
    states.resize(slot, stateBytes(state))
    metrics.loaded(1)
    this.#addCommands(slot, run.inbox)
    const next = engine.nextWake(state, 0)
    if (next !== null && next <= now) mailboxes.put(slot, [localItem({ kind: 'tick' })])
    this.publishOutstanding(slot)
    this.#events.ready(slot)
  }

  #inbox(slot: Slot, rows: readonly InboxRow[]): void {
    if (slot.isAbandoned) return
    slot.phase = 'idle'
    this.#addCommands(slot, rows)
    this.#events.ready(slot)
  }

  #addCommands(slot: Slot, rows: readonly InboxRow[]): void {
    if (rows.length === 0) return
    const known = new Set(slot.mailbox.map(({ signal }) => (signal.kind === 'command' ? signal.id : null)))
    const items = rows
      .filter(({ id }) => !known.has(id))
      .map(({ id, actor, command }) => localItem({ kind: 'command', id, actor, command }))
    // Inserting a command made the run due at once (R15).
    slot.wakeAt = Math.min(slot.wakeAt ?? Number.POSITIVE_INFINITY, this.#parts.clock.now())
    this.#parts.mailboxes.put(slot, items)
  }

  #failed(slots: readonly Slot[], error: unknown): void {
    this.#parts.trouble.began('read', error)
    const session = this.#session
    this.#parts.clock.after(RETRY_READ_MS, () => {
      if (session !== this.#session || !session) return
      this.#parts.trouble.over('read')
      for (const slot of slots) {
        slot.phase = 'idle'
        slot.needsInbox = true
        this.#parts.mailboxes.queue(slot)
      }
      this.#events.done()
    })
  }
}
