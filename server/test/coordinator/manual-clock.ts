/** A clock that stands still until a test moves it; timers ring in the order of their times. */
import { type Clock, systemClock } from '../../src/clock.ts'

export interface ManualClock extends Clock {
  advance(ms: number): void
  /** The process stands still: time passes, and no timer rings. */
  freeze(ms: number): void
}

export function manualClock(): ManualClock {
  const system = systemClock()
  const startedAt = Math.floor(system.now())
  let elapsedMs = 0
  let count = 0
  const timers = new Map<number, { readonly at: number; readonly callback: () => void }>()
  return {
    now: () => startedAt + elapsedMs,
    monotonic: () => elapsedMs,
    id: system.id,
    token: system.token,
    turn: system.turn,
    after(delayMs, callback) {
      const number = ++count
      timers.set(number, { at: elapsedMs + Math.max(0, delayMs), callback })
      return () => timers.delete(number)
    },
    freeze(ms) {
      elapsedMs += ms
    },
    advance(ms) {
      const until = elapsedMs + ms
      for (;;) {
        const due = [...timers].filter(([, { at }]) => at <= until).sort(([, a], [, b]) => a.at - b.at)[0]
        if (!due) break
        timers.delete(due[0])
        elapsedMs = Math.max(elapsedMs, due[1].at)
        due[1].callback()
      }
      elapsedMs = until
    },
  }
}
