/** Third act: a run waits for a person; meanwhile a patch weaves two steps into it; a key decides. */
import { setTimeout as pause } from 'node:timers/promises'
import { readExample } from '../runner/example.ts'
import type { Cast } from './cast.ts'
import { follow } from './follow.ts'

/** Looks at the order once more, and notes it, before it is released. */
const WEAVE = [
  {
    op: 'add',
    path: '/nodes/look_again',
    value: {
      type: 'http',
      needs: { sign_off: 'approved' },
      with: { url: "${{ input.service + '/orders/' + input.order }}" },
    },
  },
  {
    op: 'add',
    path: '/nodes/note',
    value: {
      type: 'log',
      needs: 'look_again',
      with: { message: 'Released at risk ${{ steps.look_again.output.body.risk }}.' },
    },
  },
  { op: 'add', path: '/nodes/release/needs/note', value: 'success' },
  { op: 'remove', path: '/nodes/release/needs/sign_off' },
]

const LOOK_EVERY_MS = 50

export async function approvalAct({ weft, service, paper }: Cast): Promise<void> {
  paper.heading(
    '3 · A person decides',
    'A risky order waits for somebody. It would wait for a day, through any restart. Meanwhile a patch weaves two steps into this one run. examples/07-approval',
  )
  const { source } = readExample('07-approval')
  const { id } = await weft.client.call<{ id: string }>('POST', '/api/v1/runs', {
    body: { source, input: { service: service.url } },
  })
  const following = await follow(id, weft.client, paper)
  while (!following.view()?.waitingFor.includes('approval')) await pause(LOOK_EVERY_MS)
  await paper.rest()
  await weft.client.call('POST', `/api/v1/runs/${id}/patches`, {
    body: { operations: WEAVE, reason: 'look twice before releasing' },
  })
  // Asked for only once the picture shows what is being decided about.
  while (!following.view()?.steps.some(({ id }) => id === 'look_again')) await pause(LOOK_EVERY_MS)
  following.note(`${paper.paint('bold', '[a]')}pprove  ${paper.paint('bold', '[r]')}eject`)
  const key = await paper.key('a', 'r')
  const { items } = await weft.client.call<{ items: { id: string }[] }>('GET', '/api/v1/approvals', {
    query: { runId: id, status: 'open' },
  })
  await weft.client.call('POST', `/api/v1/approvals/${items[0]?.id}/decide`, {
    body:
      key === 'a'
        ? { decision: 'approve', comment: 'Decided in the tour.', data: { limit: 1_000 } }
        : { decision: 'reject', comment: 'Decided in the tour.' },
  })
  following.note('')
  const { steps } = await following.finished
  const orders = (await service.ledger(id)).filter(({ method }) => method === 'POST').map(({ path }) => path)
  const woven = steps.filter(
    ({ id, status }) => ['look_again', 'note'].includes(id) && status === 'completed',
  )
  const patches = await weft.client.call<{ items: { actor: string; reason: string }[] }>(
    'GET',
    `/api/v1/runs/${id}/patches`,
  )
  for (const { actor, reason } of patches.items) {
    const blame = `Patched by ${actor}: ${reason}`
    paper.line(`${paper.paint('green', blame)}; ${woven.length} woven steps were performed.`)
  }
  paper.line(`${key === 'a' ? 'Approved' : 'Rejected'}: the service was called at ${orders.join(', ')}`)
}
