/** First act: HTTP to Slack, drawn live, up to the message as the receiver got it. */
import { readExample } from '../runner/example.ts'
import type { Cast } from './cast.ts'
import { follow } from './follow.ts'

export async function slackAct({ weft, service, paper }: Cast): Promise<void> {
  paper.heading(
    '1 · HTTP to Slack',
    'An endpoint that fails twice, twenty orders of which each is rated, one message. examples/02-http-to-slack',
  )
  const before = (await service.slackMessages()).length
  const { source } = readExample('02-http-to-slack')
  const { id } = await weft.client.call<{ id: string }>('POST', '/api/v1/runs', {
    body: { source, input: { service: service.url } },
  })
  const following = await follow(id, weft.client, paper)
  const run = await following.finished
  if (!paper.isTerminal) paper.line()

  if (run.status !== 'completed') {
    for (const { id: step, error, handled } of run.steps) {
      if (error !== null && !handled) {
        paper.paragraph(
          `Run ${id} ended ${run.status} at step \`${step}\`: ${error.code}: ${error.message}`,
          'red',
        )
      }
    }
    return
  }
  const messages = (await service.slackMessages()).slice(before)
  for (const { channel, text } of messages) {
    paper.line(`#${channel} got:`)
    paper.quotation(text)
  }
  paper.line()
  paper.paragraph(`Run ${id} is completed. The nonce was drawn by the service when it started.`, 'dim')
}
