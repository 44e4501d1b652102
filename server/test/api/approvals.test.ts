import { expect, test } from 'vitest'
import { type ApiWorld, ASKS, apiWorld } from './world.ts'

const FORM = {
  type: 'object',
  required: ['amount'],
  properties: { amount: { type: 'number' }, note: { type: 'string', default: '-' } },
}

async function waiting(world: ApiWorld, withForm = false): Promise<{ runId: string; id: string }> {
  const nodes = withForm
    ? { ask: { type: 'approval', with: { title: 'How much?', form: FORM, assignees: ['ann'] } } }
    : ASKS
  const runId = await world.run(nodes)
  await world.waits(runId)
  const { body } = await world.get(`/approvals?runId=${runId}&status=open`)
  return { runId, id: body.items[0].id }
}

test('a decision ends the wait, and the form’s data with its defaults is the output', async () => {
  const world = await apiWorld()
  const { runId, id } = await waiting(world, true)
  expect((await world.get(`/approvals/${id}`)).body).toMatchObject({
    title: 'How much?',
    form: FORM,
    assignees: ['ann'],
    status: 'open',
  })
  const told = await world.post(`/approvals/${id}/decide`, {
    decision: 'approve',
    data: { amount: 3 },
    comment: 'fine',
  })
  expect(told).toMatchObject({ status: 200, body: { accepted: true } })
  await world.ended(runId)
  expect((await world.get(`/runs/${runId}`)).body.output).toEqual({ amount: 3, note: '-' })
  expect((await world.get(`/approvals/${id}`)).body).toMatchObject({ status: 'approved', actor: 'key:admin' })
})

test('data that misses the form decides nothing', async () => {
  const world = await apiWorld()
  const { id } = await waiting(world, true)
  for (const data of [undefined, {}, { amount: 'much' }]) {
    const { status, body } = await world.post(`/approvals/${id}/decide`, { decision: 'approve', data })
    expect([status, body.code]).toEqual([422, 'invalid_form'])
    expect(body.problems[0].pointer).toMatch(/^\/data/)
  }
  expect((await world.get(`/approvals/${id}`)).body.status).toBe('open')
})

test('a rejection needs no form; nothing takes it, so the run fails', async () => {
  const world = await apiWorld()
  const { runId, id } = await waiting(world, true)
  expect((await world.post(`/approvals/${id}/decide`, { decision: 'reject' })).status).toBe(200)
  await world.ended(runId)
  expect((await world.get(`/runs/${runId}`)).body).toMatchObject({
    status: 'failed',
    error: { code: 'rejected' },
  })
})

test('deciding twice answers who decided', async () => {
  const world = await apiWorld()
  const { runId, id } = await waiting(world)
  const answers = await Promise.all(
    [1, 2, 3].map(() => world.post(`/approvals/${id}/decide`, { decision: 'approve' }, { key: undefined })),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409])
  await world.ended(runId)
  const again = await world.post(`/approvals/${id}/decide`, { decision: 'reject' })
  expect([again.status, again.body.code, again.body.details]).toMatchObject([
    409,
    'already_decided',
    { outcome: 'approved', by: 'key:admin' },
  ])
})

test('an idempotency key makes a repeated decision the same answer', async () => {
  const world = await apiWorld()
  const { runId, id } = await waiting(world)
  const decide = () =>
    world.post(`/approvals/${id}/decide`, { decision: 'approve' }, { headers: { 'idempotency-key': 'd1' } })
  const first = await decide()
  await world.ended(runId)
  const again = await decide()
  expect([again.status, again.body]).toEqual([200, first.body])
})

test('an approval of a cancelled run is closed, and says so', async () => {
  const world = await apiWorld()
  const { runId, id } = await waiting(world)
  await world.post(`/runs/${runId}/cancel`)
  await world.ended(runId)
  expect((await world.post(`/approvals/${id}/decide`, { decision: 'approve' })).body).toMatchObject({
    status: 409,
    code: 'approval_closed',
  })
})

test('a retry opens the approval again, and the old one is superseded', async () => {
  const world = await apiWorld()
  const { runId, id } = await waiting(world)
  await world.post(`/runs/${runId}/cancel`)
  await world.ended(runId)
  await world.post(`/runs/${runId}/retry`)
  const { body } = await world.get(`/approvals?runId=${runId}&status=open`)
  expect(body.items).toHaveLength(1)
  expect(body.items[0].id).not.toBe(id)
  expect((await world.post(`/approvals/${id}/decide`, { decision: 'approve' })).body.code).toBe('superseded')
  expect((await world.post(`/approvals/${body.items[0].id}/decide`, { decision: 'approve' })).status).toBe(
    200,
  )
})

test('an approval that nobody opened', async () => {
  const world = await apiWorld()
  expect((await world.post('/approvals/none.1/decide', { decision: 'approve' })).body.code).toBe(
    'approval_not_found',
  )
})
