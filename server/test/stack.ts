/**
 * The stack that this run of the tests is for: everything in one process, or with WEFT_TEST_STACK=postgres-redis on a
 * given PostgreSQL and Redis. What is not about one implementation must hold on both.
 */
import { onTestFinished } from 'vitest'
import { type Clock, systemClock } from '../src/clock.ts'
import { createLog } from '../src/log.ts'
import { memoryTransport } from '../src/transport/memory.ts'
import { redisTransport } from '../src/transport/redis.ts'
import { LEASE_MS, type Transport } from '../src/transport/transport.ts'
import { type TestDatabase, testDatabase } from './postgres.ts'
import { redisUrl, testRedis } from './redis.ts'

const stack = process.env.WEFT_TEST_STACK || 'memory'
if (stack !== 'memory' && stack !== 'postgres-redis')
  throw new Error(`WEFT_TEST_STACK=${stack} is no stack: write memory or postgres-redis`)
if (stack === 'postgres-redis' && redisUrl === null)
  throw new Error('WEFT_TEST_STACK=postgres-redis needs a Redis, and this machine has none')

export const isOnRedis = stack === 'postgres-redis'

/** An empty transport of the stack, for this test alone. `clock`: of the test; a Redis has its own. */
export async function stackTransport(options: {
  readonly clock: Clock
  readonly leaseMs?: number
}): Promise<Transport> {
  if (!isOnRedis) return memoryTransport(options)
  const redis = await testRedis()
  const { url, prefix } = redis
  const log = createLog({ level: 'error', format: 'json' })
  const leaseMs = options.leaseMs ?? LEASE_MS
  const transport = await redisTransport({ url, prefix, clock: systemClock(), log, leaseMs })
  return {
    ...transport,
    async close() {
      await transport.close()
      await redis.drop()
    },
  }
}

/** What a server process of the stack is told; the database goes with `drop`. */
export async function stackEnvironment(): Promise<{
  readonly environment: Readonly<Record<string, string>>
  drop(): Promise<void>
}> {
  if (!isOnRedis) return { environment: {}, drop: async () => {} }
  const database: TestDatabase = await testDatabase()
  return {
    environment: { WEFT_DATABASE_URL: database.url, WEFT_REDIS_URL: redisUrl as string },
    drop: database.drop,
  }
}

/** The same for the life of one test. */
export async function stackOfTest(): Promise<Readonly<Record<string, string>>> {
  const { environment, drop } = await stackEnvironment()
  onTestFinished(drop)
  return environment
}
