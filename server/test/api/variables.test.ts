import { expect, test } from 'vitest'
import { apiWorld } from './world.ts'

const put = (name: string) => `/api/v1/variables/${name}`

test('a variable is set, read, listed and deleted, whatever JSON it is', async () => {
  const world = await apiWorld({ coordinator: false })
  for (const value of ['eu', null, 0, { b: 1, a: ['x'] }]) {
    const told = await world.ask('PUT', put('region'), { body: { value } })
    expect([told.status, told.body]).toMatchObject([200, { name: 'region', value }])
    expect((await world.get(put('region'))).body).toEqual(told.body)
  }
  await world.ask('PUT', put('a_first'), { body: { value: true } })
  const { body } = await world.get('/api/v1/variables')
  expect(body).toMatchObject({
    items: [
      { name: 'a_first', value: true },
      { name: 'region', value: { b: 1, a: ['x'] } },
    ],
    nextCursor: null,
  })
  expect((await world.ask('DELETE', put('region'))).status).toBe(204)
  for (const method of ['GET', 'DELETE'] as const) {
    const told = await world.ask(method, put('region'))
    expect([told.status, told.body.code]).toEqual([404, 'variable_not_found'])
  }
})

test('a run keeps the value that stood when it started', async () => {
  const world = await apiWorld()
  await world.ask('PUT', put('region'), { body: { value: 'eu' } })
  const nodes = {
    ask: { type: 'approval', with: { title: 'Go on?' } },
    say: { type: 'act', needs: 'ask', with: { to: '${{ vars.region }}' } },
  }
  const runId = await world.run(nodes)
  await world.waits(runId)
  await world.ask('PUT', put('region'), { body: { value: 'us' } })
  const [approval] = (await world.get('/approvals?status=open')).body.items
  await world.post(`/approvals/${approval.id}/decide`, { decision: 'approve' })
  const task = await world.take()
  expect(task.scope).toMatchObject({ vars: { region: 'eu' } })
  await world.complete(task, {})
  await world.ended(runId)
})

test('who may read may not write, and another workspace sees nothing', async () => {
  const world = await apiWorld({ coordinator: false })
  await world.ask('PUT', put('region'), { body: { value: 'eu' }, key: await world.key('editor') })
  for (const role of ['viewer', 'operator']) {
    const key = await world.key(role)
    expect((await world.get(put('region'), { key })).status).toBe(200)
    expect((await world.ask('PUT', put('region'), { body: { value: 'us' }, key })).status).toBe(403)
    expect((await world.ask('DELETE', put('region'), { key })).status).toBe(403)
  }
  expect((await world.get(put('region'), { key: null })).status).toBe(401)
  const stranger = await world.key('admin', `${world.workspace}-other`)
  expect((await world.get('/api/v1/variables', { key: stranger })).body.items).toEqual([])
  expect((await world.get(put('region'), { key: stranger })).status).toBe(404)
  expect((await world.ask('DELETE', put('region'), { key: stranger })).status).toBe(404)
  await world.ask('PUT', put('region'), { body: { value: 'theirs' }, key: stranger })
  expect((await world.get(put('region'))).body.value).toBe('eu')
})

test('what no expression could read, or no log should hold, is refused', async () => {
  const world = await apiWorld({ coordinator: false })
  const code = async (name: string, body: unknown): Promise<unknown[]> => {
    const told = await world.ask('PUT', put(name), { body })
    return [told.status, told.body.code]
  }
  for (const name of ['9lives', 'with-hyphen', 'a.b', 'x'.repeat(64)])
    expect(await code(name, { value: 1 })).toEqual([422, 'invalid_request'])
  expect(await code('region', {})).toEqual([422, 'invalid_request'])
  expect(await code('region', { valeu: 1 })).toEqual([422, 'invalid_request'])
  expect(await code('region', { value: 'x'.repeat(33_000) })).toEqual([422, 'value_too_large'])
  const blob = { $blob: `sha256:${'0'.repeat(64)}`, bytes: 1, contentType: 'text/plain' }
  expect(await code('region', { value: [blob] })).toEqual([422, 'invalid_request'])
  expect((await world.ask('PUT', put('region'), { text: '{"value":' })).body.code).toBe('malformed_json')
  expect((await world.get('/api/v1/variables')).body.items).toEqual([])
})
