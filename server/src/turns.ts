/**
 * Turns of something that is done now and then, one at a time and never two at once: the next one is due a while after
 * the last has ended. A turn that fails is reported and followed by the next, all the same (R13).
 */
import type { Clock } from './clock.ts'

export interface Turns {
  /** The next turn is due in a while. */
  start(): void
  /** A turn now, after the one under way; also one that nobody is waiting for. */
  tick(): Promise<void>
  /** No turn follows; resolves when the one under way has ended. */
  stop(): Promise<void>
}

export function createTurns(parts: {
  readonly clock: Clock
  readonly everyMs: number
  readonly turn: () => Promise<void>
  readonly failed: (error: unknown) => void
}): Turns {
  const { clock, everyMs, turn, failed } = parts
  let isRunning = false
  let withdraw: () => void = () => {}
  let last: Promise<void> = Promise.resolve()

  const tick = (): Promise<void> => {
    last = last.then(turn).catch(failed)
    return last
  }

  function schedule(): void {
    withdraw = clock.after(everyMs, () => {
      void tick().then(() => {
        if (isRunning) schedule()
      })
    })
  }

  return {
    tick,
    start() {
      if (isRunning) return
      isRunning = true
      schedule()
    },
    async stop() {
      isRunning = false
      withdraw()
      await last
    },
  }
}
