/**
 * Counts calls of all processes together: one script, one round trip. Time is the database's, which every process's clock
 * follows, so that they mean the same minute.
 *
 * While Redis does not answer each process counts alone: calls that start work are accepted then too (R5), and no limit
 * is off.
 */
import type { Clock } from '../../clock.ts'
import { memoryRateLimiter, type RateLimiter, WINDOW_MS } from '../rate-limiter.ts'
import { TransportUnavailable } from '../transport.ts'
import type { Keys } from './keys.ts'
import type { Link } from './link.ts'
import { Script } from './script.ts'

const RATE_LIMIT = new Script('rate-limit')

export function redisRateLimiter(parts: {
  readonly link: Pick<Link, 'call'>
  readonly keys: Keys
  readonly clock: Pick<Clock, 'now' | 'monotonic' | 'token'>
}): RateLimiter {
  const { link, keys, clock } = parts
  const alone = memoryRateLimiter(parts)
  const sender = clock.token(6)
  let calls = 0
  return {
    async take(buckets) {
      const call = `${sender}.${++calls}`
      const args = [keys.prefix, clock.now(), WINDOW_MS, call]
      for (const { name, limit } of buckets) args.push(name, limit)
      try {
        const [admitted, index, remaining, resetMs] = (await link.call((redis) =>
          RATE_LIMIT.run(redis, args),
        )) as [number, number, number, string]
        const bucket = buckets[index] ?? buckets[0]
        return { isAdmitted: admitted === 1, bucket, remaining, resetMs: Number(resetMs) }
      } catch (error) {
        if (error instanceof TransportUnavailable) return alone.take(buckets)
        throw error
      }
    },
  }
}
