/**
 * The transport of many processes: three lanes on one Redis (6.2 or newer, or Valkey). What it holds may be gone at any
 * moment; it says so (`onWiped`), and what is owed is published again (R5).
 */
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { RateLimiter } from './rate-limiter.ts'
import { keysOf } from './redis/keys.ts'
import { openLink } from './redis/link.ts'
import { redisLive } from './redis/live.ts'
import { redisRateLimiter } from './redis/rate-limiter.ts'
import { redisSignals } from './redis/signals.ts'
import { redisTasks } from './redis/tasks.ts'
import { Wipes } from './redis/wipes.ts'
import type { Transport } from './transport.ts'

/** What is still on its way when the transport closes gets this long. */
const FAREWELL_MS = 2_000

export interface RedisOptions {
  /** `redis://` or, with TLS, `rediss://`; user and password as in any address. */
  readonly url: string
  readonly clock: Clock
  readonly log: Log
  readonly leaseMs: number
  /** Of all keys and channels, `weft:…:`. Processes of one installation have the same, others another one. */
  readonly prefix: string
}

export interface RedisTransport extends Transport {
  /** Of all processes on this Redis together. */
  readonly rateLimiter: RateLimiter
}

/** Resolves when the server was reached and found usable; rejects with a sentence for the person at the terminal. */
export async function redisTransport(options: RedisOptions): Promise<RedisTransport> {
  const { clock, leaseMs } = options
  const log = options.log.child({ part: 'redis' })
  const keys = keysOf(options.prefix)
  const link = await openLink(options.url, log)
  const live = redisLive({ link, keys, sender: clock.token(8) })
  const signals = redisSignals({ link, keys, clock })
  const tasks = redisTasks({ link, keys, clock, leaseMs, live })
  const wipes = new Wipes({ link, keys, clock, log })
  wipes.on(() => {
    signals.forget()
    tasks.wake(null)
  })

  const { subscriber } = link
  subscriber.on('message', (channel: string, text: string) => {
    if (channel === keys.wake) tasks.wake(text)
    else live.heard(text)
  })
  const join = async (): Promise<void> => {
    await subscriber.subscribe(keys.wake, keys.live)
    live.joined()
    // What was said while the channel was down is not said again.
    tasks.wake(null)
  }
  subscriber.on('ready', () => {
    join().catch(() => {}) // the connection is gone again
  })
  try {
    await join()
    await wipes.start()
  } catch (error) {
    link.close()
    throw error
  }
  return {
    kind: 'redis',
    tasks,
    signals,
    live,
    rateLimiter: redisRateLimiter({ link, keys, clock }),
    onWiped: (listener) => wipes.on(listener),
    async close() {
      wipes.close()
      await tasks.close()
      signals.close()
      let withdraw = (): void => {}
      const late = new Promise<void>((resolve) => {
        withdraw = clock.after(FAREWELL_MS, resolve)
      })
      await Promise.race([link.drained(), late])
      withdraw()
      link.close()
    },
  }
}
