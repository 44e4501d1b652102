import type { JsonObject } from '@weft/engine'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { parseRateLimits, type RateLimits } from '../../src/rate-limits.ts'
import { ACTS, type ApiWorld, apiWorld, type Told, workflow } from './world.ts'

const agents = (count: number): JsonObject =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`a${index}`, { type: 'agent', retry: 'off' }]),
  )

function limits(text: string): RateLimits {
  const parsed = parseRateLimits(text)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.limits
}

async function limitedWorld(text: string, coordinator?: false) {
  const system = systemClock()
  let ahead = 0
  const world = await apiWorld({
    ...(coordinator === false ? { coordinator } : {}),
    rateLimits: limits(text),
    clock: { ...system, now: () => system.now() + ahead, monotonic: () => system.monotonic() + ahead },
  })
  const pass = (ms: number): void => {
    ahead += ms
  }
  return { world, pass }
}

const start = (world: ApiWorld, nodes: JsonObject, key?: string): Promise<Told> =>
  world.post('/orchestrate', { definition: workflow(nodes) }, key === undefined ? {} : { key })

async function statuses(times: number, call: () => Promise<Told>): Promise<number[]> {
  const seen: number[] = []
  for (let index = 0; index < times; index++) seen.push((await call()).status)
  return seen
}

const times = (count: number, status: number): number[] => Array.from({ length: count }, () => status)

test('by default workflows are limited by their agents, and those without any are not', async () => {
  const { world, pass } = await limitedWorld('tiers', false)
  expect(await statuses(30, () => start(world, ACTS))).toEqual(times(30, 202))
  expect(await statuses(6, () => start(world, agents(3)))).toEqual([...times(5, 202), 429])
  // Another tier, another key: each has its own figure.
  expect(await statuses(21, () => start(world, agents(2)))).toEqual([...times(20, 202), 429])
  const other = await world.key('editor')
  expect((await start(world, agents(3), other)).status).toBe(202)
  pass(60_000)
  expect((await start(world, agents(3))).status).toBe(202)
})

test('a refusal names the layer, the figure and the setting, and when to come again', async () => {
  const { world, pass } = await limitedWorld('{"key":1}', false)
  expect((await start(world, ACTS)).status).toBe(202)
  pass(20_000)
  const { status, headers, body } = await start(world, ACTS)
  expect([status, body.code]).toEqual([429, 'rate_limited'])
  expect(body.details).toEqual({ layer: 'key', limit: 1, windowSeconds: 60, setting: 'WEFT_RATE_LIMITS' })
  expect(body.detail).toMatch(/1 per minute for key:admin \(layer key of WEFT_RATE_LIMITS\).*in (39|40) s/)
  expect(headers).toMatchObject({ 'ratelimit-limit': '1', 'ratelimit-remaining': '0' })
  expect(headers['retry-after']).toMatch(/^(39|40)$/)
  expect(headers['ratelimit-reset']).toBe(headers['retry-after'])
  expect(await world.count()).toBe(1)
})

test('the global figure counts all keys together', async () => {
  const { world } = await limitedWorld('{"global":3}', false)
  const keys = [await world.key('admin'), await world.key('editor')]
  const seen = await Promise.all([0, 1, 0, 1].map((index) => start(world, ACTS, keys[index])))
  expect(seen.map(({ status }) => status).sort()).toEqual([202, 202, 202, 429])
})

test('what could not start anyway costs nothing, and reading is never limited', async () => {
  const { world } = await limitedWorld('{"global":1}', false)
  expect((await world.post('/orchestrate', { definition: workflow({ a: { type: 'atc' } }) })).status).toBe(
    422,
  )
  expect(await statuses(3, () => world.get('/runs'))).toEqual(times(3, 200))
  expect((await start(world, ACTS)).status).toBe(202)
  expect((await world.post('/runs', { definition: workflow(ACTS) })).status).toBe(429)
})

test('retrying a run starts work, too', async () => {
  const { world } = await limitedWorld('{"key":2}')
  const id = await world.run({ boom: { type: 'fail', with: { message: 'it broke' } } })
  await world.ended(id)
  expect((await world.post(`/runs/${id}/retry`)).status).toBe(200)
  expect((await world.post(`/runs/${id}/retry`)).body.code).toBe('rate_limited')
})

