/**
 * Credentials: values go in and never come out (R14). No answer, problem or remembered request of these routes holds a
 * value; of a request under an idempotency key only a keyed fingerprint of the value is compared.
 */
import type { JsonObject } from '@weft/engine'
import type { ListedCredential } from '../../vault/vault.ts'
import type { Handlers } from '../call.ts'
import { ApiError } from '../errors.ts'
import { recall, remember } from '../idempotency.ts'
import type { HandlerParts } from '../parts.ts'
import { normaliseValue } from '../values.ts'

type CredentialRoute = 'createCredential' | 'listCredentials' | 'rotateCredential' | 'deleteCredential'

const NAME = /^[a-z][a-z0-9_.-]{0,62}$/i
const MAX_BYTES = 64 * 1024
const ROUTE = 'POST /credentials'

export function credentialHandlers(parts: HandlerParts): Handlers<CredentialRoute> {
  const { vault, store, clock, environmentCredentials } = parts
  return {
    async createCredential({ principal: { workspace }, body: { name, value: given }, idempotencyKey }) {
      requireName(name)
      const value = checkedValue(given)
      const keyed =
        idempotencyKey === undefined
          ? null
          : {
              workspace,
              route: ROUTE,
              key: idempotencyKey,
              body: { name, fingerprint: vault.fingerprint(value) },
            }
      const before = keyed && (await recall(store, keyed))
      if (before) return { status: 200, body: before }
      if (environmentCredentials.has(name)) throw shadowed(name)
      const row = await vault.create({ workspace, name }, value)
      if (row === null) {
        throw ApiError.of(
          'credential_exists',
          `This workspace has a credential \`${name}\` already. Give it a new value with PUT /credentials/${name} (weft credentials rotate ${name}), or choose another name; nothing was changed.`,
        )
      }
      const answer = answerOf({ ...row, readable: true })
      return { status: 201, body: keyed ? await remember(store, clock, keyed, answer) : answer }
    },
    async listCredentials({ principal: { workspace } }) {
      const items = new Map<string, JsonObject>()
      for (const name of environmentCredentials.names()) items.set(name, { name, ...FROM_ENVIRONMENT })
      for (const row of await vault.list(workspace)) {
        if (!environmentCredentials.has(row.name)) items.set(row.name, answerOf(row))
      }
      return { status: 200, body: { items: [...items.values()].sort(byName), nextCursor: null } }
    },
    async rotateCredential({ principal: { workspace }, params: { name }, body }) {
      const value = checkedValue(body.value)
      if (environmentCredentials.has(name)) throw shadowed(name)
      const row = await vault.rotate({ workspace, name }, value)
      if (row === null) throw notFound(name)
      return { status: 200, body: answerOf({ ...row, readable: true }) }
    },
    async deleteCredential({ principal: { workspace }, params: { name } }) {
      if (!(await vault.delete({ workspace, name }))) throw notFound(name)
      return { status: 204 }
    },
  }
}

const FROM_ENVIRONMENT = {
  source: 'environment',
  keyId: null,
  createdAt: null,
  rotatedAt: null,
  readable: true,
} as const

const answerOf = ({ name, keyId, createdAt, rotatedAt, readable }: ListedCredential): JsonObject => ({
  name,
  source: 'store',
  keyId,
  createdAt,
  rotatedAt,
  readable,
})

const byName = (a: JsonObject, b: JsonObject): number => (String(a.name) < String(b.name) ? -1 : 1)

function requireName(name: string): void {
  if (NAME.test(name)) return
  throw ApiError.of(
    'invalid_request',
    `\`${name}\` cannot name a credential: a name begins with a letter, has letters, digits and \`_ . -\`, and at most 63 characters. Choose another; nothing was stored.`,
  )
}

/** Says what is wrong without showing any of it. */
function checkedValue(given: Readonly<Record<string, unknown>>): JsonObject {
  const value = normaliseValue(given, 'value') as JsonObject
  if (Object.keys(value).length === 0) {
    throw ApiError.of(
      'invalid_request',
      'The credential is empty. Its value is a JSON object with what the node type needs, such as {"token":"…"}; nothing was stored.',
    )
  }
  const bytes = Buffer.byteLength(JSON.stringify(value))
  if (bytes <= MAX_BYTES) return value
  throw ApiError.of(
    'value_too_large',
    `The credential is ${bytes} bytes of JSON; at most ${MAX_BYTES} are kept. Nothing was stored.`,
  )
}

const shadowed = (name: string): ApiError =>
  ApiError.of(
    'credential_in_environment',
    `The server has \`${name}\` from its environment (WEFT_CREDENTIAL_…), which wins over what is stored. Change it there, or start the server without it and try again; nothing was changed.`,
  )

const notFound = (name: string): ApiError =>
  ApiError.of(
    'credential_not_found',
    `This workspace stores no credential \`${name}\`. List what there is with GET /credentials (weft credentials list).`,
  )
