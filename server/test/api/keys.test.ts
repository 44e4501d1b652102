import { expect, test } from 'vitest'
import { hashApiKey } from '../../src/api/auth.ts'
import { systemClock } from '../../src/clock.ts'
import { ACTS, apiWorld, workflow } from './world.ts'

test('a key is shown once, works with its role, and is listed without its secret', async () => {
  const world = await apiWorld({ coordinator: false })
  const { status, headers, body } = await world.post('/api/v1/keys', { name: 'ci', role: 'operator' })
  expect([status, headers['cache-control']]).toEqual([201, 'no-store'])
  expect(body).toMatchObject({ name: 'ci', role: 'operator', expiresAt: null })
  expect(body.key).toMatch(/^weft_[0-9a-f]{48}$/)

  expect((await world.get('/runs', { key: body.key })).status).toBe(200)
  const refused = await world.post('/orchestrate', { definition: workflow(ACTS) }, { key: body.key })
  expect([refused.status, refused.body.code]).toEqual([403, 'forbidden'])

  const listed = await world.get('/api/v1/keys')
  expect(listed.body.items[0]).toEqual({
    id: body.id,
    name: 'ci',
    role: 'operator',
    taskTypes: null,
    createdAt: body.createdAt,
    expiresAt: null,
  })
  expect(listed.text).not.toContain(body.key)
  expect(listed.text).not.toContain(hashApiKey(body.key))
  // What the store holds finds the key only for one who has it.
  expect(await world.store.keys.find(body.key)).toBeNull()
  expect(await world.store.keys.find(hashApiKey(body.key))).toMatchObject({ id: body.id })
})

test('a worker’s key says which task types it is for', async () => {
  const world = await apiWorld({ coordinator: false })
  const taskTypes = ['image.resize', 'act']
  const asked = { name: 'resizer', role: 'worker', taskTypes: [...taskTypes, 'act'] }
  expect((await world.post('/api/v1/keys', asked)).body.taskTypes).toEqual(taskTypes)
  expect((await world.get('/api/v1/keys')).body.items[0]).toMatchObject({ name: 'resizer', taskTypes })
})

test('a revoked key is refused at once, although it was used a moment before', async () => {
  const world = await apiWorld({ coordinator: false })
  const { body } = await world.post('/api/v1/keys', { name: 'ci', role: 'viewer' })
  expect((await world.get('/runs', { key: body.key })).status).toBe(200)
  expect((await world.ask('DELETE', `/api/v1/keys/${body.id}`)).status).toBe(204)
  expect((await world.get('/runs', { key: body.key })).body.code).toBe('unauthorized')
  const again = await world.ask('DELETE', `/api/v1/keys/${body.id}`)
  expect([again.status, again.body.code]).toEqual([404, 'key_not_found'])
  expect((await world.ask('DELETE', '/api/v1/keys/none')).body.code).toBe('key_not_found')
})

test('a key expires by the clock', async () => {
  const system = systemClock()
  let ahead = 0
  const world = await apiWorld({
    coordinator: false,
    clock: { ...system, now: () => system.now() + ahead, monotonic: () => system.monotonic() },
  })
  const { body } = await world.post('/api/v1/keys', { name: 'short', role: 'viewer', expiresIn: '90d' })
  expect(body.expiresAt - body.createdAt).toBe(90 * 86_400_000)
  ahead = 90 * 86_400_000 - 60_000
  expect((await world.get('/runs', { key: body.key })).status).toBe(200)
  ahead += 120_000
  const told = await world.get('/runs', { key: body.key })
  expect([told.status, told.body.detail]).toEqual([401, expect.stringContaining('has expired')])
})

test('a name is one key’s, also when two are made at once, and each workspace has its own', async () => {
  const world = await apiWorld({ coordinator: false })
  await world.key()
  const made = await Promise.all(
    [1, 2, 3].map(() => world.post('/api/v1/keys', { name: 'ci', role: 'viewer' })),
  )
  expect(made.map(({ status }) => status).sort()).toEqual([201, 409, 409])
  expect(made.find(({ status }) => status === 409)?.body.code).toBe('key_name_taken')
  const elsewhere = await world.post(
    '/api/v1/keys',
    { name: 'ci', role: 'viewer' },
    { key: await world.key('admin', `${world.workspace}-other`) },
  )
  expect(elsewhere.status).toBe(201)
})

test('a key cannot revoke itself: no workspace loses its last admin key', async () => {
  const world = await apiWorld({ coordinator: false })
  const { items } = (await world.get('/api/v1/keys')).body
  const told = await world.ask('DELETE', `/api/v1/keys/${items[0].id}`)
  expect([told.status, told.body.code]).toEqual([409, 'own_key'])
  expect((await world.get('/runs')).status).toBe(200)
})

test('the list comes in pages without a gap', async () => {
  const world = await apiWorld({ coordinator: false })
  for (const name of ['a', 'b', 'c', 'd']) await world.post('/api/v1/keys', { name, role: 'viewer' })
  const names: string[] = []
  let cursor: string | null = null
  do {
    const url: string = `/api/v1/keys?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`
    const { body } = await world.get(url)
    names.push(...body.items.map(({ name }: { name: string }) => name))
    cursor = body.nextCursor
  } while (cursor !== null)
  expect(names).toEqual(['d', 'c', 'b', 'a', 'admin'])
})

test.each([
  [{ name: 'ci' }, '/role'],
  [{ name: 'ci', role: 'root' }, '/role'],
  [{ name: 'no spaces', role: 'viewer' }, '/name'],
  [{ name: 'ci', role: 'viewer', expiresIn: 'soon' }, '/expiresIn'],
  [{ name: 'ci', role: 'viewer', expiresIn: '4000d' }, '/expiresIn'],
  [{ name: 'ci', role: 'viewer', expiresIn: 0 }, '/expiresIn'],
  [{ name: 'ci', role: 'admin', taskTypes: ['act'] }, '/taskTypes'],
  [{ name: 'ci', role: 'worker', taskTypes: [] }, '/taskTypes'],
  [{ name: 'ci', role: 'worker', taskTypes: ['No'] }, '/taskTypes/0'],
])('%j makes no key', async (asked, pointer) => {
  const world = await apiWorld({ coordinator: false })
  const { status, body } = await world.post('/api/v1/keys', asked)
  expect([status, body.problems[0].pointer]).toEqual([422, pointer])
})
