/** The same program, cut by role: processes that share nothing but a PostgreSQL and a Redis. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { until } from '../coordinator/fleet.ts'
import { testDatabase } from '../postgres.ts'
import { redisUrl } from '../redis.ts'

const log = pino({ level: 'silent' })
const KEY = 'weft_the-same-key-for-everybody'

/** A folder with a node type of somebody's own, `parcel.price`. */
const NODES = fileURLToPath(new URL('../../../examples/10-own-node-type/nodes', import.meta.url))

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-roles-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Starts processes of one installation, each with a data directory of its own. */
async function installation(): Promise<(roles: string, more?: Record<string, string>) => Promise<Weft>> {
  const database = await testDatabase()
  onTestFinished(() => database.drop())
  return async (roles, more = {}) => {
    const result = readConfig({
      environment: {
        WEFT_PORT: '0',
        WEFT_DATA_DIR: newFolder(),
        WEFT_DATABASE_URL: database.url,
        WEFT_REDIS_URL: redisUrl!,
        WEFT_API_KEY: KEY,
        WEFT_MASTER_KEY: '0123456789abcdef'.repeat(4),
        WEFT_ROLES: roles,
        ...more,
      },
    })
    if (!result.ok) throw new Error(result.problems.join('\n'))
    const weft = await startWeft(result.config, { log })
    onTestFinished(() => weft.stop())
    return weft
  }
}

