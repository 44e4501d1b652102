import type { Json, JsonObject } from '@weft/engine'
import { describe, expect, test } from 'vitest'
import { type ApiWorld, apiWorld, type Told } from './world.ts'

/** Two steps: the first is performed by the test, the second is still to come. */
const LINE: JsonObject = {
  first: { type: 'act', retry: 'off' },
  last: { type: 'act', needs: 'first', with: { message: 'as planned' }, retry: 'off' },
}

const CHECK: JsonObject = { type: 'act', needs: 'first', with: { message: 'woven in' }, retry: 'off' }
/** Weaves a step in between the two. */
const WEAVE: Json[] = [
  { op: 'add', path: '/nodes/check', value: CHECK },
  { op: 'add', path: '/nodes/last/needs/check', value: 'success' },
  { op: 'remove', path: '/nodes/last/needs/first' },
]

const patch = (world: ApiWorld, id: string, operations: Json, more: JsonObject = {}): Promise<Told> =>
  world.post(`/runs/${id}/patches`, { operations, reason: 'the order looks odd', ...more })

async function performed(world: ApiWorld, output: Json = null): Promise<string> {
  const task = await world.take()
  await world.complete(task, output)
  return task.key
}

describe('a patch', () => {
  test('weaves a step into a running run, and the run goes on through it', async () => {
    const world = await apiWorld()
    const id = await world.run(LINE)
    const { hash } = (await world.get(`/runs/${id}/graph`)).body
    const told = await patch(world, id, WEAVE)
    expect([told.status, told.body]).toMatchObject([
      200,
      {
        accepted: true,
        detail: {
          patch: 1,
          before: hash,
          preview: { nodes: { added: ['check'] }, edges: { removed: [{ from: 'first', to: 'last' }] } },
        },
      },
    ])
    expect([await performed(world), await performed(world), await performed(world, 'done')]).toEqual([
      'first',
      'check',
      'last',
    ])
    await world.ended(id)
    const run = (await world.get(`/runs/${id}`)).body
    expect(run).toMatchObject({ status: 'completed', versions: [hash, told.body.detail.version] })
  })

  test('is listed with who, why, what and both definitions, which can be read', async () => {
    const world = await apiWorld()
    const id = await world.run(LINE)
    const { version } = (await patch(world, id, WEAVE)).body.detail
    const second: Json[] = [{ op: 'replace', path: '/nodes/last/with/message', value: 'otherwise' }]
    // The path that agents know.
    expect((await world.post(`/runs/${id}/patch`, { operations: second, reason: 'again' })).status).toBe(200)
    const { items, nextCursor } = (await world.get(`/runs/${id}/patches`)).body
    expect(items).toMatchObject([
      { actor: 'key:admin', reason: 'the order looks odd', operations: WEAVE, after: version },
      { actor: 'key:admin', reason: 'again', operations: second, before: version },
    ])
    expect(nextCursor).toBeNull()
    const [first] = items
    const graph = (await world.get(`/runs/${id}/graph?version=${first.before}`)).body
    expect(Object.keys(graph.definition.nodes)).toEqual(['first', 'last'])
    const page = (await world.get(`/runs/${id}/patches?limit=1`)).body
    expect(page.items).toEqual([first])
    expect((await world.get(`/runs/${id}/patches?after=${page.nextCursor}`)).body.items).toEqual([items[1]])
  })

  test('is only tried with `dryRun`: the same answer, and nothing recorded', async () => {
    const world = await apiWorld()
    const id = await world.run(LINE)
    const tried = await patch(world, id, WEAVE, { dryRun: true })
    expect([tried.status, tried.body.dryRun, tried.body.preview.nodes.added]).toEqual([200, true, ['check']])
    expect(Object.keys(tried.body.definition.nodes).toSorted()).toEqual(['check', 'first', 'last'])
    expect((await world.get(`/runs/${id}/patches`)).body.items).toEqual([])
    const bad: Json[] = [{ op: 'remove', path: '/nodes/lst' }]
    const [triedBad, sentBad] = [await patch(world, id, bad, { dryRun: true }), await patch(world, id, bad)]
    const { requestId: _a, instance: _b, ...expected } = sentBad.body
    expect(triedBad.body).toMatchObject(expected)
    expect((await patch(world, id, WEAVE)).body.detail.version).toBe(tried.body.version)
  })

  test('counts once under one idempotency key', async () => {
    const world = await apiWorld()
    const id = await world.run(LINE)
    const send = () =>
      world.post(
        `/runs/${id}/patches`,
        { operations: WEAVE, reason: 'twice' },
        { headers: { 'idempotency-key': 'k1' } },
      )
    const [first, again] = [await send(), await send()]
    expect(again.body).toEqual(first.body)
    expect((await world.get(`/runs/${id}/patches`)).body.items).toHaveLength(1)
  })

  test('may read variables that the run did not read before', async () => {
    const world = await apiWorld()
    await world.store.variables.set({ workspace: world.workspace, name: 'team', value: 'ops', at: 1 })
    const id = await world.run(LINE)
    await patch(world, id, [{ op: 'add', path: '/output', value: '${{ vars.team }}' }])
    await performed(world)
    await performed(world)
    await world.ended(id)
    expect((await world.get(`/runs/${id}`)).body.output).toBe('ops')
  })
})

