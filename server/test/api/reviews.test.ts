import type { Command, Json, JsonObject } from '@weft/engine'
import { describe, expect, test } from 'vitest'
import { type ApiWorld, apiWorld } from './world.ts'

const LINE: JsonObject = {
  first: { type: 'act', retry: 'off' },
  last: { type: 'act', needs: 'first', with: { message: 'as planned' }, retry: 'off' },
}
const WEAVE: Json[] = [
  { op: 'add', path: '/nodes/check', value: { type: 'act', needs: 'first', with: { message: 'woven in' } } },
  { op: 'add', path: '/nodes/last/needs/check', value: 'success' },
  { op: 'remove', path: '/nodes/last/needs/first' },
]

async function reviewedRun(
  world: ApiWorld,
  nodes = LINE,
  patches: JsonObject = { api: 'review' },
): Promise<string> {
  const { status, body } = await world.post('/runs', {
    definition: { weft: 1, name: 'guarded', nodes, patches },
  })
  expect(status).toBe(202)
  return body.id
}

const propose = (world: ApiWorld, id: string, operations: Json[] = WEAVE) =>
  world.post(`/runs/${id}/patches`, { operations, reason: 'the order looks odd' })
const decide = (world: ApiWorld, review: string, decision: string, more: JsonObject = {}, key?: string) =>
  world.post(`/approvals/${review}/decide`, { decision, ...more }, key === undefined ? {} : { key })

async function perform(world: ApiWorld): Promise<string> {
  const task = await world.take()
  await world.complete(task, null)
  return task.key
}

