/** What every rate limiter owes its users, whatever counts. Run by one test file for each. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type RateLimiter, WINDOW_MS } from '../../src/transport/rate-limiter.ts'

export interface OpenedLimiter {
  readonly limiter: RateLimiter
  /** Lets time go by. */
  pass(ms: number): void
}

/** `open`: a limiter that has counted nothing, at some time. */
export function rateLimiterSuite(name: string, open: () => OpenedLimiter): void {
  describe(`rate limiter: ${name}`, () => {
    test('so many calls fit into any minute, and the next one says when it will', async () => {
      const { limiter, pass } = open()
      const bucket = { name: 'a', limit: 2 }
      const admitted = (remaining: number, resetMs: number) => ({
        isAdmitted: true,
        bucket,
        remaining,
        resetMs,
      })
      const refused = (resetMs: number) => ({ isAdmitted: false, bucket, remaining: 0, resetMs })
      expect(await limiter.take([bucket])).toEqual(admitted(1, WINDOW_MS))
      pass(10_000)
      expect(await limiter.take([bucket])).toEqual(admitted(0, 50_000))
      pass(10_000)
      expect(await limiter.take([bucket])).toEqual(refused(40_000))
      pass(39_999)
      expect(await limiter.take([bucket])).toEqual(refused(1))
      pass(1)
      expect(await limiter.take([bucket])).toEqual(admitted(0, 10_000))
      expect(await limiter.take([bucket])).toEqual(refused(10_000))
      expect(await limiter.take([{ name: 'b', limit: 1 }])).toMatchObject({ isAdmitted: true })
    })

    test('a call that one bucket refuses counts in none, and the longest wait is named', async () => {
      const { limiter, pass } = open()
      const wide = { name: 'wide', limit: 2 }
      const narrow = { name: 'narrow', limit: 1 }
      expect((await limiter.take([wide])).isAdmitted).toBe(true)
      pass(1_000)
      expect((await limiter.take([wide, narrow])).isAdmitted).toBe(true)
      expect(await limiter.take([wide, narrow])).toMatchObject({ isAdmitted: false, bucket: narrow })
      pass(WINDOW_MS - 1_000)
      // The refused calls left room in `wide`: one of its two calls is a minute old now.
      expect((await limiter.take([wide])).isAdmitted).toBe(true)
    })

    test('of a call that counts, the bucket with the least left is named', async () => {
      const { limiter } = open()
      const [wide, narrow] = [
        { name: 'wide', limit: 9 },
        { name: 'narrow', limit: 3 },
      ]
      expect(await limiter.take([wide, narrow])).toEqual({
        isAdmitted: true,
        bucket: narrow,
        remaining: 2,
        resetMs: WINDOW_MS,
      })
    })

    test('whatever comes when, no minute holds more than the figure, and what is refused would be too many', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 5 }),
          fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 60 }),
          async (limit, gaps) => {
            const { limiter, pass } = open()
            const admitted: number[] = []
            let now = 0
            for (const gap of gaps) {
              pass(gap)
              now += gap
              const within = admitted.filter((at) => at > now - WINDOW_MS).length
              const { isAdmitted, remaining } = await limiter.take([{ name: 'x', limit }])
              expect(isAdmitted).toBe(within < limit)
              if (isAdmitted) admitted.push(now)
              expect(remaining).toBe(isAdmitted ? limit - within - 1 : 0)
            }
          },
        ),
      )
    })
  })
}
