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

export interface Taken<Of extends Bucket> {
  readonly isAdmitted: boolean
  /** Of a refused call the bucket that is full for the longest, of an admitted one that which has the least left. */
  readonly bucket: Of
  /** Calls that still fit. */
  readonly remaining: number
  /** Until one more call fits than now. */
  readonly resetMs: number
}

export interface RateLimiter {
  /** Counts one call, or says why not. There is at least one bucket. */
  take<Of extends Bucket>(buckets: readonly [Of, ...Of[]]): Promise<Taken<Of>>
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
          isAdmitted: false,
          bucket,
          remaining: 0,
          resetMs: (times[times.length - bucket.limit] as number) + WINDOW_MS - now,
        }))
        .sort((a, b) => b.resetMs - a.resetMs)
      if (full[0]) return full[0]
      for (const { bucket, times } of used) {
        times.push(now)
        calls.set(bucket.name, times)
      }
      return used
        .map(({ bucket, times }) => ({
          isAdmitted: true,
          bucket,
          remaining: bucket.limit - times.length,
          resetMs: (times[0] as number) + WINDOW_MS - now,
        }))
        .reduce((least, other) => (other.remaining < least.remaining ? other : least))
    },
  }
}
