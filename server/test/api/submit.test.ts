import { describe, expect, test } from 'vitest'
import { type Store, StoreError } from '../../src/store/store.ts'
import { manualClock } from '../coordinator/manual-clock.ts'
import { ACTS, type ApiWorld, ASKS, apiWorld, codes, workflow } from './world.ts'

const STRICT = {
  input: {
    type: 'object',
    required: ['orderId'],
    properties: { orderId: { type: 'string' }, count: { type: 'number', default: 3 } },
  },
}

describe('an accepted run', () => {
  test('is durable with its input, defaults and labels before the answer', async () => {
    const world = await apiWorld({ coordinator: false })
    const definition = workflow(ACTS, { ...STRICT, labels: { team: 'blue', env: 'dev' } })
    const { status, body, headers } = await world.post('/runs', {
      definition,
      input: { orderId: 'A' },
      labels: { env: 'prod' },
    })
    expect(status).toBe(202)
    expect(headers.location).toBe(`/api/v1/runs/${body.id}`)
    const row = await world.store.runs.get({ workspace: world.workspace, id: body.id })
    expect(row).toMatchObject({
      input: { orderId: 'A', count: 3 },
      labels: { team: 'blue', env: 'prod' },
      seq: 1,
    })
  })

  test('comes by every spelling: stored name, JSON, YAML text, a bare definition', async () => {
    const world = await apiWorld({ coordinator: false })
    const yaml = 'weft: 1\nname: tested\nnodes:\n  act: { type: act, retry: off }\n'
    await world.post('/api/v1/workflows', { source: yaml, tags: ['prod'] })
    for (const [url, asked] of [
      ['/runs', { body: { workflow: 'tested' } }],
      ['/api/runs', { body: { workflow: 'tested@1' } }],
      ['/api/v1/runs', { body: { workflow: 'tested@prod' } }],
      ['/runs', { body: { source: yaml } }],
      ['/runs', { text: yaml, type: 'application/yaml' }],
      ['/orchestrate', { text: yaml, type: 'text/x-yaml; charset=utf-8' }],
      ['/orchestrate', { body: workflow(ACTS) }],
    ] as const) {
      const { status, body } = await world.ask('POST', url, asked)
      expect([status, body.status]).toEqual([202, 'queued'])
    }
  })

  test('uses the newest version from the moment it was pushed', async () => {
    const world = await apiWorld({ coordinator: false })
    for (const version of [1, 2, 3]) {
      await world.post('/api/v1/workflows', {
        definition: workflow(ACTS, { description: `the ${version}.` }),
      })
      const { body } = await world.post('/runs', { workflow: 'tested' })
      expect((await world.get(`/runs/${body.id}`)).body.version).toBe(version)
    }
  })

  test('keeps NUL, lone surrogates, deep nesting and `__proto__` as they came', async () => {
    const world = await apiWorld({ coordinator: false })
    const deep = `${'['.repeat(200)}1${']'.repeat(200)}`
    const input = `{"nul":"a\\u0000b","lone":"\\ud800","__proto__":{"polluted":true},"deep":${deep}}`
    const { body } = await world.ask('POST', '/runs', {
      text: `{"definition":${JSON.stringify(workflow(ACTS))},"input":${input}}`,
    })
    const read = await world.get(`/runs/${body.id}`)
    expect(read.text).toContain(`"input":${input}`)
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })

  test('with a large input keeps it as a blob that can be read', async () => {
    const world = await apiWorld({ coordinator: false })
    const text = 'ü'.repeat(20_000)
    const { body } = await world.post('/runs', { definition: workflow(ACTS), input: { text } })
    const { input } = (await world.get(`/runs/${body.id}`)).body
    expect(input).toMatchObject({ bytes: 40_011, contentType: 'application/json' })
    expect(JSON.parse((await world.get(`/api/v1/blobs/${input.$blob}`)).text)).toEqual({ text })
  })
})

