import { expect, test } from 'vitest'
import { type ApiWorld, apiWorld } from './world.ts'

const SECRET = 'sesame-0123456789'
const VALUE = { token: SECRET, headers: { 'x-key': SECRET } }
const one = (name: string) => `/api/v1/credentials/${name}`

const create = (world: ApiWorld, name = 'shop_api', headers?: Record<string, string>) =>
  world.post('/api/v1/credentials', { name, value: VALUE }, headers ? { headers } : {})

test('a credential is created, listed, rotated and deleted, and no answer shows its value', async () => {
  const world = await apiWorld({ coordinator: false })
  const told = [
    await create(world),
    await create(world),
    await world.get('/api/v1/credentials'),
    await world.ask('PUT', one('shop_api'), { body: { value: { token: `${SECRET}-2` } } }),
    await world.get('/api/v1/credentials'),
    await world.ask('DELETE', one('shop_api')),
    await world.ask('DELETE', one('shop_api')),
    await world.ask('PUT', one('shop_api'), { body: { value: VALUE } }),
  ]
  expect(told.map(({ status }) => status)).toEqual([201, 409, 200, 200, 200, 204, 404, 404])
  expect(told[1]?.body.code).toBe('credential_exists')
  expect(told[2]?.body.items).toContainEqual(told[0]?.body)
  expect(told[0]?.body).toMatchObject({ name: 'shop_api', source: 'store', readable: true })
  for (const { text } of told) expect(text).not.toContain(SECRET)
})

test('what is wrong is said without showing any of it', async () => {
  const world = await apiWorld({ coordinator: false })
  const told = [
    await world.post('/api/v1/credentials', { name: 'no spaces', value: VALUE }),
    await world.post('/api/v1/credentials', { name: 'shop', value: SECRET }),
    await world.post('/api/v1/credentials', { name: 'shop', value: [SECRET] }),
    await world.post('/api/v1/credentials', { name: 'shop', value: {} }),
    await world.post('/api/v1/credentials', { name: 'shop', vlaue: VALUE }),
    await world.post('/api/v1/credentials', { name: 'shop', value: { token: SECRET.repeat(5_000) } }),
    await world.ask('POST', '/api/v1/credentials', { text: `{"name":"shop","value":{"token":"${SECRET}` }),
    await world.ask('PUT', one('shop'), { body: { value: null } }),
  ]
  expect(told.map(({ status }) => status)).toEqual([422, 422, 422, 422, 422, 422, 400, 422])
  for (const { text } of told) expect(text).not.toContain(SECRET)
  const { items } = (await world.get('/api/v1/credentials')).body
  expect(items).toMatchObject([{ name: 'from_outside', source: 'environment' }])
})

test('what comes from the environment wins, so it cannot be stored over', async () => {
  const world = await apiWorld({ coordinator: false })
  for (const name of ['from_outside', 'From-Outside']) {
    const told = await create(world, name)
    expect([told.status, told.body.code]).toEqual([409, 'credential_in_environment'])
  }
})

test('an idempotency key is good for one value', async () => {
  const world = await apiWorld({ coordinator: false })
  const headers = { 'idempotency-key': 'c1' }
  const first = await create(world, 'shop', headers)
  expect((await create(world, 'shop', headers)).body).toEqual(first.body)
  const other = { name: 'shop', value: { token: 'another-value' } }
  expect((await world.post('/api/v1/credentials', other, { headers })).body.code).toBe(
    'idempotency_key_reused',
  )
})

test('only admins write; another workspace sees and changes nothing', async () => {
  const world = await apiWorld({ coordinator: false })
  await create(world)
  const body = { name: 'other', value: VALUE }
  for (const role of ['viewer', 'operator', 'editor']) {
    const key = await world.key(role)
    expect((await world.get('/api/v1/credentials', { key })).status).toBe(200)
    expect((await world.post('/api/v1/credentials', body, { key })).status).toBe(403)
    expect((await world.ask('PUT', one('shop_api'), { body: { value: VALUE }, key })).status).toBe(403)
    expect((await world.ask('DELETE', one('shop_api'), { key })).status).toBe(403)
  }
  expect((await world.post('/api/v1/credentials', body, { key: null })).status).toBe(401)
  const key = await world.key('admin', `${world.workspace}-other`)
  const seen = (await world.get('/api/v1/credentials', { key })).body.items
  expect(seen.filter(({ source }: { source: string }) => source === 'store')).toEqual([])
  expect((await world.ask('PUT', one('shop_api'), { body: { value: VALUE }, key })).status).toBe(404)
  expect((await world.ask('DELETE', one('shop_api'), { key })).status).toBe(404)
})
