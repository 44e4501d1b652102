import { type Command, isObject } from '@weft/engine'
import { expect, test } from 'vitest'
import { killAndTakeOver, world } from './world.ts'

const HOUR = 60 * 60 * 1000
const GUARDED = {
  patches: { api: 'review' },
  nodes: {
    ask: { type: 'wait', with: { message: 'go' } },
    last: { type: 'log', needs: 'ask', with: { message: 'x' } },
  },
}
const patch: Command = {
  kind: 'patch',
  reason: 'it looks odd',
  operations: [
    { op: 'add', path: '/nodes/more', value: { type: 'log', needs: 'last', with: { message: 'more' } } },
  ],
}

type World = Awaited<ReturnType<typeof world>>

async function proposed(w: World): Promise<{ runId: string; review: string }> {
  const runId = await w.begin(GUARDED)
  await w.event(runId, 'step.waiting')
  const verdict = await w.command(runId, patch)
  const detail = verdict?.detail
  if (!isObject(detail) || typeof detail.review !== 'string') throw new Error('it is not under review')
  return { runId, review: detail.review }
}

test('a review that nobody looks at costs a row, and its time runs out by the clock of the run', async () => {
  const w = await world()
  const { runId, review } = await proposed(w)
  await w.coordinator.idle()
  expect(await w.row(runId)).toMatchObject({
    status: 'waiting',
    waitingFor: ['approval', 'message'],
    wakeAt: w.clock.now() + 24 * HOUR,
  })
  await w.pass(24 * HOUR + 1_100)
  await w.event(runId, 'patch.reviewed')
  expect(await w.store.approvals.get({ workspace: 'default', id: review })).toMatchObject({
    status: 'timeout',
  })
  expect(await w.row(runId)).toMatchObject({ waitingFor: ['message'], wakeAt: null })
})

test('an approval that was inserted just before a kill applies the patch after it, once', async () => {
  const killed = await world()
  const { runId, review } = await proposed(killed)
  await killed.coordinator.idle()
  killed.isDead = true
  const command = { kind: 'decide', waitId: review, decision: 'approve' } as const
  await killed.store.inbox.insert({ id: 'early', runId, actor: 'ann', command, workspace: 'default' })
  const w = await killAndTakeOver(killed)
  await w.event(runId, 'patch.reviewed')
  expect(await w.store.inbox.verdict('early')).toMatchObject({ accepted: true, detail: { applied: true } })
  const state = await w.folded(runId)
  expect([state.patchCount, state.reviews.size, state.graph.nodes.has('more')]).toEqual([1, 0, true])
})
