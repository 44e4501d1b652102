/** Messages by correlation: sent to whoever waits for them, kept when nobody does (correlation.ts). */
import { isObject } from '@weft/engine'
import { announce } from '../../correlation.ts'
import type { MessageRow } from '../../store/message-store.ts'
import type { Store } from '../../store/store.ts'
import type { Call, Handlers } from '../call.ts'
import { ApiError } from '../errors.ts'
import { remember } from '../idempotency.ts'
import type { HandlerParts } from '../parts.ts'
import { normaliseValue, storeValue } from '../values.ts'

export const MESSAGE_TTL_MS = 86_400_000

export interface MessageParts extends Pick<HandlerParts, 'transport' | 'clock' | 'log'> {
  readonly store: Pick<Store, 'messages' | 'blobs' | 'idempotency'>
}

export function messageHandlers(
  parts: MessageParts,
): Handlers<'postMessage' | 'listMessages' | 'getMessage' | 'deleteMessage'> {
  const { messages } = parts.store

  async function find(workspace: string, id: string): Promise<MessageRow> {
    const message = await messages.get({ workspace, id })
    if (message) return message
    throw ApiError.of(
      'message_not_found',
      `This workspace has no message \`${id}\`. It may have expired; list the kept ones with GET /messages (weft messages list).`,
    )
  }

  /** Without who has it, the status is of no use: `announce` answers that. */
  function stateOf({ id, expiresAt }: MessageRow, runs: readonly string[]) {
    const status = runs.length > 0 ? 'delivered' : expiresAt > parts.clock.now() ? 'kept' : 'expired'
    return { id, status, runs, expiresAt }
  }

  function viewOf(message: MessageRow) {
    const { name, correlationKey, data, actor, createdAt } = message
    return { ...stateOf(message, message.runs), name, key: correlationKey, data, actor, createdAt }
  }

  return {
    async postMessage(call) {
      const { principal, body } = call
      const { workspace, actor } = principal
      const id = await messageIdOf(parts, call)
      const data = await storeValue(parts, workspace, normaliseValue(body.data ?? null, 'data'), 'data')
      const createdAt = parts.clock.now()
      const { kind, message } = await messages.keep({
        id,
        workspace,
        name: body.name,
        correlationKey: body.key ?? null,
        data,
        actor,
        createdAt,
        expiresAt: createdAt + (body.ttl ?? MESSAGE_TTL_MS),
      })
      // Of a repeated call too: the first may have died before it looked.
      const isKept = message.runs.length === 0 && message.expiresAt > createdAt
      const runs = isKept ? await announce(parts, message) : message.runs
      return { status: kind === 'kept' ? 202 : 200, body: stateOf(message, runs) }
    },

    async listMessages({ principal, query }) {
      const { name, key, limit, cursor } = query
      const page = await messages.list({
        workspace: principal.workspace,
        limit,
        ...(name === undefined ? {} : { name }),
        ...(key === undefined ? {} : { correlationKey: key }),
        ...(cursor === undefined ? {} : { cursor }),
      })
      return { status: 200, body: { items: page.items.map(viewOf), nextCursor: page.nextCursor } }
    },

    async getMessage({ principal, params }) {
      return { status: 200, body: viewOf(await find(principal.workspace, params.id)) }
    },

    async deleteMessage({ principal, params }) {
      const { workspace } = principal
      const { id } = await find(workspace, params.id)
      if ((await messages.delete({ workspace, id })) !== 'given') return { status: 204 }
      const { runs } = await find(workspace, id)
      throw ApiError.of(
        'message_delivered',
        `Message \`${id}\` was delivered and cannot be taken back. It is with ${runs.length === 1 ? `run ${runs[0]}` : `${runs.length} runs`}; cancel what should not go on.`,
        { details: { runs: [...runs] } },
      )
    },
  }
}

/** The sender's id; without one it is new, and stable under one idempotency key. */
async function messageIdOf(parts: MessageParts, call: Call<'postMessage'>): Promise<string> {
  const { principal, body, idempotencyKey } = call
  const own = body.id ?? parts.clock.id()
  if (idempotencyKey === undefined) return own
  const { workspace } = principal
  const keyed = { workspace, route: 'POST /messages', key: idempotencyKey, body }
  const answer = await remember(parts.store, parts.clock, keyed, { messageId: own })
  return isObject(answer) && typeof answer.messageId === 'string' ? answer.messageId : own
}
