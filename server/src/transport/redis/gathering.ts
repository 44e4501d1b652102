/**
 * One call at a time: what comes while a call is under way goes into the next one, all of it (as R10 has it for commits).
 * Idle, a call leaves at once; under load, one round trip carries many callers. The order of arrival is kept.
 */
interface Caller<Item> {
  readonly items: readonly Item[]
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class Gathering<Item> {
  readonly #call: (items: readonly Item[]) => Promise<unknown>
  readonly #maxItems: number
  #waiting: Caller<Item>[] = []
  #calling = false

  /** `maxItems`: of one call, so that none keeps the server from the others for long. */
  constructor(call: (items: readonly Item[]) => Promise<unknown>, maxItems: number) {
    this.#call = call
    this.#maxItems = maxItems
  }

  /** Resolves when the call that carried these items has succeeded; rejects as it does. */
  add(items: readonly Item[]): Promise<void> {
    if (items.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waiting.push({ items, resolve, reject })
      if (!this.#calling) void this.#work()
    })
  }

  /** Resolves when everything that was added before has arrived or failed. */
  settled(): Promise<void> {
    if (!this.#calling) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ items: [], resolve, reject: () => resolve() }))
  }

  async #work(): Promise<void> {
    this.#calling = true
    while (this.#waiting.length > 0) {
      const callers = this.#next()
      try {
        const items = callers.length === 1 ? callers[0]!.items : callers.flatMap((caller) => caller.items)
        for (let from = 0; from < items.length; from += this.#maxItems) {
          await this.#call(items.length <= this.#maxItems ? items : items.slice(from, from + this.#maxItems))
        }
        for (const { resolve } of callers) resolve()
      } catch (error) {
        for (const { reject } of callers) reject(error)
      }
    }
    this.#calling = false
  }

  #next(): Caller<Item>[] {
    let count = 0
    const full = this.#waiting.findIndex(({ items }) => {
      count += items.length
      return count > this.#maxItems
    })
    return this.#waiting.splice(0, full === -1 ? this.#waiting.length : Math.max(1, full))
  }
}