describe('a refused submit stores nothing', () => {
  test.each([
    [
      'input that misses the schema',
      { definition: workflow(ACTS, STRICT), input: { count: 1 } },
      422,
      'invalid_input',
    ],
    [
      'a definition with problems',
      { definition: workflow({ a: { type: 'act', needs: 'b' } }) },
      422,
      'invalid_definition',
    ],
    ['a workflow that is not stored', { workflow: 'nobody' }, 404, 'workflow_not_found'],
    ['two things to run', { workflow: 'a', source: 'b' }, 422, 'invalid_request'],
    ['nothing to run', { input: {} }, 422, 'invalid_request'],
    ['an unknown key', { workflow: 'a', imput: {} }, 422, 'invalid_request'],
    [
      'a blob of nobody',
      {
        definition: workflow(ACTS),
        input: { $blob: `sha256:${'0'.repeat(64)}`, bytes: 1, contentType: 'x' },
      },
      422,
      'unknown_blob',
    ],
    ['a label that is no text', { definition: workflow(ACTS), labels: { a: 1 } }, 422, 'invalid_request'],
  ])('%s', async (_name, request, status, code) => {
    const world = await apiWorld({ coordinator: false })
    const told = await world.post('/runs', request)
    expect([told.status, told.body.code]).toEqual([status, code])
    expect(told.headers['content-type']).toContain('application/problem+json')
    expect(await world.count()).toBe(0)
  })

  test('an input deeper than values may be is refused with its place', async () => {
    const world = await apiWorld({ coordinator: false })
    const deep = `${'['.repeat(260)}${']'.repeat(260)}`
    const told = await world.ask('POST', '/runs', {
      text: `{"definition":${JSON.stringify(workflow(ACTS))},"input":${deep}}`,
    })
    expect([told.status, told.body.code]).toEqual([422, 'invalid_request'])
    expect(told.body.detail).toContain('nested deeper than 256')
  })

  test('all problems of a text come at once, with line and column', async () => {
    const world = await apiWorld({ coordinator: false })
    const text = 'weft: 1\nname: x\nnodes:\n  a: { type: actt }\n  b: { type: act, needs: aa }\n'
    const told = await world.ask('POST', '/orchestrate', { text, type: 'application/yaml' })
    expect(codes(told)).toEqual(['unknown_type', 'unknown_step'])
    expect(told.body.problems[0]).toMatchObject({
      pointer: '/nodes/a/type',
      line: 4,
      column: 14,
      suggestion: 'act',
    })
  })

  test('of a person who may not', async () => {
    const world = await apiWorld({ coordinator: false })
    await world.post('/api/v1/workflows', { definition: workflow(ACTS) })
    const viewer = { key: await world.key('viewer') }
    const operator = { key: await world.key('operator') }
    expect((await world.post('/runs', { workflow: 'tested' }, viewer)).body.code).toBe('forbidden')
    expect((await world.post('/runs', { definition: workflow(ACTS) }, operator)).body.code).toBe('forbidden')
    expect(await world.count()).toBe(0)
    expect((await world.post('/runs', { workflow: 'tested' }, operator)).status).toBe(202)
  })
})

describe('an idempotency key', () => {
  test('starts one run, however often and however concurrently it is sent', async () => {
    const world = await apiWorld({ coordinator: false })
    const send = () =>
      world.post(
        '/runs',
        { definition: workflow(ACTS), input: { a: 1, b: 2 } },
        { headers: { 'idempotency-key': 'k' } },
      )
    const told = await Promise.all(Array.from({ length: 8 }, send))
    expect(new Set(told.map(({ body }) => body.id)).size).toBe(1)
    expect(told.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 200, 200, 202])
    expect(await world.count()).toBe(1)
  })

  test('means the same in the body, and the order of keys does not matter', async () => {
    const world = await apiWorld({ coordinator: false })
    const first = await world.post('/runs', {
      definition: workflow(ACTS),
      input: { a: 1, b: 2 },
      idempotencyKey: 'k',
    })
    const again = await world.post('/runs', {
      idempotencyKey: 'k',
      input: { b: 2, a: 1 },
      definition: workflow(ACTS),
    })
    expect([again.status, again.body.id]).toEqual([200, first.body.id])
  })

  test('with another body is a mistake, not another run', async () => {
    const world = await apiWorld({ coordinator: false })
    await world.post('/runs', { definition: workflow(ACTS), input: { a: 1 }, idempotencyKey: 'k' })
    const other = await world.post('/runs', {
      definition: workflow(ACTS),
      input: { a: 2 },
      idempotencyKey: 'k',
    })
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused'])
    expect(await world.count()).toBe(1)
  })
})

