/**
 * Requests read against the contract: query and body parsed by their schemas, with sentences that name the place, and
 * the nearest name where one is wrong.
 */
import { escapePointer, nearestName, type Problem } from '@weft/engine'
import { z } from 'zod'
import { pathsOf, ROUTES, type RouteContract } from './contract.ts'
import { ApiError, summarise } from './errors.ts'
import { labels } from './schemas.ts'

type Issue = z.core.$ZodIssue

export function readQuery(contract: RouteContract, query: unknown): unknown {
  if (!contract.query) {
    const [unknown] = Object.keys((query ?? {}) as object)
    if (unknown === undefined) return undefined
    throw ApiError.of(
      'invalid_query',
      `${contract.method} ${contract.path} takes no query parameters; \`${unknown}\` was given. Remove it.`,
      {
        problems: [
          {
            code: 'unknown_parameter',
            message: `\`${unknown}\` is not a parameter of this route`,
            pointer: `/${escapePointer(unknown)}`,
          },
        ],
      },
    )
  }
  const result = contract.query.safeParse(query ?? {})
  if (result.success) return result.data
  const problems = result.error.issues.flatMap((issue) =>
    problemsOf(issue, namesOf(contract.query), 'parameter'),
  )
  throw ApiError.of('invalid_query', `${summarise(problems, 'The query')} Nothing was done.`, { problems })
}

export function readBody(contract: RouteContract, body: unknown): unknown {
  if (!contract.body) return undefined
  const result = contract.body.safeParse(body === null ? undefined : body)
  if (result.success) return result.data
  const problems = problemsOfValue(contract.body, result.error)
  const needed =
    body === undefined || body === null
      ? `${contract.method} ${contract.path} needs a JSON body (Content-Type: application/json). `
      : ''
  throw ApiError.of('invalid_request', `${needed}${summarise(problems, 'The body')} Nothing was done.`, {
    problems,
  })
}

/** Everything that is wrong with a value that came as JSON. */
export const problemsOfValue = (schema: z.ZodType, error: z.ZodError): Problem[] =>
  error.issues.flatMap((issue) => problemsOf(issue, namesOf(schema), 'key'))

/** Labels of a definition follow the rules of a submit's. */
export function problemsOfLabels(given: unknown): Problem[] {
  const result = labels.safeParse(given)
  if (result.success) return []
  return result.error.issues.flatMap((issue) =>
    problemsOf({ ...issue, path: ['labels', ...issue.path] }, [], 'key'),
  )
}

/** The names that an object schema knows at its top. */
function namesOf(schema: z.ZodType | undefined): string[] {
  const inner = schema instanceof z.ZodOptional ? schema.unwrap() : schema
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : []
}

function problemsOf(issue: Issue, names: readonly string[], word: 'parameter' | 'key'): Problem[] {
  const pointer = issue.path.map((segment) => `/${escapePointer(String(segment))}`).join('')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const suggestion = issue.path.length === 0 ? nearestName(key, names) : undefined
      const hint = suggestion
        ? ` Did you mean \`${suggestion}\`?`
        : names.length > 0
          ? ` There are: ${names.join(', ')}.`
          : ''
      return {
        code: `unknown_${word}`,
        message: `\`${key}\` is not a ${word} of this request.${hint}`,
        pointer: `${pointer}/${escapePointer(key)}`,
        ...(suggestion ? { suggestion } : {}),
      }
    })
  }
  return [{ code: issue.code === 'custom' ? 'invalid_value' : issue.code, message: sentence(issue), pointer }]
}

const sentence = (issue: Issue): string => {
  const text = issue.message.replace(/^Invalid input: /, '')
  return text.endsWith('.') ? text : `${text}.`
}

interface KnownPath {
  readonly path: string
  readonly pattern: RegExp
  readonly method: string
}

const KNOWN_PATHS: readonly KnownPath[] = Object.values(ROUTES as Record<string, RouteContract>).flatMap(
  (contract) =>
    pathsOf(contract).map((path) => ({
      path,
      method: contract.method,
      pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/:[a-z]+/gi, '[^/]+')}/?$`),
    })),
)

/** What to say about a request that no route takes: another method, or the nearest path. */
export function routeNotFound(method: string, url: string): ApiError {
  const path = url.replace(/\?.*$/s, '')
  const methods = [
    ...new Set(KNOWN_PATHS.filter((known) => known.pattern.test(path)).map((known) => known.method)),
  ]
  if (methods.length > 0) {
    return ApiError.of(
      'method_not_allowed',
      `${path} knows ${methods.join(', ')}, not ${method}. Use one of these methods.`,
      {
        headers: { allow: methods.join(', ') },
      },
    )
  }
  const nearest = nearestPath(method, path) ?? nearestPath(method, `/api/v1${path}`)
  const hint = nearest ? ` The nearest is ${nearest}.` : ''
  return ApiError.of(
    'route_not_found',
    `There is no route ${method} ${path}.${hint} The API stands under /api/v1.`,
  )
}

/** Compares segment by segment, so that an id in the path does not hide what was meant. */
function nearestPath(method: string, path: string): string | undefined {
  const segments = path.split('/').filter((segment) => segment !== '')
  let best: { path: string; score: number } | undefined
  for (const known of KNOWN_PATHS) {
    const wanted = known.path.split('/').filter((segment) => segment !== '')
    if (wanted.length !== segments.length) continue
    let score = known.method === method ? 1 : 0
    for (const [index, segment] of wanted.entries()) {
      const given = segments[index] as string
      if (segment === given) score += 3
      else if (segment.startsWith(':')) score += 1
      else if (nearestName(given, [segment]) === undefined) score = Number.NEGATIVE_INFINITY
    }
    if (score > 0 && (!best || score > best.score)) best = { path: `${known.method} ${known.path}`, score }
  }
  return best?.path
}
