/**
 * How many attempts of each type run at once. An attempt whose end was told although its code goes on (a timeout that
 * the code ignores) gives its slot back, but only as many as the type has slots: then the type waits for one to end, so
 * that stubborn code cannot take the whole process.
 */
interface Use {
  /** Attempts whose end was not told yet. */
  active: number
  /** Attempts whose end was told and whose code still runs. */
  stubborn: number
}

const DEFAULT_SLOTS = 16

export class Slots {
  readonly #limits: ReadonlyMap<string, number>
  readonly #uses = new Map<string, Use>()

  /** @param limits attempts at a time by type; `*` for every type that is not named */
  constructor(limits: ReadonlyMap<string, number>) {
    this.#limits = limits
  }

  limit(type: string): number {
    return this.#limits.get(type) ?? this.#limits.get('*') ?? DEFAULT_SLOTS
  }

  free(type: string): number {
    const limit = this.limit(type)
    const { active, stubborn } = this.use(type)
    return Math.max(0, limit - active - Math.max(0, stubborn - limit))
  }

  use(type: string): Use {
    let use = this.#uses.get(type)
    if (use === undefined) {
      use = { active: 0, stubborn: 0 }
      this.#uses.set(type, use)
    }
    return use
  }
}
