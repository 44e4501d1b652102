/**
 * The hold of a process that was started with WEFT_START_PAUSED=true: until `weft resume --all` nothing comes out of its
 * lanes, so that it decides nothing and performs nothing. What is sent, submitted and decided by people meanwhile is
 * stored, and waits (R15).
 *
 * Owns whether this process is held, and the poll that asks. Does not own the coordinator's upkeep, which asks `isHeld`.
 * A hold is its process's own: it ends with it, and each start of a process with the setting begins another one.
 */
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { Service } from './service.ts'
import type { Store } from './store/store.ts'
import type { Transport } from './transport/transport.ts'
import { createTurns } from './turns.ts'

const EVERY_MS = 1_000

/** What people are told, wherever they look. */
export const RESUME_ADVICE =
  '`weft resume --all` (POST /resume, role admin) lifts that; submits, decisions and cancels are stored meanwhile'

export interface HoldParts {
  readonly store: Pick<Store, 'holds'>
  readonly clock: Clock
  readonly log: Log
  readonly name: string
}

export interface Hold extends Service {
  isHeld(): boolean
  /** Resolves when the hold is over, or `signal` aborts. */
  over(signal: AbortSignal): Promise<void>
  /** Asks now instead of in a second. */
  tick(): Promise<void>
}

export function createHold({ store, clock, log, name }: HoldParts): Hold {
  const id = clock.id()
  const waiting = new Set<() => void>()
  let isHeld = true
  let state: 'stopped' | 'running' = 'stopped'

  async function ask(): Promise<void> {
    const { isResumed } = await store.holds.beat({ id, name })
    if (!isResumed) return
    isHeld = false
    void turns.stop()
    for (const goOn of [...waiting]) goOn()
    log.info('resumed: this process dispatches from now on')
    await store.holds.leave({ id })
  }

  const turns = createTurns({
    clock,
    everyMs: EVERY_MS,
    async turn() {
      if (isHeld && state === 'running') await ask()
    },
    // Whoever cannot ask stays held.
    failed: (error) => log.debug({ error }, 'nobody said whether the hold is over'),
  })

  return {
    name: 'hold',
    isHeld: () => isHeld,
    async over(signal) {
      if (!isHeld || signal.aborted) return
      await new Promise<void>((resolve) => {
        const goOn = (): void => {
          waiting.delete(goOn)
          signal.removeEventListener('abort', goOn)
          resolve()
        }
        waiting.add(goOn)
        signal.addEventListener('abort', goOn)
      })
    },
    tick: turns.tick,
    async start() {
      if (state === 'running' || !isHeld) return
      state = 'running'
      await ask()
      log.warn(`WEFT_START_PAUSED: this process dispatches nothing; ${RESUME_ADVICE}`)
      if (isHeld) turns.start()
    },
    async stop() {
      if (state === 'stopped') return
      state = 'stopped'
      await turns.stop()
      if (isHeld) await store.holds.leave({ id }).catch(() => {})
    },
  }
}

/** The transport as a held process sees it: everything may be sent, and nothing is received before the hold is over. */
export function heldTransport(transport: Transport, hold: Pick<Hold, 'over'>): Transport {
  const { tasks, signals } = transport
  return {
    ...transport,
    tasks: {
      ...tasks,
      async take(worker, capacity, signal) {
        await hold.over(signal)
        return signal.aborted ? [] : tasks.take(worker, capacity, signal)
      },
    },
    signals: {
      ...signals,
      async receive(partitions, limit, signal) {
        await hold.over(signal)
        return signal.aborted ? [] : signals.receive(partitions, limit, signal)
      },
    },
  }
}