describe('a patch is refused', () => {
  const refusals: [string, Json, number, string, JsonObject?][] = [
    [
      'a wrong name, with the right one',
      [{ op: 'remove', path: '/nodes/lst' }],
      409,
      'patch_does_not_apply',
      { operation: 0, corrected: { op: 'remove', path: '/nodes/last' } },
    ],
    [
      'a failed test',
      [{ op: 'test', path: '/nodes/last/type', value: 'log' }],
      409,
      'patch_test_failed',
      { operation: 0 },
    ],
    ['a step that was reached', [{ op: 'remove', path: '/nodes/first' }], 409, 'patch_touches_reached'],
    ['an id that exists', [{ op: 'add', path: '/nodes/last', value: CHECK }], 409, 'patch_exists'],
    [
      'a number where an id belongs',
      [{ op: 'remove', path: '/nodes/1' }],
      422,
      'patch_numeric_index',
      { corrected: { op: 'remove', path: '/nodes/last' } },
    ],
    [
      'a cycle',
      [...WEAVE, { op: 'add', path: '/nodes/check/needs/last', value: 'success' }],
      422,
      'patch_cycle',
    ],
    [
      'a misspelled type, with the right one',
      [{ op: 'add', path: '/nodes/x', value: { type: 'logg', with: { message: 'x' } } }],
      422,
      'patch_unknown_type',
      { corrected: { op: 'add', path: '/nodes/x', value: { type: 'log', with: { message: 'x' } } } },
    ],
    [
      'what the run was started under',
      [{ op: 'add', path: '/limits', value: { steps: 9 } }],
      422,
      'patch_immutable',
    ],
    [
      'an invalid node',
      [{ op: 'add', path: '/nodes/x', value: { type: 'log', needs: 'nobody', with: { message: 'x' } } }],
      422,
      'patch_invalid',
    ],
    ['what is no operation', [{ op: 'ad', path: '/nodes/x' }], 422, 'patch_malformed', { operation: 0 }],
  ]
  test.each(refusals)('for %s', async (_name, operations, status, code, details = {}) => {
    const world = await apiWorld()
    const id = await world.run(LINE)
    const { seq } = (await world.get(`/runs/${id}`)).body
    const told = await patch(world, id, operations)
    expect([told.status, told.body]).toMatchObject([status, { code, details }])
    expect((await world.get(`/runs/${id}`)).body.seq).toBe(seq)
  })

  test('when what it touches changed since its base, and only then', async () => {
    const world = await apiWorld()
    const id = await world.run({ ...LINE, side: { type: 'act', needs: 'first', with: { message: 'a' } } })
    const { hash: baseVersion } = (await world.get(`/runs/${id}/graph`)).body
    const say = (node: string, value: string, more: JsonObject = {}) =>
      patch(world, id, [{ op: 'replace', path: `/nodes/${node}/with/message`, value }], more)
    expect((await say('last', 'one')).status).toBe(200)
    expect((await say('side', 'two', { baseVersion })).status).toBe(200)
    const late = await say('last', 'three', { baseVersion })
    expect([late.status, late.body.code, late.body.details.pointer]).toEqual([
      409,
      'patch_conflict',
      '/nodes/last',
    ])
    expect((await say('last', 'three', { baseVersion: 'sha256:none' })).body.code).toBe(
      'patch_unknown_version',
    )
  })

  test('by the policy of a workflow that says `deny`, tried or sent', async () => {
    const world = await apiWorld()
    const definition = { weft: 1, name: 'guarded', nodes: LINE, patches: { api: 'deny' } }
    const { id } = (await world.post('/runs', { definition })).body
    for (const dryRun of [false, true]) {
      const told = await patch(world, id, WEAVE, { dryRun })
      expect([told.status, told.body.code]).toEqual([403, 'patch_denied'])
    }
    // A patch cannot lift the policy either.
    const lift = await patch(world, id, [{ op: 'replace', path: '/patches/api', value: 'auto' }])
    expect(lift.body.code).toBe('patch_denied')
    expect((await world.get(`/runs/${id}/patches`)).body.items).toEqual([])
  })

  test('for a credential that the workflow does not let it bring in', async () => {
    const world = await apiWorld()
    const definition = { weft: 1, name: 'bound', nodes: LINE, patches: { credentials: ['ours'] } }
    const { id } = (await world.post('/runs', { definition })).body
    const uses = (credential: string, node: string) =>
      patch(world, id, [{ op: 'add', path: `/nodes/${node}`, value: { ...CHECK, credential } }])
    const told = await uses('theirs', 'one')
    expect([told.status, told.body.code]).toEqual([403, 'patch_credential_denied'])
    expect((await uses('ours', 'other')).status).toBe(200)
  })

  test('by a run that has completed, and of who may not edit', async () => {
    const world = await apiWorld()
    const id = await world.run({ only: { type: 'act' } })
    await performed(world)
    await world.ended(id)
    const told = await patch(world, id, WEAVE)
    expect([told.status, told.body.code]).toEqual([409, 'run_finished'])
    const operator = await world.key('operator')
    expect((await world.post(`/runs/${id}/patches`, {}, { key: operator })).body.code).toBe('forbidden')
    expect((await world.post(`/runs/${id}/patches`, { operations: WEAVE })).body.code).toBe('invalid_request')
    const stranger = { key: await world.key('admin', 'elsewhere') }
    expect((await world.get(`/runs/${id}/patches`, stranger)).body.code).toBe('run_not_found')
  })
})

