/**
 * What browsers may send here, and what they are told (CORS).
 *
 * A page from anywhere can reach a port of this machine through the user's browser. Hence two checks before anything
 * else is looked at: a server on loopback answers to names of this machine only (a foreign Host is DNS rebinding), and
 * every server refuses pages of other origins but those of `WEFT_CORS_ORIGINS`. Programs send no Origin. Keys never
 * travel in cookies, so that no answer allows credentials. A server on another address cannot know its names: there
 * the keys protect it, and whatever proxy stands before it.
 */
import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { ApiError } from './errors.ts'

const PREFLIGHT_COUNTS_SECONDS = 600
const METHODS = 'GET, POST, PUT, DELETE'
const READ_HEADERS = 'authorization, content-type, idempotency-key, last-event-id, x-request-id'
const SHOWN_HEADERS = 'x-request-id, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset'

type RequestHeaders = FastifyRequest['headers']

export interface BrowserVerdict {
  readonly headers: Readonly<Record<string, string>>
  /** The browser asks whether it may send a request; these headers are the whole answer. */
  readonly isPreflight: boolean
}

const NOTHING: BrowserVerdict = { headers: {}, isPreflight: false }

/** Judges a request by its headers. Throws `host_refused`, `origin_refused`. */
export type BrowserCheck = (method: string, headers: RequestHeaders) => BrowserVerdict

export function createBrowserCheck(settings: {
  readonly host: string
  readonly corsOrigins: readonly string[]
}): BrowserCheck {
  const { host: boundHost } = settings
  const isLocalServer = isLoopback(boundHost)
  const allowed = new Set(settings.corsOrigins)
  // What is cached for one origin must not be shown to another.
  const sameOrigin: BrowserVerdict =
    allowed.size === 0 ? NOTHING : { headers: { vary: 'Origin' }, isPreflight: false }
  return (method, headers) => {
    const { host = '', origin } = headers
    if (isLocalServer && !isLoopback(hostNameOf(host)) && hostNameOf(host) !== boundHost.toLowerCase()) {
      throw ApiError.of(
        'host_refused',
        `The Host header says \`${host}\`, and this server answers on this machine only (${boundHost}, localhost). This protects against pages that point a name of theirs at your machine; call it by http://localhost or 127.0.0.1.`,
      )
    }
    if (origin === undefined || isSameOrigin(origin, host)) return sameOrigin
    if (!allowed.has(origin)) {
      throw ApiError.of(
        'origin_refused',
        `A page of \`${origin}\` called this server, and pages of other origins may not. Call the API from a program, open the server’s own pages, or start the server with WEFT_CORS_ORIGINS=${origin} if that page is yours.`,
      )
    }
    const isPreflight = method === 'OPTIONS' && headers['access-control-request-method'] !== undefined
    return { headers: isPreflight ? preflightHeaders(origin, headers) : answerHeaders(origin), isPreflight }
  }
}

const answerHeaders = (origin: string): Record<string, string> => ({
  vary: 'Origin',
  'access-control-allow-origin': origin,
  'access-control-expose-headers': SHOWN_HEADERS,
})

const preflightHeaders = (origin: string, headers: RequestHeaders): Record<string, string> => ({
  vary: 'Origin',
  'access-control-allow-origin': origin,
  'access-control-allow-methods': METHODS,
  'access-control-allow-headers': READ_HEADERS,
  'access-control-max-age': String(PREFLIGHT_COUNTS_SECONDS),
  // A page of the internet that calls a server of this machine or network.
  ...(headers['access-control-request-private-network'] === 'true'
    ? { 'access-control-allow-private-network': 'true' }
    : {}),
})

const LOOPBACK_NAMES = new Set(['localhost', '::1', '[::1]'])

/** An address or name that means this machine. */
export function isLoopback(host: string): boolean {
  const bare = host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/^::ffff:/, '')
  return (
    LOOPBACK_NAMES.has(bare) || bare.endsWith('.localhost') || (isIP(bare) === 4 && bare.startsWith('127.'))
  )
}

/** Host name of a Host header or an authority, without the port. */
function hostNameOf(authority: string): string {
  return authority.toLowerCase().replace(/:\d+$/, '')
}

function isSameOrigin(origin: string, host: string): boolean {
  const authority = /^https?:\/\/([^/]+)$/i.exec(origin)?.[1]
  return authority !== undefined && authority.toLowerCase() === host.toLowerCase()
}
