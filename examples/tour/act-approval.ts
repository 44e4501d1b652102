/** Third act: a run waits for a person, and a key decides. */
import { readExample } from '../runner/example.ts'
import type { Cast } from './cast.ts'
import { follow } from './follow.ts'

export async function approvalAct({ weft, service, paper }: Cast): Promise<void> {
  paper.heading(
    '3 · A person decides',
    'A risky order waits for somebody. It would wait for a day, through any restart. examples/07-approval',
  )
  const { source } = readExample('07-approval')
  const { id } = await weft.client.call<{ id: string }>('POST', '/api/v1/runs', {
    body: { source, input: { service: service.url } },
  })
  const following = await follow(id, weft.client, paper)
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
  await following.finished
  const orders = (await service.ledger(id)).filter(({ method }) => method === 'POST').map(({ path }) => path)
  paper.line(`${key === 'a' ? 'Approved' : 'Rejected'}: the service was called at ${orders.join(', ')}`)
}
