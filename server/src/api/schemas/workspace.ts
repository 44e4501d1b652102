/** The shapes of what a workspace keeps beside its runs: variables, credentials, API keys. */
import { z } from 'zod'
import { duration, json, page, ROLES, taskType, time, WORKER_ROLE } from './vocabulary.ts'

const MAX_KEY_LIFE_MS = 3_650 * 86_400_000

export const createKeyBody = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, 'a key’s name has up to 63 letters, digits and `_ . -`')
      .describe('stands in the log of runs as who acted; unique in the workspace'),
    role: z.enum([...ROLES, WORKER_ROLE]).describe('`worker` performs tasks and reads nothing'),
    expiresIn: duration(MAX_KEY_LIFE_MS, '3650d')
      .refine((ms) => ms > 0, 'must be more than 0: a key that is never valid is of no use')
      .optional()
      .describe('never, unless given'),
    taskTypes: z
      .array(taskType)
      .min(1)
      .max(100)
      .optional()
      .describe(
        'of the role `worker` only: it registers, claims and reports tasks of these types; all, unless given',
      ),
  })
  .refine(({ role, taskTypes }) => role === WORKER_ROLE || taskTypes === undefined, {
    path: ['taskTypes'],
    message: 'go with the role `worker` only: the other roles are about more than tasks',
  })

export const variableBody = z.strictObject({ value: json }).refine(({ value }) => value !== undefined, {
  path: ['value'],
  message: 'the new value must be given; it may be any JSON value',
})

const credentialValue = z
  .record(z.string(), json)
  .describe('what the node type needs of it, such as `{ "token": "…" }`')

export const newCredentialBody = z.strictObject({ name: z.string().max(200), value: credentialValue })

export const credentialBody = z.strictObject({ value: credentialValue })

export const variable = z.object({ name: z.string(), value: json, updatedAt: time })

export const variablePage = page(variable)

export const key = z.object({
  id: z.string(),
  name: z.string(),
  role: z.string(),
  taskTypes: z.array(z.string()).nullable().describe('what a key of the role `worker` is for; null: all'),
  createdAt: time,
  expiresAt: time.nullable(),
})

export const keyPage = page(key)

export const createdKey = key.extend({ key: z.string().describe('the secret, shown this once') })

export const credential = z.object({
  name: z.string(),
  source: z.enum(['store', 'environment']).describe('environment: `WEFT_CREDENTIAL_<NAME>`, which wins'),
  keyId: z.string().nullable().describe('names the master key under which it is encrypted'),
  createdAt: time.nullable(),
  rotatedAt: time.nullable(),
  readable: z.boolean().describe('false: this server does not have that master key'),
})

export const credentialPage = page(credential)
