/**
 * One hop of a request: where to, by which method, with which headers. The first comes from the caller, the next from a
 * redirect, and each is judged by the guard before it is sent.
 *
 * Across origins only the headers that describe the request itself go along. A list of known credential headers would
 * miss the next `X-Shop-Secret`.
 */
import { ACCEPTED_ENCODINGS } from './encoding.ts'
import { EgressError, shownUrl } from './error.ts'

export interface Hop {
  method: string
  url: URL
  /** Lower-case names. */
  headers: Record<string, string>
  body: string | Uint8Array | undefined
}

/** Headers that say how a message travels are this client's to write. */
const FRAMING_HEADERS = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

export function firstHop(
  method: string,
  address: string,
  given: Readonly<Record<string, string>>,
  body: string | Uint8Array | undefined,
): Hop {
  const url = URL.parse(address)
  if (url === null) {
    throw new EgressError(
      'invalid_url',
      'The URL is not valid: it needs a scheme, a host and a path, as in https://api.example.com/orders.',
    )
  }
  const upper = method.toUpperCase()
  if (!/^[A-Z-]+$/.test(upper) || upper === 'CONNECT' || upper === 'TRACE' || upper === 'TRACK') {
    throw new EgressError(
      'invalid_request',
      `The method \`${method}\` is not sent. Use GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS.`,
    )
  }
  const headers: Record<string, string> = {
    accept: '*/*',
    'accept-encoding': ACCEPTED_ENCODINGS,
    'user-agent': 'weft',
  }
  for (const name in given) {
    const lower = name.toLowerCase()
    // A host other than the one that was judged would reach another site behind the same address.
    if (lower === 'host')
      throw new EgressError('invalid_request', 'The Host header follows from the URL and cannot be set.')
    if (!FRAMING_HEADERS.has(lower)) headers[lower] = given[name]!
  }
  return { method: upper, url, headers, body }
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])

const CROSS_ORIGIN_HEADERS =
  /^(accept|accept-.+|content-.+|user-agent|range|if-.+|idempotency-key|x-weft-.+|traceparent|tracestate)$/

export const isRedirect = (status: number, location: string | undefined): location is string =>
  REDIRECTS.has(status) && location !== undefined && location !== ''

export function nextHop(hop: Hop, status: number, location: string): Hop {
  const url = URL.parse(location, hop.url.href)
  if (url === null) {
    throw new EgressError(
      'invalid_url',
      `${shownUrl(hop.url)} redirects to something that is not a URL (${status}).`,
    )
  }
  let { method, headers, body } = hop
  const becomesGet = status === 303 ? method !== 'HEAD' : status <= 302 && method === 'POST'
  if (becomesGet) {
    method = 'GET'
    body = undefined
    headers = pick(headers, (name) => !name.startsWith('content-'))
  }
  if (url.origin !== hop.url.origin) headers = pick(headers, (name) => CROSS_ORIGIN_HEADERS.test(name))
  return { method, url, headers, body }
}

const pick = (headers: Record<string, string>, keep: (name: string) => boolean): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => keep(name)))

export const tooManyRedirects = (address: string, maxRedirects: number): EgressError =>
  new EgressError(
    'egress_redirect_limit',
    `${shownUrl(new URL(address))} redirects more than ${maxRedirects} times. Use the address it ends at, if it ends.`,
  )
