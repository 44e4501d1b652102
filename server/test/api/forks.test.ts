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