test('so does replaying a dead letter', async () => {
  const { world } = await limitedWorld('{"key":1}')
  const id = await world.run({ boom: { type: 'fail', with: { message: 'it broke' } } })
  await world.ended(id)
  const [letter] = (await world.get('/api/v1/dead-letters')).body.items
  const replayed = await world.post(`/api/v1/dead-letters/${encodeURIComponent(letter.id)}/replay`)
  expect([replayed.status, replayed.body.code]).toEqual([429, 'rate_limited'])
})

const BREAKS: JsonObject = { boom: { type: 'fail', with: { message: 'it broke' } } }

/** Runs that have failed, the newest first; started with nobody counting. */
async function failedRuns(world: ApiWorld, pass: (ms: number) => void, count: number): Promise<string[]> {
  const ids: string[] = []
  for (let index = 0; index < count; index++) {
    const id = await world.run(BREAKS)
    await world.ended(id)
    ids.unshift(id)
    pass(60_000)
  }
  return ids
}

test.each([
  ['/runs/retry', { status: ['failed'] }],
  ['/api/v1/dead-letters/replay', { step: 'boom' }],
])('%s of many counts each run, does what fits, and says what it left', async (path, filter) => {
  const { world, pass } = await limitedWorld('{"key":2}')
  const ids = await failedRuns(world, pass, 3)
  const dry = await world.post(path, { filter, dryRun: true })
  expect([dry.status, dry.body.queued, dry.body.refused]).toEqual([200, 0, []])

  const told = await world.post(path, { filter })
  expect([told.status, told.body.runs, told.body.queued]).toEqual([202, ids, 2])
  expect(told.body.refused).toEqual([
    {
      code: 'rate_limited',
      detail: expect.stringMatching(/2 per minute for key:admin .* This run was left as before/),
      details: { layer: 'key', limit: 2, windowSeconds: 60, setting: 'WEFT_RATE_LIMITS' },
      runs: [ids[2]],
    },
  ])
  expect(told.headers).toMatchObject({ 'ratelimit-remaining': '0', 'retry-after': '60' })
  for (const id of ids.slice(0, 2)) await world.event(id, ({ type }) => type === 'run.retried')
  const { items } = (await world.get(`/runs/${ids[2]}/events`)).body
  expect(items.map(({ type }: { type: string }) => type)).not.toContain('run.retried')

  const again = await world.post(path, { filter })
  expect([again.status, again.body.code]).toEqual([429, 'rate_limited'])
  expect(again.headers['retry-after']).toBe('60')
})

test('runs of one tier do not keep those of another from being retried', async () => {
  const { world, pass } = await limitedWorld('{"tiers":{"0":1,"1":1}}')
  await failedRuns(world, pass, 2)
  const withAgent = { ...BREAKS, later: { type: 'agent', needs: ['boom'] } }
  await world.ended(await world.run(withAgent))
  pass(60_000)
  const { body } = await world.post('/runs/retry', { filter: {} })
  expect(body.queued).toBe(2)
  expect(body.refused.map(({ details, runs }: Told['body']) => [details.layer, runs.length])).toEqual([
    ['tier', 1],
  ])
})

test('a cancel of many starts nothing and is not limited', async () => {
  const { world } = await limitedWorld('{"global":1}')
  const id = await world.run(ACTS)
  const told = await world.post('/runs/cancel', { filter: {} })
  expect([told.status, told.body.runs, told.body.refused]).toEqual([202, [id], undefined])
  expect(told.headers).not.toHaveProperty('ratelimit-limit')
})

test('an answer says how many calls still fit, also when it is good', async () => {
  const { world, pass } = await limitedWorld('{"global":3,"key":9}', false)
  const left = async () => {
    const { headers } = await start(world, ACTS)
    return ['limit', 'remaining', 'reset'].map((name) => headers[`ratelimit-${name}`])
  }
  expect(await left()).toEqual(['3', '2', '60'])
  pass(10_000)
  expect(await left()).toEqual(['3', '1', '50'])
  const free = await apiWorld({ coordinator: false })
  expect((await start(free, ACTS)).headers).not.toHaveProperty('ratelimit-limit')
})

test('the document says which calls are limited', async () => {
  const world = await apiWorld({ coordinator: false })
  const { paths } = (await world.get('/openapi.json')).body
  for (const path of ['/api/v1/runs', '/api/v1/orchestrate', '/api/v1/runs/{id}/retry'])
    expect(Object.keys(paths[path].post.responses)).toContain('429')
  expect(Object.keys(paths['/api/v1/runs/{id}/cancel'].post.responses)).not.toContain('429')
})
