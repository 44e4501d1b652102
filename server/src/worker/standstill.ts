/**
 * Notices that the whole process stood still: stopped by a signal, or on a machine that slept. What it had read before
 * may be long past then: somebody else may have performed its tasks (R5).
 */
import type { Clock } from '../clock.ts'

const TICK_MS = 500
/** A tick that comes later than this was held up by more than a busy moment. */
const LATEST_TICK_MS = 2_000

export class Standstill {
  readonly #clock: Clock
  #tickedAt: number
  #endedAt = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
    this.#tickedAt = clock.monotonic()
  }

  /** Watches until the returned function is called. */
  watch(): () => void {
    let withdraw = (): void => {}
    const later = (): void => {
      withdraw = this.#clock.after(TICK_MS, () => {
        this.#notice()
        later()
      })
    }
    this.#tickedAt = this.#clock.monotonic()
    later()
    return () => withdraw()
  }

  /** Whether the process stood still after this moment of its monotonic clock. */
  isSince(moment: number): boolean {
    this.#notice()
    return this.#endedAt > moment
  }

  #notice(): void {
    const now = this.#clock.monotonic()
    if (now - this.#tickedAt > LATEST_TICK_MS) this.#endedAt = now
    this.#tickedAt = now
  }
}
