/** The Redis of this test run, for one test file or one test: kept apart by prefix, emptied of that prefix afterwards. */
import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import { inject } from 'vitest'
import type {} from './global-redis.ts'

export interface TestRedis {
  readonly url: string
  readonly prefix: string
  /** A connection of the test's own. */
  readonly client: Redis
  drop(): Promise<void>
}

/** Why tests that need one are skipped; `null` when there is one. */
export const redisUrl: string | null = inject('redisUrl')

export async function testRedis(): Promise<TestRedis> {
  if (redisUrl === null) throw new Error('there is no Redis on this machine; guard the test with `redisUrl`')
  const prefix = `weft-test-${randomBytes(6).toString('hex')}:`
  const client = new Redis(redisUrl)
  return {
    url: redisUrl,
    prefix,
    client,
    async drop() {
      for await (const keys of client.scanStream({ match: `${prefix}*`, count: 1_000 })) {
        if ((keys as string[]).length > 0) await client.del(...(keys as string[]))
      }
      client.disconnect()
    },
  }
}
