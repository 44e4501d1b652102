/**
 * API keys: made, listed, revoked.
 *
 * Invariants: a key leaves the server once, in the answer that made it, and only its hash is kept (R14). A key cannot
 * revoke itself, so an admin key is always left.
 */
import { hashApiKey } from '../auth.ts'
import type { Handlers } from '../call.ts'
import { ApiError } from '../errors.ts'
import type { HandlerParts } from '../parts.ts'

const KEY_BYTES = 24

export function keyHandlers(parts: HandlerParts): Handlers<'createKey' | 'listKeys' | 'revokeKey'> {
  const { store, clock, keys } = parts
  return {
    async createKey({ principal, body }) {
      const { name, role, expiresIn, taskTypes } = body
      const secret = `weft_${clock.token(KEY_BYTES)}`
      const at = clock.now()
      const made = await store.keys.create({
        workspace: principal.workspace,
        hash: hashApiKey(secret),
        name,
        role,
        taskTypes: taskTypes === undefined ? null : [...new Set(taskTypes)],
        expiresAt: expiresIn === undefined ? null : at + expiresIn,
        at,
      })
      if (made)
        return { status: 201, body: { ...made, key: secret }, headers: { 'cache-control': 'no-store' } }
      throw ApiError.of(
        'key_name_taken',
        `This workspace has an API key \`${name}\`, and the log of runs tells keys apart by their names. Choose another name, or revoke that key first (DELETE /keys/<id>).`,
      )
    },
    async listKeys({ principal, query }) {
      const { limit, cursor } = query
      const page = await store.keys.list({
        workspace: principal.workspace,
        limit,
        ...(cursor === undefined ? {} : { cursor }),
      })
      return { status: 200, body: page }
    },
    async revokeKey({ principal, params }) {
      if (params.id === principal.keyId) {
        throw ApiError.of(
          'own_key',
          'This is the key that the request came with, and a workspace must not lose its last admin key. Revoke it with another admin key.',
        )
      }
      const hash = await store.keys.revoke({ workspace: principal.workspace, id: params.id })
      if (hash === null) {
        throw ApiError.of(
          'key_not_found',
          `This workspace has no API key with the id \`${params.id}\`. List what there is with GET /keys (weft keys list).`,
        )
      }
      keys.forget(hash)
      return { status: 204 }
    },
  }
}
