/**
 * Waiting for tasks, and having the next ones at hand when they are short.
 *
 * A round trip costs as much as many short attempts. A worker that consumes tasks quickly therefore gets more at a time
 * than it asked for: about as many as it consumed in the last `PACE_MS`. What it does not ask for soon goes back to its
 * place in the queue, so that nobody else waits for it.
 *
 * Invariants
 * 1. The server is asked about a queue only when it may hold something: after it was found empty, only when the channel
 *    said that it is not any more, when the channel may have missed that, or when nobody has looked for a while.
 * 2. A wait ends at once when its signal aborts. What the server had on its way is at hand for the next.
 */
import type { Clock } from '../../clock.ts'
import type { TakenTask } from '../transport.ts'

export type Capacity = ReadonlyMap<string, number>

export interface TakingParts {
  readonly clock: Clock
  /** Asks the server. */
  readonly take: (worker: string, capacity: Capacity) => Promise<readonly TakenTask[]>
  readonly handBack: (taskIds: readonly string[]) => Promise<void>
}

/** Should a wake-up be lost, nobody waits longer than this. */
const LOOK_AGAIN_MS = 1_000
const PACE_MS = 20
const MAX_AHEAD = 256
/** What was not asked for in this time goes back. */
const KEPT_MS = 50

/** How fast a worker consumes a type: counts of this window and of the one before. */
interface Pace {
  window: number
  count: number
  before: number
}

/** Tasks of one type at hand. */
interface Ready {
  readonly items: TakenTask[]
  /** When some of them were last brought or asked for. */
  at: number
}

interface Hand {
  readonly ready: Map<string, Ready>
  readonly paces: Map<string, Pace>
  /** The question under way. */
  asking: Promise<void> | null
  touchedAt: number
  hasTimer: boolean
}

export class Taking {
  readonly #parts: TakingParts
  readonly #hands = new Map<string, Hand>()
  /** Queues that were found empty. */
  readonly #empty = new Set<string>()
  /** Number of the last wake-up of each type, and of all. */
  readonly #wokenAt = new Map<string, number>()
  #allWokenAt = 0
  #wakes = 0
  readonly #waiting = new Set<(type: string | null) => void>()
  #isClosed = false

  constructor(parts: TakingParts) {
    this.#parts = parts
  }

