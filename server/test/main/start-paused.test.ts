/** WEFT_START_PAUSED: a restored server acts on nothing before a person says so, and stores what is said to it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { until } from '../coordinator/fleet.ts'
import { testDatabase } from '../postgres.ts'
import { redisUrl } from '../redis.ts'
import { type Ended, weft as program } from '../weft-program.ts'

const log = pino({ level: 'silent' })
const KEY = 'weft_the-same-key-for-everybody'
const PAUSED = { WEFT_START_PAUSED: 'true' }

/** What the steps call; the paths in the order in which they were called. */
async function outside(): Promise<{ readonly address: string; readonly called: readonly string[] }> {
  const called: string[] = []
  const server = createServer((request, response) => {
    called.push(request.url ?? '')
    response.end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, called }
}

type Start = (more?: Readonly<Record<string, string>>) => Promise<Weft>

/** Starts processes on one database, one after another or side by side. */
async function installation(common: Readonly<Record<string, string>>): Promise<Start> {
  const database = await testDatabase()
  onTestFinished(() => database.drop())
  return async (more = {}) => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-paused-'))
    const read = readConfig({
      environment: {
        WEFT_PORT: '0',
        WEFT_DATA_DIR: folder,
        WEFT_DATABASE_URL: database.url,
        WEFT_API_KEY: KEY,
        WEFT_MASTER_KEY: '0123456789abcdef'.repeat(4),
        ...common,
        ...more,
      },
    })
    if (!read.ok) throw new Error(read.problems.join('\n'))
    const started = await startWeft(read.config, { log })
    onTestFinished(async () => {
      await started.stop()
      rmSync(folder, { recursive: true, force: true })
    })
    return started
  }
}

async function call(to: Weft, method: string, path: string, body?: unknown) {
  const response = await fetch(`${to.url}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of every shape
  return { status: response.status, body: (await response.json()) as any }
}

async function submit(to: Weft, nodes: object, query = '') {
  const answer = await call(to, 'POST', `/runs${query}`, { definition: { weft: 1, name: 'restored', nodes } })
  if (answer.status >= 400) throw new Error(JSON.stringify(answer.body))
  return answer
}
const statusOf = async (to: Weft, id: string): Promise<string> =>
  (await call(to, 'GET', `/runs/${id}`)).body.status
const completes = (to: Weft, id: string): Promise<void> =>
  until(async () => (await statusOf(to, id)) === 'completed')
const cli = (to: Weft, ...args: string[]): Promise<Ended> =>
  program(args, tmpdir(), { WEFT_URL: to.url, WEFT_API_KEY: KEY, WEFT_DATA_DIR: tmpdir() })

describe('a Weft that was started paused', () => {
  test('stores what it is told, acts on nothing, says so, and goes on when it is resumed', async () => {
    const { address, called } = await outside()
    const start = await installation({ WEFT_EGRESS_ALLOW: address })
    const http = (path: string, more: object = {}) => ({
      type: 'http',
      with: { url: `http://${address}/${path}` },
      ...more,
    })
    const before = await start({ WEFT_WORKER_CONCURRENCY: 'http=0' })
    const asks = await submit(before, {
      ask: { type: 'approval', with: { title: 'Go?' } },
      pay: http('decided', { needs: 'ask' }),
    })
    const sleeps = await submit(before, {
      nap: { type: 'delay', with: { for: '3s' } },
      wake: http('woken', { needs: 'nap' }),
    })
    const doomed = await submit(before, { now: http('doomed') })
    const ids: string[] = [asks.body.id, sleeps.body.id, doomed.body.id]
    for (const id of ids.slice(0, 2)) await until(async () => (await statusOf(before, id)) === 'waiting')
    await until(async () => (await before.transport.tasks.depth()).some(({ waiting }) => waiting === 1))
    await before.stop()

    const held = await start(PAUSED)
    const { body: open } = await call(held, 'GET', `/approvals?runId=${ids[0]}&status=open`)
    const decided = await call(held, 'POST', `/approvals/${open.items[0].id}/decide`, {
      decision: 'approve',
    })
    expect(decided).toMatchObject({ status: 202, body: { commandId: expect.any(String) } })
    expect((await call(held, 'POST', `/runs/${ids[2]}/cancel`, {})).status).toBe(202)
    // The delay is over long before this answer is.
    const late = await submit(held, { now: http('submitted') }, '?wait=4s')
    expect(late).toMatchObject({ status: 202, body: { status: 'queued' } })
    expect([called, await statusOf(held, ids[1]!)]).toEqual([[], 'waiting'])

    const ready = await fetch(`${held.url}/readyz`)
    expect(ready.status).toBe(200)
    expect(await ready.json()).toMatchObject({
      status: 'degraded',
      dependencies: { runs: { ok: false, error: expect.stringContaining('weft resume --all') } },
    })
    const { body: why } = await call(held, 'GET', `/runs/${late.body.id}/why`)
    expect(why.hints.join('\n')).toContain('`weft resume --all`')
    expect((await cli(held, 'doctor')).out).toMatch(/WEFT_START_PAUSED and dispatches nothing.*resume --all/)
    expect(await cli(held, 'resume')).toMatchObject({ code: 2, err: expect.stringContaining('--all') })
    expect(called).toEqual([])

    const resumed = await cli(held, 'resume', '--all')
    expect(resumed).toMatchObject({ code: 0, err: 'resumed: 4 unfinished runs go on.\n' })
    for (const id of [ids[0]!, ids[1]!, late.body.id]) await completes(held, id)
    // What was said during the hold counts before what is owed.
    await until(async () => (await statusOf(held, ids[2]!)) === 'cancelled')
    expect(called.toSorted()).toEqual(['/decided', '/submitted', '/woken'])
    expect(await (await fetch(`${held.url}/readyz`)).json()).toMatchObject({ status: 'ready' })
    expect(JSON.parse((await cli(held, 'resume', '--all', '--json')).out)).toEqual({ resumed: [], runs: 0 })
  })

  test('holds again at each start with the setting, and at none without', async () => {
    const start = await installation({})
    const nodes = { greet: { type: 'log', with: { message: 'hello' } } }
    const first = await start(PAUSED)
    expect((await call(first, 'POST', '/resume')).body.resumed).toHaveLength(1)
    expect((await submit(first, nodes, '?wait=30s')).body.status).toBe('completed')
    await first.stop()

    const second = await start(PAUSED)
    const { body: waits } = await submit(second, nodes, '?wait=2s')
    expect(waits.status).toBe('queued')
    await second.stop()

    const third = await start()
    expect((await call(third, 'GET', '/about')).body.held).toEqual([])
    await completes(third, waits.id)
  })

  test('lets nobody resume it who is not an admin', async () => {
    const start = await installation({})
    const held = await start(PAUSED)
    const { body: operator } = await call(held, 'POST', '/keys', { name: 'ops', role: 'operator' })
    const answer = await fetch(`${held.url}/api/v1/resume`, {
      method: 'POST',
      headers: { authorization: `Bearer ${operator.key}` },
    })
    expect(answer.status).toBe(403)
    expect((await call(held, 'GET', '/about')).body.held).toHaveLength(1)
  })
})

