/** A call and its answer, as the routes of the service see them. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'

export interface Call {
  method: string
  path: string
  query: URLSearchParams
  /** What stood in the place of `:name` in the route's path, decoded. */
  params: Record<string, string>
  headers: IncomingHttpHeaders
  body: Buffer
  caller: Caller
  /** Calls back when the answer is out or the caller has hung up. */
  onClose(callback: () => void): void
}

/** Who calls, by the headers that Weft's node types send. */
export interface Caller {
  run: string | null
  step: string | null
  round: number | null
  attempt: number | null
  idempotencyKey: string | null
}

export interface Answer {
  status?: number
  headers?: Record<string, string>
  /** Text, a stream, or anything else as JSON; absent for an empty body. */
  body?: unknown | Readable
}

export interface Route {
  method: string
  /** Segments; `:name` stands for any one segment. */
  path: string
  answer(call: Call): Answer | Promise<Answer>
}

export const route = (method: string, path: string, answer: Route['answer']): Route => ({
  method,
  path,
  answer,
})

export const problem = (status: number, error: string): Answer => ({ status, body: { error } })

/** A whole number from the query, within its bounds, or the fallback. */
export function numberOf(call: Call, name: string, fallback: number, max = 1_000_000_000): number {
  const text = call.query.get(name)
  const value = text === null || text === '' ? fallback : Number(text)
  return Number.isFinite(value) ? Math.min(Math.max(Math.trunc(value), 0), max) : fallback
}

/** The body as an object: JSON, or a form. Undefined when it is neither. */
export function fieldsOf(call: Call): Record<string, unknown> | undefined {
  const text = call.body.toString()
  if (call.headers['content-type']?.startsWith('application/x-www-form-urlencoded')) {
    return Object.fromEntries(new URLSearchParams(text))
  }
  const value = jsonOf(text)
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
}

export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
