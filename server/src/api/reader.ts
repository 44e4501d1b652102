/**
 * Reads runs for the API: rows, and states folded from the log (R1).
 *
 * Owns: a cache of folded states, so that a caller who asks again pays for the new events only. A state here is the
 * reader's alone; callers look at it and change nothing. The log does not know which attempts a worker holds: that is
 * asked of the transport when somebody looks (R8).
 */
import { evolve, fold, type Graph, type RunEvent, type RunState, taskId } from '@weft/engine'
import { LRUCache } from 'lru-cache'
import type { GraphCatalog } from '../graphs.ts'
import type { RunRow, Store, StoredEvent } from '../store/store.ts'
import { type Transport, TransportUnavailable } from '../transport/transport.ts'
import { runNotFound } from './commands.ts'

const EVENTS_PER_PAGE = 1000
const CACHED_EVENTS = 100_000
const RUN_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export interface ReaderParts {
  readonly store: Store
  readonly transport: Transport
  readonly graphs: GraphCatalog
}

export class RunReader {
  readonly #parts: ReaderParts
  readonly #states = new LRUCache<string, RunState>({
    maxSize: CACHED_EVENTS,
    sizeCalculation: (state) => state.seq + 10,
  })
  readonly #loading = new Map<string, Promise<RunState>>()

  constructor(parts: ReaderParts) {
    this.#parts = parts
  }

  /** Throws `run_not_found`. */
  async row(workspace: string, id: string): Promise<RunRow> {
    const row = RUN_ID.test(id) ? await this.#parts.store.runs.get({ workspace, id }) : null
    if (!row) throw runNotFound(id)
    return row
  }

  /** The state at least as new as the row. */
  async state(row: RunRow): Promise<RunState> {
    const known = this.#states.get(row.id)
    if (known && known.seq >= row.seq) return known
    const current = this.#loading.get(row.id)
    if (current) {
      const state = await current
      if (state.seq >= row.seq) return state
      return this.state(row)
    }
    // What breaks in the middle of a fold leaves half a state, which nobody may see again.
    this.#states.delete(row.id)
    const loading = this.#extend(row.id, known).finally(() => this.#loading.delete(row.id))
    this.#loading.set(row.id, loading)
    return loading
  }

  /** Which units of the run a worker holds at the moment. */
  async taken(state: RunState): Promise<(key: string) => boolean> {
    const keys = new Map<string, string>()
    for (const step of state.steps.values()) {
      for (const unit of [step.unit, ...(step.items?.live.values() ?? [])]) {
        if (unit?.activity.phase !== 'working' && unit?.activity.phase !== 'backoff') continue
        keys.set(taskId(state.id, unit.key, unit.round, unit.attempt), unit.key)
      }
    }
    if (keys.size === 0) return () => false
    const held = await this.#held([...keys.keys()])
    const taken = new Set<string>()
    for (const [id, how] of held) if (how === 'taken') taken.add(keys.get(id) as string)
    return (key) => taken.has(key)
  }

  /** While the transport is away nobody can tell who holds what: the run is shown as the log has it. */
  async #held(taskIds: readonly string[]): Promise<ReadonlyMap<string, 'queued' | 'taken'>> {
    try {
      return await this.#parts.transport.tasks.inspect(taskIds)
    } catch (error) {
      if (error instanceof TransportUnavailable) return new Map()
      throw error
    }
  }

  async #extend(id: string, known: RunState | undefined): Promise<RunState> {
    let state = known
    for (;;) {
      const page = await this.#parts.store.runs.events({
        runId: id,
        afterSeq: state?.seq ?? 0,
        limit: EVENTS_PER_PAGE,
      })
      const graphs = await this.#graphsOf(page)
      const events = page.map((stored) => stored.event)
      if (!state) state = fold(id, events, graphs)
      else for (const event of events) evolve(state, event, graphs)
      if (page.length < EVENTS_PER_PAGE) break
    }
    this.#states.set(id, state)
    return state
  }

  /** Every graph that these events name, before the fold asks for one. */
  async #graphsOf(page: readonly StoredEvent[]): Promise<(hash: string) => Graph> {
    const graphs = new Map<string, Graph>()
    for (const { event } of page) {
      const hash = graphHashOf(event)
      if (hash !== null && !graphs.has(hash)) graphs.set(hash, await this.#parts.graphs.get(hash))
    }
    return (hash) => {
      const graph = graphs.get(hash)
      if (!graph) throw new Error(`the graph ${hash} was not loaded before the fold`)
      return graph
    }
  }
}

function graphHashOf(event: RunEvent): string | null {
  if (event.type === 'run.started') return event.graph
  return event.type === 'run.patched' ? event.after : null
}
