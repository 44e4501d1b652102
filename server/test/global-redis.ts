/**
 * One Redis for the whole test run: a server of its own, or the one that WEFT_TEST_REDIS_URL names. Test files keep apart
 * by prefix (`redis.ts`). Comes first of the global setups: it sees to the programs that the tests need.
 */
import type { TestProject } from 'vitest/node'
import { ensurePrograms, findRedis } from './servers/programs.ts'
import { RedisServer } from './servers/redis.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** `null`: this machine has no Redis, and the tests that need one are skipped. */
    redisUrl: string | null
  }
}

export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  await ensurePrograms()
  const given = process.env.WEFT_TEST_REDIS_URL
  if (given || findRedis() === null) {
    project.provide('redisUrl', given || null)
    return undefined
  }
  const server = await RedisServer.start()
  project.provide('redisUrl', server.url)
  return () => server.stop()
}