  /** The queue of this type may hold something; `null`: any may. */
  wake(type: string | null): void {
    const number = ++this.#wakes
    if (type === null) {
      this.#allWokenAt = number
      this.#empty.clear()
    } else {
      this.#wokenAt.set(type, number)
      this.#empty.delete(type)
    }
    for (const look of this.#waiting) look(type)
  }

  async next(worker: string, capacity: Capacity, signal: AbortSignal): Promise<TakenTask[]> {
    while (!signal.aborted && !this.#isClosed) {
      const asked = [...capacity].filter(([type]) => !this.#empty.has(type))
      const known = this.#hands.get(worker)
      if (known === undefined && asked.length === 0) {
        await this.#look(capacity, signal)
        continue
      }
      const hand = known ?? this.#newHand(worker)
      hand.touchedAt = this.#parts.clock.monotonic()
      const ready = this.#serve(worker, hand, capacity)
      if (ready.length > 0) return ready
      if (asked.length === 0) await this.#look(capacity, signal)
      else await this.#unlessAborted(this.#ask(worker, hand, asked), signal)
    }
    return []
  }

  /** Sends everybody away; what is at hand goes back. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.wake(null)
    for (const hand of this.#hands.values()) {
      await hand.asking?.catch(() => {})
      await this.#giveBack(hand, Number.POSITIVE_INFINITY)
    }
  }

  /** Forgotten once nothing is at hand and nothing was asked for in a while. */
  #newHand(worker: string): Hand {
    const hand: Hand = { ready: new Map(), paces: new Map(), asking: null, touchedAt: 0, hasTimer: false }
    this.#hands.set(worker, hand)
    this.#giveBackLater(worker, hand)
    return hand
  }

  #serve(worker: string, hand: Hand, capacity: Capacity): TakenTask[] {
    const served: TakenTask[] = []
    const short: [string, number][] = []
    for (const [type, limit] of capacity) {
      const ready = hand.ready.get(type)
      if (ready === undefined || limit < 1) continue
      const portion = ready.items.splice(0, limit)
      ready.at = hand.touchedAt
      served.push(...portion)
      if (ready.items.length === 0) hand.ready.delete(type)
      const ahead = this.#count(hand, type, portion.length)
      if (ready.items.length < ahead / 2 && !this.#empty.has(type)) short.push([type, 0])
    }
    // The next ones are fetched while these are performed.
    if (short.length > 0 && hand.asking === null) this.#ask(worker, hand, short).catch(() => {})
    return served
  }

  /** Counts what is consumed; answers how many to have at hand, by what was consumed before: once is no pace. */
  #count(hand: Hand, type: string, consumed: number): number {
    const window = Math.floor(this.#parts.clock.monotonic() / PACE_MS)
    let pace = hand.paces.get(type)
    if (pace === undefined) {
      pace = { window, count: 0, before: 0 }
      hand.paces.set(type, pace)
    }
    if (pace.window !== window) {
      pace.before = pace.window === window - 1 ? pace.count : 0
      pace.count = 0
      pace.window = window
    }
    const ahead = Math.min(Math.max(pace.before, pace.count), MAX_AHEAD)
    pace.count += consumed
    return ahead
  }

  /** One question at a time for each worker; what it brings is at hand then. */
  #ask(worker: string, hand: Hand, capacity: readonly (readonly [string, number])[]): Promise<void> {
    hand.asking ??= this.#bring(worker, hand, capacity).finally(() => {
      hand.asking = null
      this.#giveBackLater(worker, hand)
    })
    return hand.asking
  }

  async #bring(worker: string, hand: Hand, capacity: readonly (readonly [string, number])[]): Promise<void> {
    const limits = new Map(
      capacity.map(([type, limit]) => [type, limit + this.#count(hand, type, 0)] as const),
    )
    const askedAt = this.#wakes
    const taken = await this.#parts.take(worker, limits)
    const at = this.#parts.clock.monotonic()
    const found = new Map<string, number>()
    for (const item of taken) {
      const { type } = item.task
      found.set(type, (found.get(type) ?? 0) + 1)
      const ready = hand.ready.get(type)
      if (ready === undefined) hand.ready.set(type, { items: [item], at })
      else {
        ready.items.push(item)
        ready.at = at
      }
    }
    for (const [type, limit] of limits) {
      const isOld = Math.max(this.#wokenAt.get(type) ?? 0, this.#allWokenAt) > askedAt
      if (!isOld && (found.get(type) ?? 0) < limit) this.#empty.add(type)
    }
  }

  #giveBackLater(worker: string, hand: Hand): void {
    if (hand.hasTimer) return
    hand.hasTimer = true
    this.#parts.clock.after(KEPT_MS, () => {
      hand.hasTimer = false
      const before = this.#parts.clock.monotonic() - KEPT_MS
      void this.#giveBack(hand, before)
      if (hand.touchedAt > before || hand.ready.size > 0 || hand.asking !== null)
        this.#giveBackLater(worker, hand)
      else this.#hands.delete(worker)
    })
  }

  /** What was brought and not asked for since. Nobody prolongs its leases while it is only at hand. */
  async #giveBack(hand: Hand, before: number): Promise<void> {
    const ids: string[] = []
    for (const [type, { items, at }] of hand.ready) {
      if (at > before) continue
      hand.ready.delete(type)
      for (const { task } of items) ids.push(task.id)
    }
    // Should that fail, they are lost with the connection, and found by their leases.
    if (ids.length > 0) await this.#parts.handBack(ids).catch(() => {})
  }

  /** Until one of these queues may hold something, or for a while, or until `signal` aborts. */
  #look(capacity: Capacity, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const look = (type: string | null): void => {
        if (type !== null && !capacity.has(type)) return
        this.#waiting.delete(look)
        signal.removeEventListener('abort', leave)
        withdraw()
        resolve()
      }
      const leave = (): void => look(null)
      const withdraw = this.#parts.clock.after(LOOK_AGAIN_MS, () => {
        for (const type of capacity.keys()) this.#empty.delete(type)
        look(null)
      })
      this.#waiting.add(look)
      signal.addEventListener('abort', leave)
    })
  }

  #unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => resolve()
      signal.addEventListener('abort', leave)
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
    })
  }
}
