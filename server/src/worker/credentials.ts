/**
 * Where the values of credentials come from (R14): workers read them by name when an attempt asks, and nobody else does.
 *
 * The environment wins over what is stored: whoever runs the machine has the last word. It holds for every workspace.
 */
import { InvalidError, isObject, type Json, type JsonObject, type Problem } from '@weft/engine'
import type { Clock } from '../clock.ts'
import { nodeError } from '../nodes/errors.ts'
import { CredentialUnreadable, type Vault } from '../vault/vault.ts'
import { persistently } from './blobs.ts'

export interface CredentialSource {
  /** `null`: there is none of that name. Throws when it exists and cannot be read. */
  get(workspace: string, name: string): Promise<JsonObject | null> | JsonObject | null
  /** What a person does to make the credential exist, as the end of a sentence. */
  howToSet(name: string): string
}

export interface EnvironmentCredentials extends CredentialSource {
  /** As workflows may write them: `shop_api`. */
  names(): readonly string[]
  has(name: string): boolean
}

const PREFIX = 'WEFT_CREDENTIAL_'

/** `shop-api` → `WEFT_CREDENTIAL_SHOP_API` */
export const credentialVariable = (name: string): string =>
  PREFIX + name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')

/**
 * Credentials from the environment, the same for every workspace.
 *
 * @param values JSON texts by variable, `WEFT_CREDENTIAL_SHOP_API` or the part behind the prefix
 * @throws InvalidError for every value that is not a JSON object; no problem shows a value
 */
export function environmentCredentials(values: Readonly<Record<string, string>>): EnvironmentCredentials {
  const credentials = new Map<string, JsonObject>()
  const problems: Problem[] = []
  for (const [key, text] of Object.entries(values)) {
    const variable = key.startsWith(PREFIX) ? key : PREFIX + key
    const value = parse(text)
    if (isObject(value)) credentials.set(variable, value)
    else {
      problems.push({
        code: 'credential_invalid',
        pointer: variable,
        message: `${variable} must be a JSON object such as {"token":"…"}; what it holds now is ${value === undefined ? 'not JSON' : 'JSON of another kind'}.`,
      })
    }
  }
  if (problems.length > 0) throw new InvalidError(problems)
  return {
    get: (_, name) => credentials.get(credentialVariable(name)) ?? null,
    names: () => [...credentials.keys()].map((variable) => variable.slice(PREFIX.length).toLowerCase()),
    has: (name) => credentials.has(credentialVariable(name)),
    howToSet: (name) =>
      `set ${credentialVariable(name)} to its JSON value, such as {"token":"…"}, and start Weft again`,
  }
}

/** The environment's credentials, then the stored ones of the workspace. */
export function allCredentials(
  environment: CredentialSource,
  vault: Pick<Vault, 'read'>,
  clock: Clock,
): CredentialSource {
  return {
    async get(workspace, name) {
      const given = await environment.get(workspace, name)
      if (given !== null) return given
      const read = await persistently(clock, () => vault.read({ workspace, name }).catch(asUnreadable))
      if (read instanceof CredentialUnreadable) throw nodeError('credential_unreadable', read.message)
      return read
    },
    howToSet: (name) => `store it with \`weft credentials create ${name}\`, or ${environment.howToSet(name)}`,
  }
}

/** An answer, not a fault of the database: there is no use in asking again. */
function asUnreadable(error: unknown): CredentialUnreadable {
  if (error instanceof CredentialUnreadable) return error
  throw error
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

/** The credential that a step names. Throws `credential_missing`. */
export async function readCredential(
  source: CredentialSource,
  workspace: string,
  name: string,
): Promise<JsonObject> {
  const value = await source.get(workspace, name)
  if (value !== null) return value
  throw nodeError(
    'credential_missing',
    `The credential \`${name}\`, which the step names, does not exist: ${source.howToSet(name)}.`,
    { details: { credential: name } },
  )
}

/** Values as nodes get them: text each, what is nested as JSON text. */
export function credentialTexts(value: JsonObject): Record<string, string> {
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, typeof item === 'string' ? item : JSON.stringify(item)]),
  )
}
