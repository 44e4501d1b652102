import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { createLog } from '../../src/log.ts'
import type { RateLimiter } from '../../src/transport/rate-limiter.ts'
import { keysOf } from '../../src/transport/redis/keys.ts'
import { type Link, openLink } from '../../src/transport/redis/link.ts'
import { redisRateLimiter } from '../../src/transport/redis/rate-limiter.ts'
import { redisTransport } from '../../src/transport/redis.ts'
import { redisUrl, type TestRedis, testRedis } from '../redis.ts'
import { rateLimiterSuite } from '../suites/rate-limiter.ts'
import { transportSuite } from '../suites/transport.ts'

const LEASE_MS = 60_000
const log = createLog({ level: 'error', format: 'json' })

describe.skipIf(redisUrl === null)('on a Redis', () => {
  transportSuite('Redis', async () => {
    const redis = await testRedis()
    const { url, prefix, client } = redis
    const transport = await redisTransport({ url, prefix, clock: systemClock(), log, leaseMs: LEASE_MS })
    return {
      transport,
      async lapse() {
        // Its leases are by the server's clock: they are moved, not waited for. The first turn of all is a grace.
        await transport.tasks.reap()
        const leases = await client.zrange(`${prefix}leases`, '0', '-1')
        if (leases.length > 0) await client.zadd(`${prefix}leases`, ...leases.flatMap((id) => ['1', id]))
        await transport.tasks.reap()
      },
      async close() {
        await transport.close()
        await redis.drop()
      },
    }
  })

  test('what was said before the close still arrives', async () => {
    const redis = await testRedis()
    const { url, prefix, client } = redis
    const leaving = await redisTransport({ url, prefix, clock: systemClock(), log, leaseMs: LEASE_MS })
    const runIds = Array.from({ length: 300 }, () => randomUUID())
    // As a process does that stops: nobody waits for these.
    const sent = runIds.map((runId) => leaving.signals.send([{ runId, signal: { kind: 'look' } }]))
    await leaving.close()
    const streams = await client.keys(`${prefix}signals:*`)
    const lengths = await Promise.all(streams.map((stream) => client.xlen(stream)))
    expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(runIds.length)
    await Promise.all(sent)
    await redis.drop()
  })

  describe('limits', () => {
    let redis: TestRedis
    let link: Link
    let opened = 0
    beforeAll(async () => {
      redis = await testRedis()
      link = await openLink(redis.url, log)
    })
    afterAll(async () => {
      link.close()
      await redis.drop()
    })
    /** Two processes that count together, and take turns. */
    const limiters = () => {
      let now = systemClock().now()
      const clock = { ...systemClock(), now: () => now }
      const keys = keysOf(`${redis.prefix}${++opened}:`)
      const processes = [1, 2].map(() => redisRateLimiter({ link, keys, clock }))
      let calls = 0
      const pass = (ms: number): void => {
        now += ms
      }
      return { limiter: { take: (buckets) => processes[++calls % 2]!.take(buckets) } as RateLimiter, pass }
    }

    rateLimiterSuite('Redis', limiters)

    test('forgets a bucket that nobody uses', async () => {
      const { limiter } = limiters()
      await limiter.take([{ name: 'a', limit: 1 }])
      expect(await redis.client.pttl(`${redis.prefix}${opened}:calls:a`)).toBeGreaterThan(0)
    })

    test('counts alone while Redis does not answer', async () => {
      const away = await openLink(redis.url, log)
      away.close()
      const limiter = redisRateLimiter({ link: away, keys: keysOf(redis.prefix), clock: systemClock() })
      const bucket = { name: 'b', limit: 1 }
      expect((await limiter.take([bucket])).isAdmitted).toBe(true)
      expect(await limiter.take([bucket])).toMatchObject({ isAdmitted: false, bucket })
    })
  })
})
