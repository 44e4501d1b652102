/** Variables: settings of the workspace that runs read as `vars.<name>`. A run keeps the values that stood when it started. */
import { isBlobRef, isObject, type Json } from '@weft/engine'
import type { Handlers } from '../call.ts'
import { ApiError } from '../errors.ts'
import type { HandlerParts } from '../parts.ts'
import { MAX_INLINE_BYTES, normaliseValue } from '../values.ts'

type VariableRoute = 'listVariables' | 'getVariable' | 'setVariable' | 'deleteVariable'

/** What an expression can name. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/

export function variableHandlers({ store, clock }: HandlerParts): Handlers<VariableRoute> {
  return {
    async listVariables({ principal: { workspace } }) {
      return { status: 200, body: { items: await store.variables.list({ workspace }), nextCursor: null } }
    },
    async getVariable({ principal: { workspace }, params: { name } }) {
      const variable = (await store.variables.list({ workspace })).find((known) => known.name === name)
      if (!variable) throw notFound(name)
      return { status: 200, body: variable }
    },
    async setVariable({ principal: { workspace }, params: { name }, body }) {
      if (!NAME.test(name)) {
        throw ApiError.of(
          'invalid_request',
          `\`${name}\` cannot name a variable: expressions read it as \`vars.<name>\`, so it has letters, digits and \`_\`, does not begin with a digit, and is at most 63 characters long. Choose another; nothing was stored.`,
        )
      }
      const value = keepable(normaliseValue(body.value, 'value'))
      const updatedAt = Math.round(clock.now())
      await store.variables.set({ workspace, name, value, at: updatedAt })
      return { status: 200, body: { name, value, updatedAt } }
    },
    async deleteVariable({ principal: { workspace }, params: { name } }) {
      if (!(await store.variables.delete({ workspace, name }))) throw notFound(name)
      return { status: 204 }
    },
  }
}

const notFound = (name: string): ApiError =>
  ApiError.of(
    'variable_not_found',
    `This workspace has no variable \`${name}\`. List what there is with GET /variables (weft vars list).`,
  )

/** Every run that reads the variable copies it into its log, and nothing keeps a blob alive for it. */
function keepable(value: Json): Json {
  const bytes = Buffer.byteLength(JSON.stringify(value))
  if (bytes > MAX_INLINE_BYTES) {
    throw ApiError.of(
      'value_too_large',
      `The value is ${bytes} bytes of JSON; a variable has at most ${MAX_INLINE_BYTES}, since every run that reads it keeps a copy. Split it, or give it to the run as input.`,
    )
  }
  if (namesBlob(value)) {
    throw ApiError.of(
      'invalid_request',
      'The value has a `$blob` in it, and a variable does not keep blobs from being removed. Give the reference to the run as input.',
    )
  }
  return value
}

const namesBlob = (value: Json): boolean =>
  isBlobRef(value) ||
  (Array.isArray(value)
    ? value.some(namesBlob)
    : isObject(value)
      ? Object.values(value).some(namesBlob)
      : false)