test.skipIf(redisUrl === null)(
  'processes of their own are held together, even from a task that Redis kept, and one word lets all go on',
  async () => {
    const { address, called } = await outside()
    const start = await installation({ WEFT_EGRESS_ALLOW: address, WEFT_REDIS_URL: redisUrl! })
    const before = await start({ WEFT_ROLES: 'api,coordinator' })
    const { body: run } = await submit(before, {
      pay: { type: 'http', with: { url: `http://${address}/kept` } },
    })
    await until(async () => (await before.transport.tasks.depth()).some(({ waiting }) => waiting === 1))
    await before.stop()

    await start({ WEFT_ROLES: 'worker', ...PAUSED })
    await start({ WEFT_ROLES: 'coordinator', ...PAUSED })
    const api = await start({ WEFT_ROLES: 'api', ...PAUSED })
    const late = await submit(api, { greet: { type: 'log', with: { message: 'hello' } } }, '?wait=3s')
    expect([late.body.status, called]).toEqual(['queued', []])
    expect((await call(api, 'POST', '/resume')).body).toMatchObject({
      resumed: [expect.any(String), expect.any(String), expect.any(String)],
      runs: 2,
    })
    await completes(api, run.id)
    await completes(api, late.body.id)
    expect(called).toEqual(['/kept'])
  },
)

test('`weft run` on an engine of its own does not wait for a run that nobody will perform', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-paused-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const database = await testDatabase()
  onTestFinished(() => database.drop())
  const alone = { WEFT_DATA_DIR: folder, WEFT_DATABASE_URL: database.url, ...PAUSED }
  const ran = await program(['run', 'stored'], folder, alone)
  expect(ran).toMatchObject({ code: 6, err: expect.stringContaining('Nothing was started') })
  const resumed = await program(['resume', '--all'], folder, alone)
  expect(resumed).toMatchObject({ code: 5, err: expect.stringContaining('weft serve') })
})
