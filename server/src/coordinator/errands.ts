/**
 * Work that follows a commit and takes more than one step: beginning children, reading an item, asking the lane. One run's
 * errands are done in their order, so that a child is begun before it is cancelled; runs do not wait for each other.
 *
 * An errand that fails is not repeated: whoever ordered it is told, and what it was for is still owed by the state (R5).
 */
export class Errands {
  readonly #last = new Map<string, Promise<void>>()
  readonly #failed: (runId: string, error: unknown) => void

  constructor(failed: (runId: string, error: unknown) => void) {
    this.#failed = failed
  }

  run(runId: string, errand: () => Promise<void>): void {
    const before = this.#last.get(runId)
    const work = before ? before.then(errand) : errand()
    const done = work
      .catch((error: unknown) => this.#failed(runId, error))
      .then(() => {
        if (this.#last.get(runId) === done) this.#last.delete(runId)
      })
    this.#last.set(runId, done)
  }

  get size(): number {
    return this.#last.size
  }

  /** Resolves when none is under way; with `wanted`, none of those runs. */
  async settled(wanted: (runId: string) => boolean = () => true): Promise<void> {
    for (;;) {
      const last = [...this.#last].flatMap(([runId, done]) => (wanted(runId) ? [done] : []))
      if (last.length === 0) return
      await Promise.all(last)
    }
  }
}
