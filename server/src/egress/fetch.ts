/**
 * `fetch` for node types and model clients: the standard's shape, the guard's rules.
 *
 * Differs from the standard where the guard needs it: the request's body is read before it is sent (so that a 307 can
 * send it again), the response is bounded, and a redirect across origins drops every header of the caller's own
 * invention, not `Authorization` alone.
 */
import { pipeline, Readable, Transform } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { Connections } from './connections.ts'
import { decodingStreams, tooLarge } from './encoding.ts'
import { single } from './exchange.ts'
import { describeFailure } from './failure.ts'
import type { Guard } from './guard.ts'
import { firstHop, type Hop, isRedirect, nextHop, tooManyRedirects } from './hop.ts'

export type GuardedFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

export function guardedFetch(means: {
  guard: Guard
  connections: Connections
  maxBytes: number
  maxRedirects: number
}): GuardedFetch {
  const { guard, connections, maxBytes, maxRedirects } = means
  return async (input, init) => {
    const address = input instanceof Request ? input.url : String(input)
    // Before `Request` sees the URL: its refusals are TypeErrors without a code.
    guard.check(firstHop('GET', address, {}, undefined).url)
    const request = new Request(input, init)
    const body = request.body === null ? undefined : new Uint8Array(await request.arrayBuffer())
    const limit = request.redirect === 'manual' ? undefined : request.redirect === 'error' ? 0 : maxRedirects

    let hop = firstHop(request.method, address, Object.fromEntries(request.headers), body)
    for (let redirects = 0; ; redirects++) {
      const answer = await send(hop, connections, guard, request.signal)
      const location = single(answer.headers.location)
      if (limit === undefined || !isRedirect(answer.statusCode, location)) {
        return responseOf(answer, hop, { maxBytes, redirected: redirects > 0 })
      }
      await answer.body.dump()
      if (redirects === limit) throw tooManyRedirects(address, limit)
      hop = nextHop(hop, answer.statusCode, location)
    }
  }
}

async function send(
  hop: Hop,
  connections: Connections,
  guard: Guard,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  const pool = connections.to(guard.check(hop.url))
  try {
    return await pool.request({
      path: hop.url.pathname + hop.url.search,
      method: hop.method,
      headers: hop.headers,
      body: hop.body,
      signal,
    })
  } catch (error) {
    // As the standard has it: who aborts gets their own reason back.
    if (signal.aborted) throw signal.reason
    throw describeFailure(error, hop.url, hop.method)
  }
}

const BODILESS = new Set([204, 205, 304])

function responseOf(
  { statusCode, statusText, headers, body }: Dispatcher.ResponseData,
  hop: Hop,
  { maxBytes, redirected }: { maxBytes: number; redirected: boolean },
): Response {
  const decoders = decodingStreams(single(headers['content-encoding']))
  const list = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    if (decoders !== undefined && (name === 'content-encoding' || name === 'content-length')) continue
    for (const item of Array.isArray(value) ? value : [value ?? '']) list.append(name, item)
  }

  const empty = hop.method === 'HEAD' || BODILESS.has(statusCode)
  if (empty) void body.dump()
  const stream = empty ? null : (Readable.toWeb(bounded(body, decoders ?? [], maxBytes)) as ReadableStream)
  const response = new Response(stream, { status: statusCode, statusText, headers: list })
  return Object.defineProperties(response, {
    url: { value: hop.url.href },
    redirected: { value: redirected },
  })
}

/** The decoded body, cut off with `response_too_large` at the first byte beyond the limit. */
function bounded(body: Readable, decoders: Transform[], maxBytes: number): Readable {
  let bytes = 0
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      if (bytes > maxBytes) done(tooLarge(maxBytes))
      else done(null, chunk)
    },
  })
  // The reader of `counter` learns of every failure; pipeline ends the connection.
  pipeline([body, ...decoders, counter], () => {})
  return counter
}
