/**
 * Runs that are set aside (R16): marked in the database, out of the way of all others, with the signals that came for
 * them kept until somebody recovers them.
 *
 * The signals are not deleted from the lane either; this memory is bounded, and what falls out of it is an attempt that
 * is made again.
 */
import type { Log } from '../log.ts'
import type { CoordinatorMetrics } from '../metrics.ts'
import type { OwnerSession } from '../store/store.ts'
import type { Item } from './slot.ts'

const MAX_ITEMS_PER_RUN = 1_000
const MAX_RUNS = 1_000

export class Quarantine {
  readonly #log: Log
  readonly #metrics: CoordinatorMetrics
  readonly #items = new Map<string, Item[]>()

  constructor(log: Log, metrics: CoordinatorMetrics) {
    this.#log = log
    this.#metrics = metrics
  }

  setAside(
    session: OwnerSession | null,
    runId: string,
    items: readonly Item[],
    reason: string,
    error?: unknown,
  ): void {
    this.#log.error(
      { runId, ...(error ? { error } : {}) },
      `the run is set aside: ${reason}; \`weft recover ${runId}\` tries again`,
    )
    this.#metrics.quarantined()
    this.park(runId, items)
    session?.quarantine({ runId, reason }).catch((failure: unknown) => {
      this.#log.warn(
        { runId, error: failure },
        'the quarantine could not be written; the run is tried again when it is due',
      )
    })
  }

  has(runId: string): boolean {
    return this.#items.has(runId)
  }

  /** Commands stand in the inbox and reasons to look are worth nothing: results of attempts are kept. */
  park(runId: string, items: readonly Item[]): void {
    const kept = this.#items.get(runId) ?? []
    for (const item of items) {
      const { kind } = item.signal
      if (kind === 'completed' || kind === 'failed' || kind === 'lost' || kind === 'dropped') kept.push(item)
    }
    if (kept.length > MAX_ITEMS_PER_RUN) kept.splice(0, kept.length - MAX_ITEMS_PER_RUN)
    this.#items.set(runId, kept)
    if (this.#items.size <= MAX_RUNS) return
    for (const oldest of this.#items.keys()) {
      this.#items.delete(oldest)
      return
    }
  }

  /** The run is looked at again. */
  take(runId: string): Item[] {
    const items = this.#items.get(runId) ?? []
    this.#items.delete(runId)
    return items
  }

  /** Their partition was given up. */
  forget(unwanted: (runId: string) => boolean): void {
    for (const runId of this.#items.keys()) if (unwanted(runId)) this.#items.delete(runId)
  }

  clear(): void {
    this.#items.clear()
  }
}
