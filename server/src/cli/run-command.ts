/** A command to one run, and how its answer is shown. */
import type { Session } from './context.ts'
import { resolveRun } from './reference.ts'
import { brief } from './sentences.ts'
import type { CommandAnswer, RunDetail } from './shapes.ts'

export const RUN_ARGUMENT = 'an id, its last 6 or more characters, @last, or @last:<workflow>'
export const RUN_REFERENCES = `
A run is named by its id, by the last 6 or more characters of it, by @last, or by @last:<workflow>.`

export async function sendToRun(
  session: Session,
  reference: string,
  verb: string,
  body: object,
): Promise<number> {
  const client = await session.client()
  const id = await resolveRun(client, reference)
  const answer = await client.call<CommandAnswer>('POST', `/api/v1/runs/${id}/${verb}`, { body })
  if (session.isJson) {
    session.json(answer)
    return 0
  }
  const run = await client.call<RunDetail>('GET', `/api/v1/runs/${id}`)
  const isPending = answer.accepted === undefined && verb !== 'recover'
  session.line(
    `${isPending ? 'stored, and not answered yet' : 'accepted'}  ${id}  ${run.status}${answer.detail === undefined ? '' : `  ${brief(answer.detail)}`}`,
  )
  return 0
}
