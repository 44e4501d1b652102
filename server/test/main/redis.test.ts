/** Weft on a PostgreSQL and a Redis that it was given, in one process. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { testDatabase } from '../postgres.ts'
import { redisUrl } from '../redis.ts'
import { RedisServer } from '../servers/redis.ts'

const log = pino({ level: 'silent' })

async function start(environment: Record<string, string>): Promise<Weft> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-redis-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const database = await testDatabase()
  onTestFinished(() => database.drop())
  const result = readConfig({
    environment: {
      WEFT_PORT: '0',
      WEFT_DATA_DIR: folder,
      WEFT_DATABASE_URL: database.url,
      ...environment,
    },
  })
  if (!result.ok) throw new Error(result.problems.join('\n'))
  const weft = await startWeft(result.config, { log })
  onTestFinished(() => weft.stop())
  return weft
}

async function redisServer(...settings: string[]): Promise<RedisServer> {
  const server = await RedisServer.start({ settings })
  onTestFinished(() => server.stop())
  return server
}

async function run(weft: Weft, message: string): Promise<unknown> {
  const definition = { weft: 1, name: 'hello', nodes: { greet: { type: 'log', with: { message } } } }
  const response = await fetch(`${weft.url}/api/v1/runs?wait=30s`, {
    method: 'POST',
    headers: { authorization: `Bearer ${weft.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ definition }),
  })
  return response.json()
}

describe.skipIf(redisUrl === null)('on Redis', () => {
  test('two installations on one server do not take each other’s tasks', async () => {
    const both = await Promise.all([1, 2].map(() => start({ WEFT_REDIS_URL: redisUrl! })))
    const runs = both.flatMap((weft, index) =>
      Array.from({ length: 20 }, async () =>
        expect(await run(weft, `${index}`)).toMatchObject({ output: { message: `${index}` } }),
      ),
    )
    await Promise.all(runs)
  })

  test('with a password: runs, and says which one is missing', async () => {
    const { port } = await redisServer('--requirepass', 'open sesame')
    const weft = await start({ WEFT_REDIS_URL: `redis://:open%20sesame@127.0.0.1:${port}` })
    expect(await run(weft, 'hello')).toMatchObject({ status: 'completed' })
    await expect(start({ WEFT_REDIS_URL: `redis://127.0.0.1:${port}` })).rejects.toThrow(
      /redis:\/\/user:password@/,
    )
    await expect(start({ WEFT_REDIS_URL: `redis://:wrong-one@127.0.0.1:${port}` })).rejects.toThrow(
      /^(?!.*wrong-one).*refuses the user name or the password/,
    )
  })

  test('refuses a server that throws tasks away, and one that is not there, with a sentence', async () => {
    const { url } = await redisServer('--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru')
    await expect(start({ WEFT_REDIS_URL: url })).rejects.toThrow(/maxmemory-policy to noeviction/)
    await expect(start({ WEFT_REDIS_URL: 'redis://127.0.0.1:1' })).rejects.toThrow(
      /^The transport does not answer: Redis at 127.0.0.1:1: .*ECONNREFUSED/,
    )
  })
})
