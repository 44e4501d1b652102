import { expect, test } from 'vitest'
import { ACTS, apiWorld, codes, workflow } from './world.ts'

const YAML = '# keep me\nweft: 1\nname: tested\nnodes:\n  act: { type: act, retry: off } # and me\n'

test('a version is kept as its author wrote it, and the same again is no new one', async () => {
  const world = await apiWorld({ coordinator: false })
  const first = await world.ask('POST', '/api/v1/workflows', { text: YAML, type: 'application/yaml' })
  expect([first.status, first.body]).toMatchObject([
    201,
    { name: 'tested', version: 1, created: true, warnings: [] },
  ])
  const again = await world.ask('POST', '/api/v1/workflows', { text: YAML, type: 'application/yaml' })
  expect([again.status, again.body]).toMatchObject([200, { version: 1, created: false }])
  const { body } = await world.get('/api/v1/workflows/tested')
  expect(body).toMatchObject({ version: 1, source: YAML, definition: { nodes: { act: { type: 'act' } } } })
  expect(body.tags).toContain('latest')
})

test('tags move, versions stay', async () => {
  const world = await apiWorld({ coordinator: false })
  for (const description of ['one', 'two'])
    await world.post('/api/v1/workflows', { definition: workflow(ACTS, { description }) })
  expect(
    (await world.ask('PUT', '/api/v1/workflows/tested/tags/prod', { body: { version: 1 } })).body.version,
  ).toBe(1)
  expect((await world.get('/api/v1/workflows/tested@prod')).body.description).toBe('one')
  await world.ask('PUT', '/api/v1/workflows/tested/tags/prod', { body: { version: 2 } })
  expect((await world.get('/api/v1/workflows/tested@prod')).body.description).toBe('two')
  expect((await world.get('/api/v1/workflows/tested@1')).body.description).toBe('one')
  expect(
    (await world.ask('PUT', '/api/v1/workflows/tested/tags/prod', { body: { version: 9 } })).status,
  ).toBe(404)
  expect(
    (await world.ask('PUT', '/api/v1/workflows/tested/tags/latest', { body: { version: 1 } })).status,
  ).toBe(422)
  expect(
    (await world.get('/api/v1/workflows/tested/versions')).body.items.map(
      ({ version }: { version: number }) => version,
    ),
  ).toEqual([2, 1])
})

test('the path and the definition must name the same workflow', async () => {
  const world = await apiWorld({ coordinator: false })
  const told = await world.post('/api/v1/workflows/other/versions', { definition: workflow(ACTS) })
  expect([told.status, told.body.code]).toEqual([422, 'invalid_request'])
  expect((await world.post('/api/v1/workflows/tested/versions', { definition: workflow(ACTS) })).status).toBe(
    201,
  )
})

test('validate says everything and stores nothing', async () => {
  const world = await apiWorld({ coordinator: false })
  const bad = await world.post('/api/v1/workflows/validate', {
    definition: workflow({ a: { type: 'actt', needs: 'b' } }),
  })
  expect([bad.status, bad.body.valid]).toEqual([200, false])
  expect(codes(bad)).toEqual(['unknown_type', 'unknown_step'])
  const good = await world.post('/api/v1/workflows/validate', { source: YAML })
  expect(good.body).toMatchObject({ valid: true, name: 'tested', problems: [] })
  expect((await world.get('/api/v1/workflows')).body.items).toEqual([])
})

test('an invalid definition is not stored', async () => {
  const world = await apiWorld({ coordinator: false })
  const told = await world.post('/api/v1/workflows', {
    definition: workflow({ a: { type: 'act', needs: 'a' } }),
  })
  expect([told.status, told.body.code]).toEqual([422, 'invalid_definition'])
  expect((await world.get('/api/v1/workflows')).body.items).toEqual([])
})

test('an idempotency key gives the first answer again', async () => {
  const world = await apiWorld({ coordinator: false })
  const asked = { headers: { 'idempotency-key': 'w1' } }
  const first = await world.post('/api/v1/workflows', { definition: workflow(ACTS) }, asked)
  await world.post('/api/v1/workflows', { definition: workflow(ACTS, { description: 'newer' }) })
  const again = await world.post('/api/v1/workflows', { definition: workflow(ACTS) }, asked)
  expect([again.status, again.body]).toEqual([200, first.body])
  expect(
    (await world.post('/api/v1/workflows', { definition: workflow(ACTS, { description: 'x' }) }, asked)).body
      .code,
  ).toBe('idempotency_key_reused')
})

test('a deleted workflow runs no more; its runs stay', async () => {
  const world = await apiWorld({ coordinator: false })
  await world.post('/api/v1/workflows', { definition: workflow(ACTS) })
  const { body } = await world.post('/runs', { workflow: 'tested' })
  expect((await world.ask('DELETE', '/api/v1/workflows/tested')).status).toBe(204)
  expect((await world.post('/runs', { workflow: 'tested' })).body.code).toBe('workflow_not_found')
  expect((await world.get(`/runs/${body.id}`)).status).toBe(200)
})

test('the registry says of each type who performs it', async () => {
  const world = await apiWorld({ coordinator: false })
  const { body } = await world.get('/api/v1/node-types')
  const served = Object.fromEntries(
    body.items.map((type: { type: string; served: boolean }) => [type.type, type.served]),
  )
  expect(served).toMatchObject({ log: true, act: false, approval: true })
})
