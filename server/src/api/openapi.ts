/**
 * The contract as an OpenAPI 3.1 document: what programs read to know the API, and what the reference page is made of.
 *
 * Owns nothing of the contract: every sentence and shape stands in `contract.ts`, `schemas.ts` and `errors.ts`. Each
 * route is described once, under `/api/v1` (at the root for health, metrics and these documents); the other paths under
 * which it answers are said in words.
 */
import type { Json, JsonObject } from '@weft/engine'
import { z } from 'zod'
import { ROUTES, type RouteContract, type RouteName } from './contract.ts'
import { PROBLEMS } from './errors.ts'
import * as messages from './live-messages.ts'
import { refusalsOf } from './operations.ts'
import * as schemas from './schemas.ts'

const PREFIX = '/api/v1'

const PARAMETERS: Readonly<Record<string, string>> = {
  id: 'the id, as lists and other answers name it',
  reference: '`name`, `name@tag` or `name@version`',
  name: 'the name, as the list has it',
  tag: 'begins with a letter; letters, digits and `_ . -`',
  hash: '`sha256:` and 64 hexadecimal digits',
}

const REQUEST_ID = {
  'x-request-id': {
    description: 'The request’s id: the caller’s own where it sent one.',
    schema: { type: 'string' },
  },
}

/** Of calls that start work, where a limit concerns them. */
const RATE_LIMIT = {
  'ratelimit-limit': {
    description: 'The figure of `WEFT_RATE_LIMITS` that has the least left: calls within any 60 seconds.',
    schema: { type: 'integer' },
  },
  'ratelimit-remaining': { description: 'Calls that still fit.', schema: { type: 'integer' } },
  'ratelimit-reset': { description: 'Seconds until one more fits.', schema: { type: 'integer' } },
}

export function openApiDocument(version: string): JsonObject {
  const registry = registeredSchemas()
  const paths: Record<string, Record<string, Json>> = {}
  for (const [name, contract] of Object.entries(ROUTES) as [RouteName, RouteContract][]) {
    const path = `${contract.ops ? '' : PREFIX}${contract.path.replaceAll(/:(\w+)/g, '{$1}')}`
    paths[path] ??= {}
    paths[path][contract.method.toLowerCase()] = operation(name, contract, registry)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Weft',
      version,
      description:
        'Durable runs of graphs of steps. Every path under `/api/v1` also answers under `/api`; those of runs, approvals and `/orchestrate` at the root, too. Errors are RFC 9457 problems with a stable `code`. Lists are pages: `nextCursor` is the `cursor` of the next one, and `null` on the last.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: componentSchemas(registry),
      responses: problemResponses(),
      securitySchemes: {
        key: {
          type: 'http',
          scheme: 'bearer',
          description:
            'An API key. Its role decides what it may do: viewer < operator < editor < admin; worker performs tasks only.',
        },
      },
    },
  }
}

type Registry = z.core.$ZodRegistry<{ id: string }>

const componentName = (name: string): string => `${name.charAt(0).toUpperCase()}${name.slice(1)}`

function isSchema(value: unknown): value is z.ZodType {
  return value instanceof z.ZodType
}

/** Bodies and answers that have a name of their own; a name is that of the export. */
function registeredSchemas(): Registry {
  const used = new Set<unknown>([schemas.problemBody])
  for (const { body, answers, messages } of Object.values<RouteContract>(ROUTES)) {
    for (const schema of [body, ...Object.values(answers), messages?.client, messages?.server])
      used.add(schema)
  }
  const registry: Registry = z.registry<{ id: string }>()
  for (const [name, schema] of Object.entries({ ...schemas, ...messages })) {
    if (isSchema(schema) && used.has(schema)) registry.add(schema, { id: componentName(name) })
  }
  return registry
}

const schemaOptions = { io: 'input', unrepresentable: 'any' } as const

function withoutMeta(schema: object): JsonObject {
  const { $schema: _schema, $id: _id, '~standard': _standard, ...rest } = schema as JsonObject
  return rest
}

function componentSchemas(registry: Registry): JsonObject {
  const { schemas: all } = z.toJSONSchema(registry, {
    ...schemaOptions,
    uri: (id) => `#/components/schemas/${id}`,
  })
  return Object.fromEntries(Object.entries(all).map(([id, schema]) => [id, withoutMeta(schema)]))
}

function schemaOf(schema: z.ZodType, registry: Registry): JsonObject {
  const id = registry.get(schema)?.id
  return id === undefined
    ? withoutMeta(z.toJSONSchema(schema, schemaOptions))
    : { $ref: `#/components/schemas/${id}` }
}