async function call(weft: Weft, method: string, path: string, body?: unknown) {
  const response = await fetch(`${weft.url}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of every shape
  return { status: response.status, body: (await response.json()) as any }
}

const workflow = (nodes: object) => ({ definition: { weft: 1, name: 'hello', nodes } })
const GREET = workflow({ greet: { type: 'log', with: { message: 'hello' } } })

describe.skipIf(redisUrl === null)('roles in processes of their own', () => {
  test('a run goes from one API through a coordinator and a worker, and any API knows it', async () => {
    const start = await installation()
    const api = await start('api')
    const { body: begun } = await call(api, 'POST', '/runs', GREET)
    // Nobody decides yet, so nobody says what it waits for; the run is safe.
    expect(begun.status).toBe('queued')
    await start('coordinator')
    await until(async () => {
      const { body } = await call(api, 'GET', `/runs/${begun.id}/why`)
      return body.hints.some((hint: string) => hint.includes('No live worker serves the node type `log`'))
    })
    await start('worker')
    const other = await start('api')
    await until(async () => (await call(other, 'GET', `/runs/${begun.id}`)).body.status === 'completed')
    expect((await call(other, 'POST', '/runs?wait=30s', GREET)).body).toMatchObject({
      status: 'completed',
      output: { message: 'hello' },
    })
  })

  test('a command at one API is answered with the verdict of a coordinator elsewhere', async () => {
    const start = await installation()
    const api = await start('api')
    await start('coordinator')
    await start('coordinator,worker')
    const ask = workflow({ ask: { type: 'approval', with: { title: 'Go?' } } })
    const ids = await Promise.all(
      Array.from({ length: 8 }, async () => (await call(api, 'POST', '/runs', ask)).body.id as string),
    )
    for (const id of ids) {
      expect(await call(api, 'POST', `/runs/${id}/cancel`, {})).toMatchObject({
        status: 200,
        body: { accepted: true },
      })
      expect((await call(api, 'POST', `/runs/${id}/pause`, {})).status).toBe(409)
    }
  })

  test('workers are listed with what they take; types that are set to 0 are left to others', async () => {
    const start = await installation()
    const api = await start('api')
    await start('coordinator')
    const logs = await start('worker', { WEFT_WORKER_CONCURRENCY: '*=0,log=3' })
    const { body } = await call(api, 'GET', '/workers')
    expect(body.items).toMatchObject([{ kind: 'process', types: [{ type: 'log', active: 0, limit: 3 }] }])
    const { body: http } = await call(
      api,
      'POST',
      '/runs',
      workflow({ get: { type: 'http', with: { url: 'http://127.0.0.1:1/' } } }),
    )
    expect((await call(api, 'POST', '/runs?wait=30s', GREET)).body.status).toBe('completed')
    expect((await call(api, 'GET', `/runs/${http.id}/why`)).body.hints[0]).toContain(
      'serves the node type `http`',
    )
    await start('worker', { WEFT_WORKER_CONCURRENCY: 'log=0' })
    await until(async () => (await call(api, 'GET', `/runs/${http.id}`)).body.status === 'failed')
    expect((await call(api, 'GET', '/workers')).body.items).toHaveLength(2)
    await logs.stop()
    const left = (await call(api, 'GET', '/workers')).body.items
    expect(left.map(({ types }: { types: { type: string }[] }) => types.map(({ type }) => type))).toEqual([
      expect.not.arrayContaining(['log']),
    ])
  })

  test('a node type that a worker brings is known to every process a moment later', async () => {
    const start = await installation()
    const api = await start('api')
    await start('coordinator')
    const price = workflow({
      price: { type: 'parcel.price', with: { items: [{ sku: 'W-100', quantity: 1 }], country: 'DE' } },
    })
    expect(await call(api, 'POST', '/runs', price)).toMatchObject({ status: 422 })
    await start('worker', { WEFT_NODES: NODES })
    await until(async () => (await call(api, 'POST', '/workflows/validate', price)).body.valid)
    expect((await call(api, 'POST', '/runs?wait=30s', price)).body).toMatchObject({
      status: 'completed',
      output: { grams: 120 },
    })
  })

  test('a program claims a task at one API, and keeps and completes it at another', async () => {
    const start = await installation()
    const [one, other] = [await start('api'), await start('api')]
    await start('coordinator')
    const type = { type: 'image.resize', config: { type: 'object' } }
    expect((await call(one, 'POST', '/node-types', { types: [type] })).status).toBe(200)
    const resize = workflow({ resize: { type: 'image.resize', with: { width: 80 } } })
    const { body: begun } = await call(one, 'POST', '/runs', resize)
    const worker = 'python-1'
    const claimed = async (): Promise<string> => {
      const claim = { worker, types: ['image.resize'], waitMs: 30_000 }
      return (await call(one, 'POST', '/tasks/claim', claim)).body.tasks[0].id
    }
    const task = await claimed()
    expect((await call(other, 'POST', '/tasks/heartbeat', { worker, tasks: [task] })).body).toEqual({
      abort: [],
      lost: [],
    })
    const record = { worker, task, name: 'order', value: 7 }
    expect((await call(other, 'POST', '/tasks/record', record)).body).toMatchObject({ value: 7 })
    // Somebody else gets nothing of it, at either.
    const stolen = { worker: 'python-2', task, output: {} }
    expect(await call(other, 'POST', '/tasks/complete', stolen)).toMatchObject({ status: 409 })
    // The answer to the first one is lost: it is sent again, to whoever answers now.
    for (const api of [other, one, other])
      expect(
        (await call(api, 'POST', '/tasks/complete', { worker, task, output: { bytes: 1 } })).status,
      ).toBe(200)
    expect((await call(one, 'POST', '/tasks/complete', stolen)).body.code).toBe('task_lost')
    await until(async () => (await call(one, 'GET', `/runs/${begun.id}`)).body.status === 'completed')
    await until(async () => {
      const { body: workers } = await call(other, 'GET', '/workers')
      return workers.items.some(({ kind }: { kind: string }) => kind === 'program')
    })
    await call(one, 'POST', '/runs', resize)
    const failure = { worker, task: await claimed(), error: { message: 'no', retryable: false } }
    for (const api of [other, one, other])
      expect((await call(api, 'POST', '/tasks/fail', failure)).status).toBe(200)
  })

  test('health and metrics answer in every role', async () => {
    const start = await installation()
    const coordinator = await start('coordinator')
    const worker = await start('worker', { WEFT_OPS_PORT: '0' })
    const api = await start('api')
    for (const { opsUrl, config } of [coordinator, worker, api]) {
      expect(await (await fetch(`${opsUrl}/healthz`)).json()).toMatchObject({
        status: 'ok',
        roles: [...config.roles],
      })
      const ready = await fetch(`${opsUrl}/readyz`)
      expect(await ready.json()).toMatchObject({ status: 'ready', dependencies: { database: { ok: true } } })
      expect(await (await fetch(`${opsUrl}/metrics`)).text()).toContain('weft_partitions_owned')
    }
    expect(await (await fetch(`${coordinator.opsUrl}/runs`)).json()).toMatchObject({
      code: 'route_not_found',
    })
    expect(await call(api, 'GET', '/about')).toMatchObject({
      body: { coordinators: [{ partitions: Array.from({ length: 16 }, (_, number) => number) }] },
    })
  })
})
