/**
 * Signals of runs in quarantine (R16): kept until the run is recovered. They are not deleted from the lane either; this
 * memory is bounded, and what falls out of it is an attempt that is made again.
 */
import type { Item } from './slot.ts'

const MAX_ITEMS_PER_RUN = 1_000
const MAX_RUNS = 1_000

export class Parked {
  readonly #items = new Map<string, Item[]>()

  has(runId: string): boolean {
    return this.#items.has(runId)
  }

  /** Commands stand in the inbox and reasons to look are worth nothing: results of attempts are kept. */
  add(runId: string, items: readonly Item[]): void {
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

  clear(): void {
    this.#items.clear()
  }
}