describe('a patch under review', () => {
  test('is an approval with a preview; approved, the run goes on through it', async () => {
    const world = await apiWorld()
    const id = await reviewedRun(world)
    const tried = await world.post(`/runs/${id}/patches`, { operations: WEAVE, reason: 'x', dryRun: true })
    expect(tried.body.because).toEqual(['the workflow wants it so (`patches.api: review`)'])
    const told = await propose(world, id)
    const { review } = told.body.detail
    expect([told.status, told.body.detail.preview.nodes.added]).toEqual([200, ['check']])
    const { items } = (await world.get('/approvals?status=open')).body
    expect(items).toMatchObject([
      {
        id: review,
        runId: id,
        key: null,
        title: 'Patch this run? the order looks odd',
        patch: {
          by: 'api',
          actor: 'key:admin',
          preview: { edges: { removed: [{ from: 'first', to: 'last' }] } },
        },
      },
    ])
    expect(items[0].body).toContain('- adds steps: `check`')
    const { tokens } = (await world.get(`/runs/${id}/why`)).body
    expect(tokens).toContainEqual(expect.objectContaining({ waitsFor: 'approval', subject: review }))
    expect((await world.get(`/runs/${id}`)).body.reviews).toMatchObject([
      {
        id: review,
        by: 'api',
        reason: 'the order looks odd',
        holds: { starts: ['last'], routes: ['first'] },
      },
    ])

    expect(await perform(world)).toBe('first')
    await world.event(id, ({ type }) => type === 'step.completed')
    expect((await world.get(`/runs/${id}`)).body).toMatchObject({
      status: 'waiting',
      waitingFor: ['approval'],
    })

    const withData = await decide(world, review, 'approve', { data: { n: 1 } })
    expect([withData.status, withData.body.code]).toEqual([422, 'invalid_request'])
    const reviewer = await world.key('operator')
    const decided = await decide(world, review, 'approve', { comment: 'fine' }, reviewer)
    expect([decided.status, decided.body.detail]).toMatchObject([200, { applied: true, patch: 1 }])
    expect([await perform(world), await perform(world)]).toEqual(['check', 'last'])
    await world.ended(id)
    expect((await world.get(`/runs/${id}/patches`)).body.items).toMatchObject([
      { actor: 'key:admin', approvedBy: 'key:operator', by: 'api', operations: WEAVE },
    ])
    const again = await decide(world, review, 'reject')
    expect([again.status, again.body.code, again.body.details.by]).toEqual([
      409,
      'already_decided',
      'key:operator',
    ])
  })

  test('that is rejected leaves the run as it was', async () => {
    const world = await apiWorld()
    const id = await reviewedRun(world)
    const { review } = (await propose(world, id)).body.detail
    expect((await decide(world, review, 'reject', { comment: 'no need' })).status).toBe(200)
    expect([await perform(world), await perform(world)]).toEqual(['first', 'last'])
    await world.ended(id)
    expect((await world.get(`/approvals/${review}`)).body).toMatchObject({
      status: 'rejected',
      actor: 'key:admin',
    })
    expect((await world.get(`/runs/${id}/patches`)).body.items).toEqual([])
  })

  test('is decided once by two people at once', async () => {
    const world = await apiWorld()
    const id = await reviewedRun(world)
    const { review } = (await propose(world, id)).body.detail
    const told = await Promise.all(['approve', 'reject', 'approve'].map((how) => decide(world, review, how)))
    expect(told.map(({ status }) => status).toSorted()).toEqual([200, 409, 409])
    const { items } = (await world.get(`/runs/${id}/patches`)).body
    const winner = told.findIndex(({ status }) => status === 200)
    expect(items).toHaveLength(winner === 1 ? 0 : 1)
  })

  test('that no longer fits when it is approved says so, in the answer and in the list', async () => {
    const world = await apiWorld()
    const id = await reviewedRun(world)
    const change = (value: string): Json[] => [{ op: 'replace', path: '/nodes/last/with/message', value }]
    const [one, other] = [await propose(world, id, change('one')), await propose(world, id, change('other'))]
    expect((await decide(world, one.body.detail.review, 'approve')).body.detail.applied).toBe(true)
    const late = await decide(world, other.body.detail.review, 'approve')
    expect([late.status, late.body.detail]).toMatchObject([200, { applied: false, code: 'patch_conflict' }])
    const again = await decide(world, other.body.detail.review, 'approve')
    expect([again.status, again.body.code]).toEqual([409, 'already_decided'])
    expect((await world.get(`/approvals/${other.body.detail.review}`)).body.status).toBe('refused')
    expect(await perform(world)).toBe('first')
    const task = await world.take()
    expect(task.config).toEqual({ message: 'one' })
  })

  test('is closed when its run is cancelled', async () => {
    const world = await apiWorld()
    const id = await reviewedRun(world)
    const { review } = (await propose(world, id)).body.detail
    const task = await world.take()
    await world.post(`/runs/${id}/cancel`)
    await world.fail(task)
    await world.ended(id)
    const late = await decide(world, review, 'approve')
    expect([late.status, late.body.code]).toEqual([409, 'approval_closed'])
    expect((await world.get('/approvals?status=open')).body.items).toEqual([])
  })

  test('mends a failed run, which is not retried over it', async () => {
    const world = await apiWorld()
    const id = await reviewedRun(world)
    await world.fail(await world.take())
    await world.ended(id)
    const { review } = (
      await propose(world, id, [{ op: 'add', path: '/nodes/first/with', value: { message: 'mended' } }])
    ).body.detail
    const early = await world.post(`/runs/${id}/retry`)
    expect([early.status, early.body.code]).toEqual([409, 'patch_under_review'])
    await decide(world, review, 'approve')
    expect((await world.post(`/runs/${id}/retry`)).status).toBe(200)
    expect((await world.take()).config).toEqual({ message: 'mended' })
  })

  test('with large operations keeps them out of the log, and shows them to whoever decides', async () => {
    const world = await apiWorld()
    const id = await reviewedRun(world)
    const large: Json[] = [{ op: 'replace', path: '/nodes/last/with/message', value: 'x'.repeat(50_000) }]
    const { review } = (await propose(world, id, large)).body.detail
    const log = await world.store.runs.events({ runId: id, afterSeq: 0, limit: 100 })
    expect(Math.max(...log.map(({ event }) => JSON.stringify(event).length))).toBeLessThan(5_000)
    expect((await world.get(`/approvals/${review}`)).body.patch.operations).toEqual(large)
    expect((await decide(world, review, 'approve')).body.detail.applied).toBe(true)
    expect((await world.get(`/runs/${id}/patches`)).body.items).toMatchObject([{ operations: large }])
  })
})

test('a patch that an agent sends from its step is reviewed when it adds something that writes', async () => {
  const world = await apiWorld()
  const id = await reviewedRun(world, LINE, {})
  const task = await world.take()
  const command: Command = {
    kind: 'patch',
    by: 'agent',
    stepKey: task.key,
    operations: WEAVE,
    reason: 'I want to look',
  }
  await world.store.inbox.insert({
    id: world.clock.id(),
    runId: id,
    workspace: world.workspace,
    actor: 'agent:first',
    command,
  })
  await world.transport.signals.send([{ runId: id, signal: { kind: 'look' } }])
  await world.event(id, ({ type }) => type === 'patch.proposed')
  const [approval] = (await world.get('/approvals?status=open')).body.items
  expect(approval).toMatchObject({
    key: 'first',
    patch: {
      by: 'agent',
      actor: 'agent:first',
      because: ['it adds what writes or cannot be undone: `check`'],
    },
  })
  await world.complete(task, null)
  await world.event(id, ({ type }) => type === 'step.completed')
  await decide(world, approval.id, 'approve')
  expect([await perform(world), await perform(world)]).toEqual(['check', 'last'])
  await world.ended(id)
})
