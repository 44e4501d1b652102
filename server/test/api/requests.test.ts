import { describe, expect, test } from 'vitest'
import { MAX_BODY_BYTES } from '../../src/api/app.ts'
import { PROBLEMS } from '../../src/api/errors.ts'
import { ACTS, apiWorld, workflow } from './world.ts'

describe('a body that cannot be read is answered with its place', () => {
  test.each([
    ['{"workflow":"x",}', 1, 17, 'a key in double quotes'],
    ['{\n  "workflow" "x"\n}', 2, 14, 'a colon'],
    ['{"a":[1,2', 1, 10, 'a comma or the closing bracket'],
    ['{"a":"one\ntwo"}', 1, 10, 'an escape'],
    ["{'a':1}", 1, 2, 'a key in double quotes'],
    ['{"a":nul}', 1, 6, 'a value'],
    ['{} x', 1, 4, 'the end of the text'],
  ])('%j', async (text, line, column, expected) => {
    const world = await apiWorld({ coordinator: false })
    const { status, body } = await world.ask('POST', '/runs', { text })
    expect([status, body.code]).toEqual([400, 'malformed_json'])
    expect(body.problems[0]).toMatchObject({ line, column })
    expect(body.detail).toContain(expected)
  })

  test('nested deeper than anything may be', async () => {
    const world = await apiWorld({ coordinator: false })
    const { body } = await world.ask('POST', '/runs', {
      text: `{"input":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
    })
    expect(body).toMatchObject({ status: 400, code: 'too_deep' })
  })

  test('larger than the limit', async () => {
    const world = await apiWorld({ coordinator: false })
    const { body } = await world.ask('POST', '/runs', { text: `"${'x'.repeat(MAX_BODY_BYTES)}"` })
    expect(body).toMatchObject({ status: 413, code: 'body_too_large' })
  })

  test('of a type that is not read', async () => {
    const world = await apiWorld({ coordinator: false })
    expect(
      (await world.ask('POST', '/runs', { text: 'a=b', type: 'application/x-www-form-urlencoded' })).body
        .code,
    ).toBe('unsupported_media_type')
    expect((await world.ask('POST', '/runs', { text: '<a/>', type: 'text/xml' })).body.code).toBe(
      'unsupported_media_type',
    )
    expect(
      (await world.ask('POST', '/runs/x/cancel', { text: 'a: b', type: 'application/yaml' })).body.code,
    ).toBe('unsupported_media_type')
  })
})

describe('a request that no route takes names what was meant', () => {
  test.each([
    ['GET', '/api/v1/rnus', 404, 'GET /api/v1/runs'],
    ['GET', '/api/v1/runs/0190/evnts', 404, 'GET /api/v1/runs/:id/events'],
    ['POST', '/orchestrat', 404, 'POST /orchestrate'],
    ['GET', '/node-types', 404, 'GET /api/v1/node-types'],
    ['PATCH', '/api/v1/runs', 405, 'POST, GET'],
    ['PUT', '/api/v1/workflows/x', 405, 'GET, DELETE'],
  ] as const)('%s %s', async (method, url, status, hint) => {
    const world = await apiWorld({ coordinator: false })
    const told = await world.ask(method, url)
    expect(told.status).toBe(status)
    expect(told.body.detail).toContain(hint)
    if (status === 405) expect(told.headers.allow).toBe(hint)
  })

  test.each([
    ['/runs?statsu=failed', 'Did you mean `status`?'],
    ['/runs?status=faild', 'faild'],
    ['/runs?label=team', 'name:value'],
    ['/runs?limit=0', '/limit'],
    ['/approvals?stauts=open', 'Did you mean `status`?'],
    ['/api/v1/node-types?x=1', 'takes no query parameters'],
  ])('%s', async (url, hint) => {
    const world = await apiWorld({ coordinator: false })
    const { status, body } = await world.get(url)
    expect([status, body.code]).toEqual([400, 'invalid_query'])
    expect(body.detail).toContain(hint)
  })
})

describe('who may call', () => {
  test('nobody without a key, with an unknown or an expired one', async () => {
    const world = await apiWorld({ coordinator: false })
    for (const key of [null, 'weft_wrong']) {
      const { status, headers } = await world.get('/runs', { key })
      expect([status, headers['www-authenticate']]).toEqual([401, 'Bearer realm="weft"'])
    }
    expect(
      (await world.get('/runs', { key: null, headers: { authorization: 'Basic abc' } })).body.detail,
    ).toContain('not of the form')
  })

  test('health and schema need none; metrics need one from elsewhere', async () => {
    const world = await apiWorld({ coordinator: false })
    for (const url of ['/healthz', '/readyz', '/metrics', '/api/v1/schemas/workflow']) {
      expect((await world.get(url, { key: null })).status).toBe(200)
    }
    expect(
      (await world.get('/metrics', { key: null, headers: { 'x-forwarded-for': '8.8.8.8' } })).status,
    ).toBe(401)
  })

  test('each role what it may, and no more', async () => {
    const world = await apiWorld({ coordinator: false })
    const definition = workflow(ACTS)
    const tries: [string, () => Promise<{ status: number }>][] = []
    for (const role of ['viewer', 'operator', 'editor']) {
      const key = await world.key(role)
      tries.push([`${role} reads`, () => world.get('/runs', { key })])
      tries.push([`${role} cancels`, () => world.post('/runs/0/cancel', undefined, { key })])
      tries.push([`${role} stores`, () => world.post('/api/v1/workflows', { definition }, { key })])
    }
    const told: string[] = []
    for (const [name, attempt] of tries) told.push(`${name}: ${(await attempt()).status}`)
    expect(told).toEqual([
      'viewer reads: 200',
      'viewer cancels: 403',
      'viewer stores: 403',
      'operator reads: 200',
      'operator cancels: 404',
      'operator stores: 403',
      'editor reads: 200',
      'editor cancels: 404',
      'editor stores: 201',
    ])
  })

  test('nobody from another workspace, by any route that names something', async () => {
    const world = await apiWorld()
    const runId = await world.run({ ask: { type: 'approval', with: { title: 'x' } } })
    await world.waits(runId)
    await world.post('/api/v1/workflows', { definition: workflow(ACTS) })
    const key = await world.key('admin', `${world.workspace}-other`)
    const approvalId = `${runId}.1`
    expect((await world.get(`/approvals/${approvalId}`)).status).toBe(200)
    for (const [method, url, body] of [
      ['GET', `/runs/${runId}`],
      ['GET', `/runs/${runId}/events`],
      ['GET', `/runs/${runId}/graph`],
      ['GET', `/runs/${runId}/why`],
      ['POST', `/runs/${runId}/cancel`],
      ['POST', `/runs/${runId}/pause`],
      ['POST', `/runs/${runId}/retry`],
      ['POST', `/runs/${runId}/recover`],
      ['POST', `/runs/${runId}/messages`, { name: 'x' }],
      ['DELETE', `/runs/${runId}`],
      ['GET', `/approvals/${approvalId}`],
      ['POST', `/approvals/${approvalId}/decide`, { decision: 'approve' }],
      ['GET', '/api/v1/workflows/tested'],
      ['GET', '/api/v1/workflows/tested/versions'],
      ['PUT', '/api/v1/workflows/tested/tags/prod', { version: 1 }],
      ['DELETE', '/api/v1/workflows/tested'],
      ['POST', '/runs', { workflow: 'tested' }],
    ] as const) {
      const told = await world.ask(method, url, { key, ...(body ? { body } : {}) })
      expect([method, url, told.status]).toEqual([method, url, 404])
    }
    expect((await world.get('/runs', { key })).body.items).toEqual([])
    expect((await world.get(`/runs/${runId}`)).body.status).toBe('waiting')
  })
})

test('every answer carries the request’s id, the caller’s own where there is one', async () => {
  const world = await apiWorld({ coordinator: false })
  const own = await world.get('/runs', { headers: { 'x-request-id': 'mine-1' } })
  expect(own.headers['x-request-id']).toBe('mine-1')
  const problem = await world.get('/runs/none')
  expect(problem.body.requestId).toBe(problem.headers['x-request-id'])
  expect(problem.body.type).toBe('urn:weft:problem:run_not_found')
})

test('a database that does not answer is a 503 that says so, not a 500', async () => {
  const { StoreError } = await import('../../src/store/store.ts')
  const fail = () => Promise.reject(new StoreError('database_unavailable', 'The database cannot be reached.'))
  const world = await apiWorld({
    coordinator: false,
    store: (store) => ({ ...store, runs: { ...store.runs, list: fail }, ping: fail }),
  })
  const told = await world.get('/runs')
  expect([told.status, told.body.code, told.headers['retry-after']]).toEqual([503, 'store_unavailable', '5'])
  const ready = await world.get('/readyz')
  expect([ready.status, ready.body.status, ready.body.dependencies.database.ok]).toEqual([
    503,
    'not_ready',
    false,
  ])
})

test('an error of Weft’s own says nothing of its inside', async () => {
  const world = await apiWorld({
    coordinator: false,
    store: (store) => ({
      ...store,
      runs: { ...store.runs, list: () => Promise.reject(new Error('password=hunter2')) },
    }),
  })
  const told = await world.get('/runs')
  expect([told.status, told.body.code]).toEqual([500, 'internal'])
  expect(told.text).not.toContain('hunter2')
})

test('the table of codes has a status and a sentence for each', () => {
  for (const [code, [status, title]] of Object.entries(PROBLEMS)) {
    expect([code, status >= 400 && status < 600, title.length > 10]).toEqual([code, true, true])
  }
})
