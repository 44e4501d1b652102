import { expect, test } from 'vitest'
import { ACTS, apiWorld } from './world.ts'

const CHAIN = {
  act: { type: 'act', retry: 'off' },
  ask: { type: 'approval', needs: 'act', with: { title: 'Go on?' } },
  last: { type: 'act', needs: { ask: 'approved' }, retry: 'off' },
}

test('a fork keeps what was done, waits anew, and leaves the old run alone', async () => {
  const world = await apiWorld()
  const old = await world.run(CHAIN)
  await world.complete(await world.take(), 'done once')
  await world.waits(old)
  const told = await world.post(`/api/v1/runs/${old}/fork`, { fromStep: 'ask', reason: 'what if' })
  expect([told.status, told.body.id === old]).toEqual([202, false])
  const { id } = told.body
  await world.waits(id)
  const [started, completed] = (await world.get(`/runs/${id}/events`)).body.items
  expect(started.forkedFrom).toMatchObject({ runId: old, seq: 2, copied: 2, reason: 'what if' })
  expect(completed).toMatchObject({ type: 'step.completed', key: 'act', output: 'done once' })
  const { items } = (await world.get('/approvals?status=open')).body
  expect(items.map((item: { runId: string }) => item.runId).sort()).toEqual([old, id].sort())
  await world.post(`/approvals/${id}.1/decide`, { decision: 'approve' })
  await world.complete(await world.take(), 'done twice')
  await world.ended(id)
  expect((await world.get(`/runs/${id}`)).body).toMatchObject({ status: 'completed', output: 'done twice' })
  expect((await world.get(`/runs/${old}`)).body.status).toBe('waiting')
})

test('a fork at the end of a failed run performs the step that failed again, with another input', async () => {
  const world = await apiWorld()
  const old = await world.run(ACTS, { input: { n: 1 } })
  await world.fail(await world.take())
  await world.ended(old)
  const { seq } = (await world.get(`/runs/${old}`)).body
  const { body } = await world.post(`/api/v1/runs/${old}/fork`, { atSeq: seq, input: { n: 2 } })
  const task = await world.take()
  expect(task.runId).toBe(body.id)
  await world.complete(task, 'now')
  await world.ended(body.id)
  expect((await world.get(`/runs/${body.id}`)).body).toMatchObject({ status: 'completed', input: { n: 2 } })
  expect((await world.get(`/runs/${old}`)).body.status).toBe('failed')
})

test('one idempotency key makes one fork', async () => {
  const world = await apiWorld()
  const old = await world.run(ACTS)
  const fork = () =>
    world.post(`/api/v1/runs/${old}/fork`, { atSeq: 1 }, { headers: { 'idempotency-key': 'f1' } })
  const answers = await Promise.all([fork(), fork(), fork()])
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 202])
  expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1)
  expect(await world.count()).toBe(2)
})

test('a fork that can begin nowhere starts no run', async () => {
  const world = await apiWorld({ coordinator: false })
  const old = await world.run(CHAIN)
  for (const body of [{ atSeq: 99 }, { fromStep: 'nope' }, { fromStep: 'last' }]) {
    const told = await world.post(`/api/v1/runs/${old}/fork`, body)
    expect([told.status, told.body.code]).toEqual([422, 'invalid_fork'])
  }
  for (const body of [{}, { atSeq: 1, fromStep: 'act' }, { atSeq: 0 }])
    expect((await world.post(`/api/v1/runs/${old}/fork`, body)).status).toBe(422)
  expect(await world.count()).toBe(1)
})

test('a fork may begin with a patch: of the step that it runs again, and of what was not reached', async () => {
  const world = await apiWorld()
  await world.store.variables.set({ workspace: world.workspace, name: 'team', value: 'ops', at: 1 })
  const old = await world.run(
    { ...ACTS, last: { type: 'act', needs: 'act', retry: 'off' } },
    { input: { n: 1 } },
  )
  await world.fail(await world.take())
  await world.ended(old)
  const operations = [
    { op: 'add', path: '/nodes/act/with', value: { message: '${{ input.n }}' } },
    { op: 'add', path: '/nodes/last/with', value: { message: '${{ vars.team }}' } },
    { op: 'add', path: '/nodes/more', value: { type: 'act', needs: 'last' } },
  ]
  const told = await world.post(`/runs/${old}/fork`, {
    fromStep: 'act',
    operations,
    input: { n: 2 },
    reason: 'mend it',
  })
  expect(told.status).toBe(202)
  const { id } = told.body
  const first = await world.take()
  expect([first.runId, first.config, first.scope.input]).toEqual([
    id,
    { message: '${{ input.n }}' },
    { n: 2 },
  ])
  await world.complete(first, null)
  const second = await world.take()
  expect([second.key, second.scope.vars]).toEqual(['last', { team: 'ops' }])
  await world.complete(second, null)
  await world.complete(await world.take(), 'more')
  await world.ended(id)
  expect((await world.get(`/runs/${id}/patches`)).body.items).toMatchObject([
    { actor: 'key:admin', reason: 'mend it', operations },
  ])
  expect((await world.get(`/runs/${old}/patches`)).body.items).toEqual([])
})

test('a fork whose patch is wrong, or not allowed, starts no run', async () => {
  const world = await apiWorld()
  const old = await world.run(CHAIN)
  await world.complete(await world.take(), 'done')
  await world.waits(old)
  const forked = (operations: unknown, key?: string) =>
    world.post(`/runs/${old}/fork`, { fromStep: 'ask', operations }, key === undefined ? {} : { key })
  const wrong = await forked([
    { op: 'add', path: '/nodes/x', value: { type: 'log', needs: 'nobody', with: {} } },
    { op: 'add', path: '/nodes/y', value: { type: 'log', needs: 'noone', with: { message: 'y' } } },
  ])
  expect([wrong.status, wrong.body.code]).toEqual([422, 'patch_invalid'])
  expect(wrong.body.details.problems.length).toBeGreaterThan(2)
  const reached = await forked([{ op: 'remove', path: '/nodes/act' }])
  expect([reached.status, reached.body.code]).toEqual([409, 'patch_touches_reached'])
  const rewired = await forked([{ op: 'remove', path: '/nodes/ask' }])
  expect([rewired.status, rewired.body.code]).toEqual([409, 'patch_touches_reached'])
  const operator = await forked([{ op: 'add', path: '/output', value: 1 }], await world.key('operator'))
  expect([operator.status, operator.body.code]).toEqual([403, 'forbidden'])
  expect(await world.count()).toBe(1)
})
