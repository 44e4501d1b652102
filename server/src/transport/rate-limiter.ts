/**
 * Counts calls within the last minute, in several buckets at once.
 *
 * Invariant: a call is counted in all of its buckets or in none, in one step: an implementation over a network takes one
 * round trip. A refused call is not counted.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'

export const WINDOW_MS = 60_000

export interface Bucket {
  readonly name: string
  /** Calls within any `WINDOW_MS`. */
  readonly limit: number
}

/** The bucket that is full for the longest. */
export interface Full<Of extends Bucket> {
  readonly bucket: Of
  /** Until one more call fits. */
  readonly retryAfterMs: number
}

export interface RateLimiter {
  /** Counts one call, or says why not. */
  take<Of extends Bucket>(buckets: readonly Of[]): Promise<Full<Of> | null>
}

/** The bucket that nobody has used for the longest is forgotten first; there is one for each key and tier. */
const MAX_BUCKETS = 10_000

/** For one process. Keeps the time of every call of the last minute: the figures are exact, not averages. */
export function memoryRateLimiter({ clock }: { readonly clock: Pick<Clock, 'monotonic'> }): RateLimiter {
  const calls = new LRUCache<string, number[]>({ max: MAX_BUCKETS })

  function recent(name: string, now: number): number[] {
    const times = calls.get(name) ?? []
    const first = times.findIndex((at) => at > now - WINDOW_MS)
    times.splice(0, first === -1 ? times.length : first)
    return times
  }

  return {
    async take(buckets) {
      const now = clock.monotonic()
      const used = buckets.map((bucket) => ({ bucket, times: recent(bucket.name, now) }))
      const full = used
        .filter(({ bucket, times }) => times.length >= bucket.limit)
        .map(({ bucket, times }) => ({
          bucket,
          retryAfterMs: (times[times.length - bucket.limit] as number) + WINDOW_MS - now,
        }))
        .sort((a, b) => b.retryAfterMs - a.retryAfterMs)
      if (full[0]) return full[0]
      for (const { bucket, times } of used) {
        times.push(now)
        calls.set(bucket.name, times)
      }
      return null
    },
  }
}
