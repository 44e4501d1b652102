/** Weft on a PostgreSQL and a Redis that it was given, in one process. */
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { testDatabase } from '../postgres.ts'
import { redisUrl } from '../redis.ts'
import { freePort } from '../servers/free-port.ts'
import { RedisServer } from '../servers/redis.ts'
import { newApiKey, newDataDirectory, removeDataDirectory, WeftProcess } from '../weft-process.ts'

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

interface Told {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: whatever the API answers
  readonly body: any
}

async function ask(
  weft: Pick<Weft, 'url' | 'apiKey'>,
  method: string,
  path: string,
  body?: unknown,
): Promise<Told> {
  const response = await fetch(`${weft.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${weft.apiKey}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: await response.json() }
}

const workflow = (nodes: object) => ({ definition: { weft: 1, name: 'tested', nodes } })
const greeting = (message: string) => workflow({ greet: { type: 'log', with: { message } } })
const APPROVAL = workflow({ ask: { type: 'approval', with: { title: 'Go on?' } } })

const run = async (weft: Pick<Weft, 'url' | 'apiKey'>, message: string): Promise<unknown> =>
  (await ask(weft, 'POST', '/api/v1/runs?wait=30s', greeting(message))).body

async function begin(weft: Weft, body: object): Promise<string> {
  const { status, body: answer } = await ask(weft, 'POST', '/api/v1/runs', body)
  expect(status).toBe(202)
  return answer.id
}

/** Looks until it is so. */
async function until<Value>(look: () => Promise<Value>, isSo: (value: Value) => boolean): Promise<Value> {
  for (;;) {
    const value = await look()
    if (isSo(value)) return value
    await pause(50)
  }
}

const statusOf = async (weft: Weft, id: string): Promise<string> =>
  (await ask(weft, 'GET', `/api/v1/runs/${id}`)).body.status
const reaches = (weft: Weft, id: string, status: string): Promise<string> =>
  until(
    () => statusOf(weft, id),
    (found) => found === status,
  )

describe.skipIf(redisUrl === null)('on Redis', () => {
  test('two installations on one server do not take each other’s tasks', async () => {
    const both = await Promise.all([1, 2].map(() => start({ WEFT_REDIS_URL: redisUrl! })))
    const runs = both.flatMap((weft, index) =>
      Array.from({ length: 20 }, async () =>
        expect(await run(weft, `${index}`)).toMatchObject({ output: { message: `${index}` } }),
      ),
    )
    await Promise.all(runs)
    const { body } = await ask(both[0] as Weft, 'GET', '/api/v1/queues')
    expect(body.items).toEqual([{ type: 'log', waiting: 0, active: 0, delayed: 0, oldestAgeMs: 0 }])
    const metrics = await (await fetch(`${both[0]!.url}/metrics`)).text()
    for (const state of ['waiting', 'active', 'delayed'])
      expect(metrics).toContain(`weft_queue_depth{type="log",state="${state}"} 0`)
    expect(metrics).toContain('weft_signals_waiting ')
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

  test('without Redis submits, decisions and cancels are accepted, and all goes on when it is back', async () => {
    const redis = await redisServer()
    const weft = await start({ WEFT_REDIS_URL: redis.url })
    const [decided, cancelled] = [await begin(weft, APPROVAL), await begin(weft, APPROVAL)]
    await Promise.all([reaches(weft, decided, 'waiting'), reaches(weft, cancelled, 'waiting')])
    await redis.kill()

    const submitted = await begin(weft, greeting('later'))
    const { body: approvals } = await ask(weft, 'GET', '/api/v1/approvals')
    const answers = [
      await ask(
        weft,
        'POST',
        `/api/v1/approvals/${approvals.items.find(({ runId }: { runId: string }) => runId === decided).id}/decide`,
        { decision: 'approve' },
      ),
      await ask(weft, 'POST', `/api/v1/runs/${cancelled}/cancel`, {}),
    ]
    for (const { status, body } of answers) expect([status, body.accepted]).toEqual([200, true])
    await Promise.all([reaches(weft, decided, 'completed'), reaches(weft, cancelled, 'cancelled')])
    const ready = await until(
      () => ask(weft, 'GET', '/readyz'),
      ({ body }) => body.status === 'degraded',
    )
    expect(ready).toMatchObject({ status: 200, body: { dependencies: { transport: { ok: false } } } })
    expect((await ask(weft, 'POST', '/api/v1/tasks/claim', { worker: 'w', types: ['none'] })).status).toBe(
      422,
    )

    await redis.start()
    await reaches(weft, submitted, 'completed')
    expect((await ask(weft, 'GET', '/readyz')).body.status).toBe('ready')
    expect(await run(weft, 'again')).toMatchObject({ status: 'completed' })
  })

  test('over TLS: with the authority of its certificate, and not without', async () => {
    const pem = fileURLToPath(new URL('./redis-tls.test.pem', import.meta.url))
    const tlsPort = await freePort()
    const files = ['--tls-cert-file', pem, '--tls-key-file', pem, '--tls-ca-cert-file', pem]
    await redisServer('--tls-port', `${tlsPort}`, ...files, '--tls-auth-clients', 'no')
    const url = `rediss://127.0.0.1:${tlsPort}`
    await expect(start({ WEFT_REDIS_URL: url })).rejects.toThrow(
      /Redis at 127.0.0.1:\d+: self-signed certificate/,
    )

    const database = await testDatabase()
    onTestFinished(() => database.drop())
    const dataDirectory = newDataDirectory('redis-tls')
    const weft = new WeftProcess({
      dataDirectory,
      port: await freePort(),
      apiKey: newApiKey(),
      environment: { WEFT_DATABASE_URL: database.url, WEFT_REDIS_URL: url, NODE_EXTRA_CA_CERTS: pem },
    })
    onTestFinished(async () => {
      await weft.stop()
      await removeDataDirectory(dataDirectory)
    })
    await weft.start()
    expect(await run(weft, 'over TLS')).toMatchObject({ output: { message: 'over TLS' } })
  })

  test('refuses a server that is too old, with a sentence', async () => {
    const old = createServer((socket) => {
      const info = 'redis_version:6.0.16\r\nrole:master\r\n'
      socket
        .on('error', () => {})
        .on('data', (bytes) => {
          for (const [, command] of bytes.toString().matchAll(/\*\d+\r\n\$\d+\r\n(\w+)/g))
            socket.write(/info/i.test(command as string) ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n')
        })
    })
    await new Promise<void>((resolve) => old.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void old.close())
    const { port } = old.address() as AddressInfo
    await expect(start({ WEFT_REDIS_URL: `redis://127.0.0.1:${port}` })).rejects.toThrow(
      /is version 6.0.16; Weft needs 6.2 or newer/,
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
