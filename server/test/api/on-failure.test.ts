import { failureRunId } from '@weft/engine'
import { expect, test } from 'vitest'
import { ACTS, apiWorld } from './world.ts'

test('a workflow that names another for its failures: the other runs, and why says which run it is', async () => {
  const world = await apiWorld()
  const definition = (name: string, more: object) => ({ definition: { weft: 1, name, ...more } })
  const pushed = await world.post(
    '/api/v1/workflows',
    definition('fragile', { onFailure: 'alarm', nodes: ACTS }),
  )
  expect([pushed.status, pushed.body.warnings ?? []]).toEqual([201, []])
  const submit = async (): Promise<string> =>
    (await world.post('/api/v1/runs', { workflow: 'fragile' })).body.id
  const hints = async (id: string): Promise<string> =>
    (await world.get(`/runs/${id}/why`)).body.hints.join('\n')

  const alone = await submit()
  await world.fail(await world.take())
  await world.ended(alone)
  expect(await hints(alone)).toContain('Its failure started nothing: `onFailure` names `alarm`')

  const alarm = { nodes: { tell: { type: 'set', with: { failed: '${{ input.run.id }}' } } } }
  expect((await world.post('/api/v1/workflows', definition('alarm', alarm))).status).toBe(201)
  const id = await submit()
  await world.fail(await world.take())
  await world.ended(id)
  const started = failureRunId(id, (await world.get(`/runs/${id}`)).body.seq)
  await world.ended(started)
  expect((await world.get(`/runs/${started}`)).body.output).toEqual({ failed: id })
  expect(await hints(id)).toContain(`Its failure started run ${started} of \`alarm\`.`)
})
