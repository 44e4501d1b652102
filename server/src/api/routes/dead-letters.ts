/** Dead letters: steps that failed for good, and their replay, which is a retry of the run that somebody started. */
import { parseKey } from '@weft/engine'
import type { DeadLetterRow } from '../../store/store.ts'
import { retryAll } from '../bulk.ts'
import type { Handlers } from '../call.ts'
import { ApiError } from '../errors.ts'
import type { HandlerParts } from '../parts.ts'

type DeadLetterRoute = 'listDeadLetters' | 'getDeadLetter' | 'replayDeadLetter' | 'replayDeadLetters'

export function deadLetterHandlers(parts: HandlerParts): Handlers<DeadLetterRoute> {
  const { store } = parts
  return {
    async listDeadLetters({ principal, query }) {
      const page = await store.deadLetters.list({ workspace: principal.workspace, ...query })
      return { status: 200, body: { items: page.items.map(viewOf), nextCursor: page.nextCursor } }
    },
    async getDeadLetter({ principal, params }) {
      const { letter, attempts, input } = await find(parts, principal.workspace, params.id)
      const graph = await parts.graphs.get(letter.graph)
      const node = graph.definition.nodes[parseKey(letter.key).id] ?? null
      return { status: 200, body: { ...viewOf(letter), attempts, node, input } }
    },
    async replayDeadLetter(call) {
      const { letter } = await find(parts, call.principal.workspace, call.params.id)
      const root = await parts.reader.row(call.principal.workspace, letter.root.runId)
      await parts.admit(call, await parts.graphs.get(root.graph))
      return parts.sendCommand({
        principal: call.principal,
        runId: letter.root.runId,
        command: () => ({ kind: 'retry' }),
        ...(call.idempotencyKey === undefined
          ? {}
          : {
              idempotency: {
                key: call.idempotencyKey,
                route: `POST /dead-letters/${letter.id}/replay`,
                body: call.body,
              },
            }),
      })
    },
    async replayDeadLetters(call) {
      const { principal, body } = call
      const { filter, dryRun, limit, cursor } = body
      const page = await store.deadLetters.list({
        workspace: principal.workspace,
        replayable: true,
        ...filter,
        limit,
        ...(cursor === undefined ? {} : { cursor }),
      })
      const roots = new Map(page.items.map(({ root }) => [root.runId, root]))
      const targets = [...roots.values()]
      const sent = dryRun ? { queued: 0, refused: [] } : await retryAll(parts, call, targets)
      return {
        status: dryRun ? 200 : 202,
        body: {
          dryRun,
          letters: page.items.map(({ id }) => id),
          runs: [...roots.keys()],
          ...sent,
          nextCursor: page.nextCursor,
        },
      }
    },
  }
}

async function find({ store }: HandlerParts, workspace: string, id: string) {
  const found = await store.deadLetters.get({ workspace, id })
  if (found) return found
  throw ApiError.of(
    'dead_letter_not_found',
    `This workspace has no dead letter \`${id}\`. Its run may have been retried or deleted since: list what there is with GET /dead-letters (weft dlq list).`,
  )
}

const viewOf = ({ graph: _, root, ...letter }: DeadLetterRow) => ({
  ...letter,
  rootId: root.runId,
  replayable: root.status === 'failed' || root.status === 'cancelled',
})
