/** Cancel and retry by filter: a page of runs per call, with a preview of what it will touch. */
import type { RunFilter } from '../../store/store.ts'
import { type BulkTarget, retryAll, sendToAll } from '../bulk.ts'
import type { Answer, Call, Handlers } from '../call.ts'
import type { HandlerParts } from '../parts.ts'

export function bulkHandlers(parts: HandlerParts): Handlers<'cancelRuns' | 'retryRuns'> {
  return {
    cancelRuns(call) {
      const { principal, body } = call
      const { reason } = body
      const command = { kind: 'cancel', ...(reason === undefined ? {} : { reason }) } as const
      return perform(parts, call, async (targets) => ({
        queued: await sendToAll(parts, { principal, targets, command }),
      }))
    },
    retryRuns: (call) => perform(parts, call, (targets) => retryAll(parts, call, targets), { refused: [] }),
  }
}

/** @param untold what a dry run answers of the verb's own */
async function perform(
  parts: HandlerParts,
  { principal, body }: Call<'cancelRuns'> | Call<'retryRuns'>,
  send: (targets: readonly BulkTarget[]) => Promise<{ readonly queued: number }>,
  untold: object = {},
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
  const targets = page.items.map(({ id, seq, graph }) => ({ runId: id, seq, graph }))
  const sent = body.dryRun ? { queued: 0, ...untold } : await send(targets)
  return {
    status: body.dryRun ? 200 : 202,
    body: {
      dryRun: body.dryRun,
      matched,
      runs: targets.map(({ runId }) => runId),
      ...sent,
      nextCursor: page.nextCursor,
    },
  }
}