describe('a run that stands still takes a patch', () => {
  test('paused: the patch waits with it', async () => {
    const world = await apiWorld()
    const id = await world.run(LINE)
    await world.post(`/runs/${id}/pause`)
    expect((await patch(world, id, WEAVE)).status).toBe(200)
    expect((await world.get(`/runs/${id}`)).body.status).toBe('paused')
    await world.post(`/runs/${id}/resume`)
    expect([await performed(world), await performed(world), await performed(world)]).toEqual([
      'first',
      'check',
      'last',
    ])
    await world.ended(id)
  })

  test('failed: the step that failed is mended, and a retry performs it as mended', async () => {
    const world = await apiWorld()
    const id = await world.run(LINE)
    await performed(world)
    await world.fail(await world.take())
    await world.ended(id)
    const rewired = await patch(world, id, [{ op: 'replace', path: '/nodes/last/type', value: 'log' }])
    expect(rewired.body).toMatchObject({ code: 'patch_touches_reached', details: { pointer: '/nodes/last' } })
    const mended = await patch(world, id, [
      { op: 'replace', path: '/nodes/last/with/message', value: 'mended' },
      { op: 'add', path: '/nodes/after', value: { type: 'act', needs: 'last' } },
    ])
    expect(mended.status).toBe(200)
    expect((await world.get(`/runs/${id}`)).body.status).toBe('failed')
    await world.post(`/runs/${id}/retry`)
    const task = await world.take()
    expect([task.key, task.config]).toMatchObject(['last', { message: 'mended' }])
    await world.complete(task, 'now')
    expect(await performed(world)).toBe('after')
    await world.event(id, ({ type }) => type === 'run.completed')
  })

  test('cancelled, and it goes on when it is retried', async () => {
    const world = await apiWorld()
    const id = await world.run(LINE)
    const task = await world.take()
    await world.post(`/runs/${id}/cancel`)
    await world.fail(task)
    await world.ended(id)
    expect((await patch(world, id, WEAVE)).status).toBe(200)
    await world.post(`/runs/${id}/retry`)
    expect([await performed(world), await performed(world), await performed(world)]).toEqual([
      'first',
      'check',
      'last',
    ])
    await world.event(id, ({ type }) => type === 'run.completed')
  })
})