describe('?wait', () => {
  test('answers with the outcome once the run has ended', async () => {
    const world = await apiWorld()
    const waiting = world.post('/runs?wait=1m', {
      definition: workflow(ACTS, { output: { got: '${{ steps.act.output.x }}' } }),
    })
    await world.complete(await world.take(), { x: 7 })
    const { status, body } = await waiting
    expect([status, body.status, body.output]).toEqual([200, 'completed', { got: 7 }])
  })

  test('answers 202 when the time is over first', async () => {
    const world = await apiWorld()
    const { status, body } = await world.post('/runs?wait=0', { definition: workflow(ASKS) })
    expect(status).toBe(202)
    expect(body.id).toBeDefined()
  })

  test('with the key of a run that has ended answers at once', async () => {
    const world = await apiWorld()
    const send = () =>
      world.post('/runs?wait=1m', { definition: workflow({ stop: { type: 'stop' } }), idempotencyKey: 'k' })
    const first = await send()
    const again = await send()
    expect([again.status, again.body]).toEqual([200, first.body])
  })

  test('ends when the server stops', async () => {
    const world = await apiWorld()
    const waiting = world.post('/runs?wait=5m', { definition: workflow(ASKS), labels: { a: 'b' } })
    await world.event(await lastRun(world), ({ type }) => type === 'step.waiting')
    await world.api.stop()
    expect((await waiting).status).toBe(202)
  })
})

describe('when the database goes away during the commit', () => {
  const unavailable = () => new StoreError('database_unavailable', 'The database cannot be reached.')
  const failing = (begin: (store: Store, call: number) => Store['runs']['begin']) => {
    let call = 0
    return (store: Store): Store => ({
      ...store,
      runs: { ...store.runs, begin: (run) => begin(store, call++)(run) },
    })
  }

  test('a commit that had happened is answered as accepted, once', async () => {
    const world = await apiWorld({
      coordinator: false,
      store: failing((store, call) => async (run) => {
        const outcome = await store.runs.begin(run)
        if (call === 0) throw unavailable()
        return outcome
      }),
    })
    const { status, body } = await world.post('/runs', { definition: workflow(ACTS), idempotencyKey: 'k' })
    expect(status).toBe(202)
    expect((await world.get(`/runs/${body.id}`)).status).toBe(200)
    expect(await world.count()).toBe(1)
  })

  test('a commit that cannot be settled names the run and says how to find out', async () => {
    const clock = manualClock()
    const world = await apiWorld({
      coordinator: false,
      clock,
      store: failing(() => async () => Promise.reject(unavailable())),
    })
    const answer = world.post('/runs', { definition: workflow(ACTS) })
    let isOver = false
    void answer.then(() => {
      isOver = true
    })
    while (!isOver) {
      clock.advance(100)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const { status, body } = await answer
    expect([status, body.code]).toEqual([503, 'outcome_unknown'])
    expect(body.detail).toContain(`GET /runs/${body.details.id}`)
  })

  test('a full disk is a sentence, and nothing was stored', async () => {
    const full = new StoreError('database_disk_full', 'The disk of the database is full.')
    const world = await apiWorld({
      coordinator: false,
      store: failing(() => async () => Promise.reject(full)),
    })
    const { status, body } = await world.post('/runs', { definition: workflow(ACTS) })
    expect([status, body.code, body.detail]).toEqual([503, 'disk_full', 'The disk of the database is full.'])
  })
})

test('submit in process takes the same way', async () => {
  const world = await apiWorld({ coordinator: false })
  const { id, created } = await world.api.submit({
    workspace: world.workspace,
    actor: 'test',
    what: { definition: workflow(ACTS) },
  })
  expect(created).toBe(true)
  expect((await world.get(`/runs/${id}`)).body.status).toBe('queued')
})

/** The run that a request which is still held has started. */
async function lastRun({ store, workspace }: ApiWorld): Promise<string> {
  for (;;) {
    const [row] = (await store.runs.list({ workspace, limit: 1 })).items
    if (row) return row.id
  }
}
