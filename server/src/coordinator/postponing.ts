/** Moves of `wake_at` that come with no events: gathered, and written in one statement. */
import type { OwnerSession } from '../store/store.ts'

export class Postponing {
  readonly #written: () => void
  #runs: { runId: string; wakeAt: number | null }[] = []
  #writes = 0

  constructor(written: () => void) {
    this.#written = written
  }

  get isWriting(): boolean {
    return this.#writes > 0
  }

  add(runId: string, wakeAt: number | null): void {
    this.#runs.push({ runId, wakeAt })
  }

  flush(session: OwnerSession): void {
    if (this.#runs.length === 0) return
    const runs = this.#runs
    this.#runs = []
    this.#writes++
    session
      .postpone(runs)
      // Unwritten, the runs are due again: nothing is lost.
      .catch(() => {})
      .then(() => {
        this.#writes--
        this.#written()
      })
  }

  clear(): void {
    this.#runs = []
  }
}
