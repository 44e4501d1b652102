/** Messages by correlation over HTTP: who gets them, how long they are kept, what counts once. */
import type { JsonObject } from '@weft/engine'
import { expect, test } from 'vitest'
import { apiWorld } from './world.ts'

const waitFor = (message: string, extra: JsonObject = {}): JsonObject => ({
  w: { type: 'wait', with: { message, ...extra } },
})

test('a message reaches every run that waits for it, and the answer names them', async () => {
  const world = await apiWorld()
  const runs = [await world.run(waitFor('paid', { key: 'A' })), await world.run(waitFor('paid'))]
  const other = await world.run(waitFor('paid', { key: 'B' }))
  for (const id of [...runs, other]) await world.waits(id)
  const sent = await world.post('/api/v1/messages', { name: 'paid', key: 'A', data: { amount: 12 } })
  expect(sent).toMatchObject({
    status: 202,
    body: { status: 'delivered', runs: expect.arrayContaining(runs) },
  })
  expect(sent.body.runs).toHaveLength(2)
  for (const id of runs) await world.ended(id)
  const { body } = await world.get(`/runs/${runs[0]}`)
  expect(body).toMatchObject({ status: 'completed', output: { amount: 12 } })
  const events = (await world.get(`/runs/${runs[0]}/events`)).body.items
  const received = events.find(({ type }: { type: string }) => type === 'step.completed')
  expect(received).toMatchObject({ messageId: sent.body.id, actor: expect.stringMatching(/^key:/) })
  expect((await world.get(`/runs/${other}`)).body.status).toBe('waiting')
})

test('without a wait it is kept until its time, and the first run that waits takes it', async () => {
  const world = await apiWorld()
  const at = world.clock.now()
  const sent = await world.post('/api/v1/messages', { name: 'paid', id: 'i1', data: 7, ttl: '2h' })
  expect(sent).toMatchObject({ status: 202, body: { id: 'i1', status: 'kept', runs: [] } })
  expect(Math.abs(sent.body.expiresAt - at - 7_200_000)).toBeLessThan(60_000)
  const listed = (await world.get('/api/v1/messages?name=paid')).body
  expect(listed).toMatchObject({
    items: [{ id: 'i1', name: 'paid', key: null, data: 7, status: 'kept' }],
    nextCursor: null,
  })
  const first = await world.run(waitFor('paid'))
  await world.ended(first)
  const second = await world.run(waitFor('paid'))
  await world.waits(second)
  expect((await world.get('/api/v1/messages/i1')).body).toMatchObject({ status: 'delivered', runs: [first] })
  expect((await world.get('/api/v1/messages')).body.items).toEqual([])
  expect((await world.get(`/runs/${second}`)).body.status).toBe('waiting')
})

test('the sender’s id counts once, and so does an idempotency key', async () => {
  const world = await apiWorld()
  const run = await world.run(waitFor('paid'))
  await world.waits(run)
  const message = { name: 'paid', id: 'i1', data: 1 }
  const first = await world.post('/api/v1/messages', message)
  const next = await world.run(waitFor('paid'))
  await world.waits(next)
  const again = await world.post('/api/v1/messages', { ...message, data: 2 })
  expect([first.status, again.status, again.body]).toEqual([202, 200, first.body])
  expect((await world.get(`/runs/${next}`)).body.status).toBe('waiting')

  const headers = { 'idempotency-key': 'k1' }
  const keyed = await world.post('/api/v1/messages', { name: 'unheard' }, { headers })
  const repeated = await world.post('/api/v1/messages', { name: 'unheard' }, { headers })
  expect([repeated.status, repeated.body]).toEqual([200, keyed.body])
  const reused = await world.post('/api/v1/messages', { name: 'other' }, { headers })
  expect([reused.status, reused.body.code]).toEqual([422, 'idempotency_key_reused'])
})

test('pages, deletes what is kept, and does not take back what was delivered', async () => {
  const world = await apiWorld()
  for (const id of ['a', 'b', 'c']) await world.post('/api/v1/messages', { name: 'm', id, key: id })
  const page = (await world.get('/api/v1/messages?limit=2')).body
  const rest = (await world.get(`/api/v1/messages?limit=2&cursor=${page.nextCursor}`)).body
  const ids = [...page.items, ...rest.items].map(({ id }: { id: string }) => id)
  expect([ids.sort(), rest.nextCursor]).toEqual([['a', 'b', 'c'], null])
  expect((await world.ask('DELETE', '/api/v1/messages/a')).status).toBe(204)
  expect((await world.ask('DELETE', '/api/v1/messages/a')).body.code).toBe('message_not_found')
  const run = await world.run(waitFor('m', { key: 'b' }))
  await world.ended(run)
  const late = await world.ask('DELETE', '/api/v1/messages/b')
  expect([late.status, late.body.code, late.body.details]).toEqual([
    409,
    'message_delivered',
    { runs: [run] },
  ])
})

test('a large message lies in a blob, is matched by what it says, and reaches the step whole', async () => {
  const world = await apiWorld()
  const data = { amount: 12, text: 'x'.repeat(50_000) }
  const fits = await world.run(waitFor('big', { match: 'input.amount > 10' }))
  const misses = await world.run(waitFor('big', { match: 'input.amount > 100' }))
  for (const id of [fits, misses]) await world.waits(id)
  const sent = await world.post('/api/v1/messages', { name: 'big', data })
  expect(sent.body.runs).toEqual([fits])
  await world.ended(fits)
  const { output } = (await world.get(`/runs/${fits}`)).body
  expect(JSON.parse((await world.get(`/api/v1/blobs/${output.$blob}`)).text)).toEqual(data)
})

test.each([
  [{}, '/name'],
  [{ name: '' }, '/name'],
  [{ name: 'm', ttl: '31d' }, '/ttl'],
  [{ name: 'm', ttl: '10ms' }, '/ttl'],
  [{ name: 'm', key: 'NUL \0' }, '/key'],
  [{ name: 'm', id: 'x'.repeat(300) }, '/id'],
])('what no message can be is refused: %j', async (body, pointer) => {
  const world = await apiWorld({ coordinator: false })
  const told = await world.post('/api/v1/messages', body)
  expect([told.status, told.body.code, told.body.problems[0].pointer]).toEqual([
    422,
    'invalid_request',
    pointer,
  ])
})
