/**
 * Reads what the coordinator needs of a run before it can decide: the log, the inbox, blobs.
 *
 * Owns: one read under way at a time, many runs in it; the cache of parsed blobs. Does not own: what is done with what
 * was read. Loads are paged, and a long log yields to the rest of the process (R8).
 */
import { type Graph, type Json, KNOWN_EVENTS, type RunEvent, type RunState } from '@weft/engine'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import type { GraphCatalog } from '../graphs.ts'
import { type InboxRow, type LoadedRun, type OwnerSession, type Store, StoreError } from '../store/store.ts'
import type { Engine } from './engine.ts'
import type { Slot } from './slot.ts'
import { valueBytes } from './states.ts'

const RUNS_PER_LOAD = 100
const INBOXES_PER_READ = 500
/** Events folded before the event loop gets a turn. */
const EVENTS_PER_SLICE = 5_000
const MAX_BLOB_BYTES = 16 * 1024 * 1024

export type LoadOutcome =
  | { readonly kind: 'loaded'; readonly run: LoadedRun; readonly state: RunState }
  /** The run was deleted. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'stuck' }
  /** Its log, its graph or a blob cannot be read: trying again would not help. */
  | { readonly kind: 'unreadable'; readonly reason: string }

export interface ReaderParts {
  readonly engine: Engine
  readonly store: Pick<Store, 'blobs'>
  readonly graphs: Pick<GraphCatalog, 'get' | 'peek'>
  readonly clock: Pick<Clock, 'turn'>
}

export interface ReaderEvents {
  loaded(slot: Slot, outcome: LoadOutcome): void
  inbox(slot: Slot, rows: readonly InboxRow[]): void
  /** A page was delivered. */
  done(): void
  /** The read failed; what it was for is to be asked for again. */
  failed(slots: readonly Slot[], error: unknown): void
}

export class Reader {
  readonly #parts: ReaderParts
  readonly #events: ReaderEvents
  readonly #blobs = new LRUCache<string, { readonly value: Json }>({
    maxSize: MAX_BLOB_BYTES,
    sizeCalculation: ({ value }) => valueBytes(value) + 100,
  })
  #loads: Slot[] = []
  #inboxes: Slot[] = []
  #session: OwnerSession | null = null
  #reading = false

  constructor(parts: ReaderParts, events: ReaderEvents) {
    this.#parts = parts
    this.#events = events
  }

  /** What was asked for on another session is forgotten, and so are its answers. */
  attach(session: OwnerSession | null): void {
    this.#session = session
    this.#loads = []
    this.#inboxes = []
    this.#reading = false
  }

  get isReading(): boolean {
    return this.#reading || this.#loads.length > 0 || this.#inboxes.length > 0
  }

  load(slot: Slot): void {
    slot.phase = 'reading'
    slot.needsInbox = false
    this.#loads.push(slot)
  }

  inbox(slot: Slot): void {
    slot.phase = 'reading'
    slot.needsInbox = false
    this.#inboxes.push(slot)
  }

  /** Starts the next read unless one is under way. */
  flush(): void {
    const session = this.#session
    if (this.#reading || !session || (this.#loads.length === 0 && this.#inboxes.length === 0)) return
    this.#reading = true
    void this.#read(session)
  }

  async #read(session: OwnerSession): Promise<void> {
    const loads = this.#loads.splice(0, RUNS_PER_LOAD)
    const inboxes = this.#inboxes.splice(0, INBOXES_PER_READ)
    try {
      if (inboxes.length > 0) await this.#readInboxes(session, inboxes)
      if (loads.length > 0) await this.#readRuns(session, loads)
    } catch (error) {
      if (this.#session === session) this.#events.failed([...loads, ...inboxes].filter(isReading), error)
    }
    if (this.#session !== session) return
    this.#reading = false
    this.#events.done()
    this.flush()
  }

  async #readInboxes(session: OwnerSession, slots: readonly Slot[]): Promise<void> {
    const rows = await session.inbox(slots.map((slot) => slot.runId))
    if (this.#session !== session) return
    for (const slot of slots) this.#events.inbox(slot, rows.get(slot.runId) ?? [])
  }

  async #readRuns(session: OwnerSession, slots: readonly Slot[]): Promise<void> {
    const runs = await session.load(slots.map((slot) => slot.runId))
    let folded = 0
    for (const slot of slots) {
      const run = runs.get(slot.runId)
      const outcome: LoadOutcome = run ? await this.#fold(slot, run) : { kind: 'gone' }
      if (this.#session !== session) return
      this.#events.loaded(slot, outcome)
      folded += run?.events.length ?? 0
      if (folded < EVENTS_PER_SLICE) continue
      folded = 0
      this.#events.done()
      await this.#parts.clock.turn()
    }
  }

  async #fold(slot: Slot, run: LoadedRun): Promise<LoadOutcome> {
    if (run.row.stuckReason !== null) return { kind: 'stuck' }
    try {
      const events = run.events.map(({ event }) => event)
      const unknown = events.find(({ type }) => !Object.hasOwn(KNOWN_EVENTS, type))
      if (unknown) {
        return {
          kind: 'unreadable',
          reason: `its log holds an event \`${unknown.type}\`, which this version of Weft does not know: run the newer version that wrote it`,
        }
      }
      const graphs = await this.#graphsOf(events)
      await this.#blobsFor(slot, run.row.workspace)
      const state = this.#parts.engine.fold(slot.runId, events, (hash) => graphs.get(hash) as Graph)
      return { kind: 'loaded', run, state }
    } catch (error) {
      if (error instanceof StoreError) throw error
      return { kind: 'unreadable', reason: error instanceof Error ? error.message : String(error) }
    }
  }

  async #graphsOf(events: readonly RunEvent[]): Promise<Map<string, Graph>> {
    const graphs = new Map<string, Graph>()
    for (const event of events) {
      const hash =
        event.type === 'run.started' ? event.graph : event.type === 'run.patched' ? event.after : null
      if (hash === null || graphs.has(hash)) continue
      graphs.set(hash, this.#parts.graphs.peek(hash) ?? (await this.#parts.graphs.get(hash)))
    }
    return graphs
  }

  /** The blobs that the last `decide` of this run asked for. */
  async #blobsFor(slot: Slot, workspace: string): Promise<void> {
    for (const hash of slot.wanted) {
      slot.blobs ??= new Map()
      slot.blobs.set(hash, await this.blob(workspace, hash))
    }
    slot.wanted = []
  }

  /** A blob as JSON; text that is none, as a string. Throws when the workspace has no such blob. */
  async blob(workspace: string, hash: string): Promise<Json> {
    const name = `${workspace}/${hash}`
    const known = this.#blobs.get(name)
    if (known) return known.value
    const blob = await this.#parts.store.blobs.get({ workspace, hash })
    if (!blob) throw new Error(`the blob ${hash} is not stored, although the run refers to it`)
    const text = new TextDecoder().decode(blob.bytes)
    const value = /^application\/(.+\+)?json/.test(blob.contentType) ? (JSON.parse(text) as Json) : text
    this.#blobs.set(name, { value })
    return value
  }
}

const isReading = (slot: Slot): boolean => slot.phase === 'reading'