function operation(name: RouteName, contract: RouteContract, registry: Registry): JsonObject {
  const body = contract.body && requestBody(contract, contract.body, registry)
  return {
    operationId: name,
    tags: [contract.ops ? 'ops' : (contract.path.split('/')[1] as string)],
    summary: contract.summary,
    ...descriptionOf(name, contract),
    ...(contract.role === 'open' ? {} : { 'x-weft-role': contract.role }),
    ...(contract.messages
      ? {
          'x-weft-messages': {
            client: schemaOf(contract.messages.client, registry),
            server: schemaOf(contract.messages.server, registry),
          },
        }
      : {}),
    security: contract.role === 'open' ? [] : [{ key: [] }],
    parameters: parametersOf(contract),
    ...(body ? { requestBody: body } : {}),
    responses: responsesOf(contract, registry),
  }
}

function descriptionOf(name: RouteName, { alias }: RouteContract): { description?: string } {
  const also = alias === undefined ? null : `Also as \`${PREFIX}${alias}\`.`
  const sentences = [also, refusalsOf(name)].filter((sentence) => sentence !== null)
  return sentences.length === 0 ? {} : { description: sentences.join(' ') }
}

function parametersOf(contract: RouteContract): JsonObject[] {
  const inPath = [...contract.path.matchAll(/:(\w+)/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    ...(PARAMETERS[name] === undefined ? {} : { description: PARAMETERS[name] }),
    schema: { type: 'string' },
  }))
  const query = contract.query ? withoutMeta(z.toJSONSchema(contract.query, schemaOptions)) : {}
  const required = (query.required ?? []) as string[]
  const inQuery = Object.entries((query.properties ?? {}) as Record<string, JsonObject>).map(
    ([name, { description, ...schema }]) => ({
      name,
      in: 'query',
      required: required.includes(name),
      ...(description === undefined ? {} : { description }),
      schema,
    }),
  )
  const key = {
    name: 'idempotency-key',
    in: 'header',
    required: false,
    description:
      'The same key with the same body is the same request, for 7 days: it is done once and answered again.',
    schema: { type: 'string', minLength: 1, maxLength: 255 },
  }
  return [...inPath, ...inQuery, ...(contract.keyed ? [key] : [])]
}

function requestBody(contract: RouteContract, body: z.ZodType, registry: Registry): JsonObject {
  return {
    required: !body.safeParse(undefined).success,
    ...(contract.yaml
      ? { description: 'A definition may also be sent as it is: as YAML, or as JSON without an envelope.' }
      : {}),
    content: {
      'application/json': { schema: schemaOf(body, registry) },
      ...(contract.yaml
        ? { 'application/yaml': { schema: { type: 'string', description: 'the definition’s text' } } }
        : {}),
    },
  }
}

function responsesOf(contract: RouteContract, registry: Registry): JsonObject {
  const good = Object.entries(contract.answers).map(([status, answer]) => [
    status,
    {
      description: isSchema(answer) ? (answer.description ?? contract.summary) : answer,
      headers: contract.limited ? { ...REQUEST_ID, ...RATE_LIMIT } : REQUEST_ID,
      ...contentOf(contract, Number(status), answer, registry),
    },
  ])
  const refused = problemStatuses(contract)
    .filter((status) => !(status in contract.answers))
    .map((status) => [status, { $ref: `#/components/responses/Problem${status}` }])
  return Object.fromEntries([...good, ...refused])
}

function contentOf(
  contract: RouteContract,
  status: number,
  answer: z.ZodType | string,
  registry: Registry,
): JsonObject {
  if (status === 204 || status === 101) return {}
  if (answer === schemas.problemBody)
    return { content: { 'application/problem+json': { schema: schemaOf(schemas.problemBody, registry) } } }
  const json = { schema: isSchema(answer) ? schemaOf(answer, registry) : { type: 'object' } }
  const other = { schema: { type: 'string' } }
  const types = contract.types ?? ['application/json']
  return { content: Object.fromEntries(types.map((type) => [type, type.includes('json') ? json : other])) }
}

/** Statuses with which a route may refuse, by what it reads. */
function problemStatuses(contract: RouteContract): number[] {
  const hasId = contract.path.includes('/:')
  const isWrite = contract.method !== 'GET'
  return [
    ...(contract.query || contract.body ? [400] : []),
    ...(contract.role === 'open' ? [] : [401]),
    403,
    ...(hasId || contract.body ? [404] : []),
    ...(isWrite && contract.role !== 'viewer' ? [409] : []),
    ...(contract.body ? [413, 415, 422] : []),
    ...(contract.limited ? [429] : []),
    500,
    ...(contract.role === 'open' ? [] : [503]),
  ]
}

/** One response for each status that a problem has, with the codes that come with it. */
function problemResponses(): JsonObject {
  const statuses = [...new Set(Object.values(PROBLEMS).map(([status]) => status))].sort((a, b) => a - b)
  return Object.fromEntries(
    statuses.map((status) => {
      const codes = Object.entries(PROBLEMS).filter(([, [of]]) => of === status)
      return [
        `Problem${status}`,
        {
          description: codes.map(([code, [, title]]) => `\`${code}\`: ${title}.`).join(' '),
          headers: status === 429 ? { ...REQUEST_ID, ...RATE_LIMIT } : REQUEST_ID,
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/ProblemBody' } } },
        },
      ]
    }),
  )
}
