/**
 * The batch that gathers while the last one is committed (R10).
 *
 * A run that was in an append when a session broke may be the reason (R16): it is committed alone until that succeeds,
 * and blamed when it was alone each time.
 */
import type { Entry, Slot } from './slot.ts'

const MAX_RUNS_PER_BATCH = 500
/** Sessions that ended while a run was alone in the append: after these, the run is to blame. */
const MAX_LOSSES = 3

export interface TakenBatch {
  readonly entries: readonly Entry[]
  readonly blamed: readonly Entry[]
}

export class Batch {
  #entries = new Set<Entry>()
  /** Slots that wait for the next batch, since this one is full. */
  #held: Slot[] = []
  readonly #suspects = new Map<string, number>()

  get size(): number {
    return this.#entries.size
  }

  get isFull(): boolean {
    return this.#entries.size >= MAX_RUNS_PER_BATCH
  }

  add(entry: Entry): void {
    this.#entries.add(entry)
  }

  remove(entry: Entry): void {
    this.#entries.delete(entry)
  }

  hold(slot: Slot): void {
    this.#held.push(slot)
  }

  takeHeld(): Slot[] {
    return this.#held.splice(0)
  }

  /** What is to be committed next. */
  take(): TakenBatch {
    const blamed: Entry[] = []
    if (this.#suspects.size > 0) {
      for (const entry of this.#entries) {
        const losses = this.#suspects.get(entry.slot.runId)
        if (losses === undefined) continue
        this.#entries.delete(entry)
        if (losses < MAX_LOSSES) return { entries: [entry], blamed }
        this.#suspects.delete(entry.slot.runId)
        blamed.push(entry)
      }
    }
    const entries = [...this.#entries]
    this.#entries = new Set()
    return { entries, blamed }
  }

  /** The session broke while these were being committed. */
  lost(entries: readonly Entry[]): void {
    for (const { slot } of entries) {
      const losses = this.#suspects.get(slot.runId) ?? 0
      this.#suspects.set(slot.runId, entries.length === 1 ? losses + 1 : losses)
    }
  }

  committed(entry: Entry): void {
    if (this.#suspects.size > 0) this.#suspects.delete(entry.slot.runId)
  }

  /** Suspicion outlives the session. */
  clear(): void {
    this.#entries = new Set()
    this.#held = []
  }
}
