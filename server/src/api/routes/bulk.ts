/** Cancel and retry by filter: a page of runs per call, with a preview of what it will touch. */
import type { Command } from '@weft/engine'
import type { RunFilter } from '../../store/store.ts'
import { sendToAll } from '../bulk.ts'
import type { Answer, Call, Handlers } from '../call.ts'
import type { HandlerParts } from '../parts.ts'

type Verb = Extract<Command, { kind: 'cancel' | 'retry' }>

export function bulkHandlers(parts: HandlerParts): Handlers<'cancelRuns' | 'retryRuns'> {
  return {
    cancelRuns: (call) => {
      const { reason } = call.body
      return perform(parts, call, { kind: 'cancel', ...(reason === undefined ? {} : { reason }) })
    },
    retryRuns: (call) => perform(parts, call, { kind: 'retry' }),
  }
}

async function perform(
  parts: HandlerParts,
  { principal, body }: Call<'cancelRuns'> | Call<'retryRuns'>,
  command: Verb,
): Promise<Answer> {
  const { status, workflow, labels } = body.filter
  // A parent cancels and retries its children itself.
  const filter: Omit<RunFilter, 'limit'> = {
    workspace: principal.workspace,
    roots: true,
    status,
    ...(workflow === undefined ? {} : { workflow }),
    ...(labels === undefined ? {} : { labels }),
  }
  const matched = await parts.store.runs.count(filter)
  const page = await parts.store.runs.list({
    ...filter,
    limit: body.limit,
    ...(body.cursor === undefined ? {} : { cursor: body.cursor }),
  })
  const targets = page.items.map(({ id, seq }) => ({ runId: id, seq }))
  const queued = body.dryRun ? 0 : await sendToAll(parts, { principal, targets, command })
  return {
    status: body.dryRun ? 200 : 202,
    body: {
      dryRun: body.dryRun,
      matched,
      runs: targets.map(({ runId }) => runId),
      queued,
      nextCursor: page.nextCursor,
    },
  }
}
