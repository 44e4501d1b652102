/**
 * Callers that wait for something to take. They are woken by whoever brings it, in the order in which they came, with
 * no timer between: what an idle run waits for is these promises.
 */
interface Waiter<Item> {
  readonly collect: () => Item[]
  readonly settle: (items: Item[]) => void
}

export class Waiters<Item> {
  readonly #waiting = new Set<Waiter<Item>>()

  /** What `collect` finds, at once or as soon as a `wake` lets it find something; empty when `signal` aborts. */
  wait(collect: () => Item[], signal: AbortSignal): Promise<Item[]> {
    if (signal.aborted) return Promise.resolve([])
    const found = collect()
    if (found.length > 0) return Promise.resolve(found)
    return new Promise((resolve) => {
      const leave = (): void => waiter.settle([])
      const waiter: Waiter<Item> = {
        collect,
        settle: (items) => {
          this.#waiting.delete(waiter)
          signal.removeEventListener('abort', leave)
          resolve(items)
        },
      }
      this.#waiting.add(waiter)
      signal.addEventListener('abort', leave)
    })
  }

  /** Something came: everybody looks, first come first served. */
  wake(): void {
    for (const waiter of this.#waiting) {
      const items = waiter.collect()
      if (items.length > 0) waiter.settle(items)
    }
  }

  /** Sends everybody away with nothing. */
  dismiss(): void {
    for (const waiter of this.#waiting) waiter.settle([])
  }
}
