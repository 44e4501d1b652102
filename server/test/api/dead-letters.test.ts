import { expect, test } from 'vitest'
import { ACTS, type ApiWorld, ASKS, apiWorld } from './world.ts'

async function failed(world: ApiWorld, extra = {}): Promise<string> {
  const runId = await world.run(ACTS, extra)
  await world.fail(await world.take())
  await world.ended(runId)
  return runId
}

const retried = (world: ApiWorld, runId: string) => world.event(runId, ({ type }) => type === 'run.retried')

test('a step that failed for good is listed with what it failed of, until its run is retried', async () => {
  const world = await apiWorld()
  const runId = await failed(world, { input: { order: 7 } })
  const { body } = await world.get('/api/v1/dead-letters?workflow=tested&step=act&code=broken')
  expect(body.items).toMatchObject([
    {
      runId,
      rootId: runId,
      key: 'act',
      attempt: 1,
      handled: false,
      replayable: true,
      error: { code: 'broken' },
    },
  ])
  const letter = (await world.get(`/api/v1/dead-letters/${body.items[0].id}`)).body
  expect(letter).toMatchObject({
    input: { order: 7 },
    node: { type: 'act' },
    attempts: [{ attempt: 1, error: { message: 'it broke' }, worker: 'hands' }],
  })
  const told = await world.post(`/api/v1/dead-letters/${letter.id}/replay`)
  expect(told).toMatchObject({ status: 200, body: { accepted: true } })
  await world.complete(await world.take(), 'done')
  await world.event(runId, ({ type }) => type === 'run.completed')
  expect((await world.get('/api/v1/dead-letters')).body.items).toEqual([])
  expect((await world.get(`/api/v1/dead-letters/${letter.id}`)).body.code).toBe('dead_letter_not_found')
})

test('filters leave out what they do not name, and pages join without gap', async () => {
  const world = await apiWorld()
  const runs = [await failed(world), await failed(world), await failed(world)]
  for (const query of ['workflow=other', 'step=ac', 'code=timeout', 'runId=none'])
    expect((await world.get(`/api/v1/dead-letters?${query}`)).body.items).toEqual([])
  for (const name of ['workflow', 'step', 'code', 'runId'])
    expect(await world.get(`/api/v1/dead-letters?${name}=%00`)).toMatchObject({
      status: 400,
      body: { code: 'invalid_query', detail: expect.stringContaining(`/${name}`) },
    })
  const seen: string[] = []
  let cursor = ''
  do {
    const { body } = await world.get(`/api/v1/dead-letters?limit=1${cursor}`)
    seen.push(...body.items.map((item: { runId: string }) => item.runId))
    cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`
  } while (cursor !== '')
  expect(seen).toEqual(runs.reverse())
})

test('a replay by filter says first what it will touch, then touches exactly that', async () => {
  const world = await apiWorld()
  const runs = [await failed(world), await failed(world)]
  const ask = (dryRun: boolean) =>
    world.post('/api/v1/dead-letters/replay', { filter: { code: 'broken' }, dryRun })
  const preview = await ask(true)
  expect([preview.status, preview.body.runs.sort(), preview.body.queued]).toEqual([200, runs, 0])
  const told = await ask(false)
  expect([told.status, told.body.runs.sort(), told.body.queued]).toEqual([202, runs, 2])
  for (const runId of runs) await retried(world, runId)
  expect((await ask(false)).body).toMatchObject({ runs: [], queued: 0 })
})

test('nobody sees or replays a dead letter of another workspace', async () => {
  const world = await apiWorld()
  await failed(world)
  const [{ id }] = (await world.get('/api/v1/dead-letters')).body.items
  const key = await world.key('admin', `${world.workspace}x`)
  expect((await world.get('/api/v1/dead-letters', { key })).body.items).toEqual([])
  expect((await world.get(`/api/v1/dead-letters/${id}`, { key })).status).toBe(404)
  expect((await world.post(`/api/v1/dead-letters/${id}/replay`, {}, { key })).status).toBe(404)
})

test('many runs are cancelled by filter, and what the filter leaves out goes on', async () => {
  const world = await apiWorld()
  const acme = [
    await world.run(ASKS, { labels: { customer: 'acme' } }),
    await world.run(ASKS, { labels: { customer: 'acme' } }),
  ]
  const other = await world.run(ASKS)
  for (const id of [...acme, other]) await world.waits(id)
  const filter = { labels: { customer: 'acme' } }
  const preview = await world.post('/api/v1/runs/cancel', { filter, dryRun: true, limit: 1 })
  expect(preview).toMatchObject({ status: 200, body: { matched: 2, runs: [acme[1]], queued: 0 } })
  const first = await world.post('/api/v1/runs/cancel', { filter, limit: 1 })
  const second = await world.post('/api/v1/runs/cancel', { filter, cursor: first.body.nextCursor })
  expect([first.body.runs, second.body.runs, second.body.nextCursor]).toEqual([[acme[1]], [acme[0]], null])
  for (const id of acme) await world.ended(id)
  expect((await world.get(`/runs/${other}`)).body.status).toBe('waiting')
})

test('a call that is repeated commands nothing twice', async () => {
  const world = await apiWorld({ coordinator: false })
  const runId = await world.run(ASKS)
  const cancel = () => world.post('/api/v1/runs/cancel', { filter: {} })
  const answers = await Promise.all([cancel(), cancel(), cancel()])
  expect(answers.map(({ body }) => body.runs)).toEqual([[runId], [runId], [runId]])
  expect(answers.map(({ body }) => body.queued).sort()).toEqual([0, 0, 1])
})

test('failed runs are retried by filter; a status that cannot be retried is refused', async () => {
  const world = await apiWorld()
  const runId = await failed(world)
  const wrong = await world.post('/api/v1/runs/retry', { filter: { status: ['running'] } })
  expect([wrong.status, wrong.body.code]).toEqual([422, 'invalid_request'])
  expect((await world.post('/api/v1/runs/retry', {})).status).toBe(422)
  expect((await world.post('/api/v1/runs/retry', { filter: {} })).body).toMatchObject({
    matched: 1,
    queued: 1,
  })
  await retried(world, runId)
})
