/**
 * The one client for outgoing HTTP of nodes and tools.
 *
 * Owns the order of things: the guard judges the URL, the connection judges the address, the response is counted, a
 * redirect begins again at the guard. Does not decide about retries (`EgressError.retryable` tells) and does not know
 * credentials: headers come complete from the caller.
 *
 * Invariants
 * 1. No byte leaves for a URL that `guard.check` has not let through, redirects included.
 * 2. No response is held beyond its limit, compressed or not.
 */
import { type AllowEntry, parseAllowList } from './allow.ts'
import { type Connections, createConnections, type Resolve } from './connections.ts'
import { decodeBody } from './encoding.ts'
import { EgressError, shownUrl } from './error.ts'
import { exchange, type Interruption, single } from './exchange.ts'
import { type GuardedFetch, guardedFetch } from './fetch.ts'
import { createGuard, type Guard } from './guard.ts'
import { firstHop, type Hop, isRedirect, nextHop, tooManyRedirects } from './hop.ts'

export { EgressError } from './error.ts'

export interface EgressOptions {
  /** The entries of `WEFT_EGRESS_ALLOW` and `--allow`, as written. */
  allow: readonly string[]
  /** Default 16 MiB, the size a step's output may have. */
  maxResponseBytes?: number
  /** Default 10. */
  maxRedirects?: number
  /** Default 10 s. */
  connectTimeoutMs?: number
  /** The addresses of a name; the system's resolver unless given. */
  resolve?: Resolve
}

export interface EgressRequest {
  method: string
  url: string
  headers?: Readonly<Record<string, string>>
  body?: string | Uint8Array
  signal?: AbortSignal
  /** For the whole request: connection, redirects, body. Without it the signal alone ends a request early. */
  timeoutMs?: number
  /** 0 hands the redirect itself back. */
  maxRedirects?: number
  maxResponseBytes?: number
}

export interface EgressResponse {
  status: number
  /** Lower-case names; repeated headers are joined with `, `. */
  headers: Record<string, string>
  /** Where the answer came from, after redirects. */
  url: string
  /** Decoded by its Content-Encoding. */
  body: Uint8Array
}

export interface Egress {
  request(request: EgressRequest): Promise<EgressResponse>
  /** `fetch` under the same rules, its body streamed. Rejects with `EgressError`, or with the reason of its signal, which alone limits its time. */
  readonly fetch: GuardedFetch
  /** Ends every connection; called once the workers have drained. */
  close(): Promise<void>
}

const DEFAULT_MAX_RESPONSE_BYTES = 16 * 1024 * 1024
const DEFAULT_MAX_REDIRECTS = 10
const DEFAULT_CONNECT_TIMEOUT_MS = 10_000

export function createEgress(options: EgressOptions): Egress {
  const guard = createGuard(entriesOf(options.allow))
  const connections = createConnections({
    resolve: options.resolve,
    connectTimeoutMs: options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
  })
  const maxBytes = options.maxResponseBytes ?? DEFAULT_MAX_RESPONSE_BYTES
  const maxRedirects = options.maxRedirects ?? DEFAULT_MAX_REDIRECTS
  return {
    request: (request) =>
      perform(request, {
        guard,
        connections,
        maxBytes: request.maxResponseBytes ?? maxBytes,
        maxRedirects: request.maxRedirects ?? maxRedirects,
      }),
    fetch: guardedFetch({ guard, connections, maxBytes, maxRedirects }),
    close: connections.close,
  }
}

function entriesOf(allow: readonly string[]): readonly AllowEntry[] {
  const parsed = parseAllowList(allow)
  if (!parsed.ok) throw new Error(`The allow list is not valid: ${parsed.problems.join('; ')}`)
  return parsed.entries
}

interface Means {
  guard: Guard
  connections: Connections
  maxBytes: number
  maxRedirects: number
}

async function perform(
  request: EgressRequest,
  { guard, connections, maxBytes, maxRedirects }: Means,
): Promise<EgressResponse> {
  let hop = firstHop(request.method, request.url, request.headers ?? {}, request.body)
  const { interruption, release } = interruptible(request, hop)
  try {
    for (let redirects = 0; ; redirects++) {
      const pool = connections.to(guard.check(hop.url))
      const { status, headers, body } = await exchange(pool, hop, {
        maxBytes,
        followsRedirects: maxRedirects > 0,
        interruption,
      })
      const location = single(headers.location)
      if (maxRedirects > 0 && isRedirect(status, location)) {
        if (redirects === maxRedirects) throw tooManyRedirects(request.url, maxRedirects)
        hop = nextHop(hop, status, location)
        continue
      }
      const decoded =
        hop.method === 'HEAD'
          ? undefined
          : await decodeBody(body, single(headers['content-encoding']), maxBytes)
      return {
        status,
        headers: joined(headers, decoded !== undefined),
        url: hop.url.href,
        body: decoded ?? body,
      }
    }
  } finally {
    release()
  }
}

/** Ties a request to its deadline and its caller's signal, until released. */
function interruptible(
  { signal, timeoutMs }: EgressRequest,
  { method, url }: Hop,
): { interruption: Interruption; release(): void } {
  let error: EgressError | undefined
  const interruption: Interruption = {
    get error() {
      return error
    },
    onInterrupt: undefined,
  }
  const interrupt = (reason: EgressError): void => {
    error ??= reason
    interruption.onInterrupt?.(error)
  }
  const onAbort = (): void =>
    interrupt(
      new EgressError('aborted', `${method} ${shownUrl(url)} was given up by its caller.`, {
        cause: signal?.reason,
      }),
    )
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          const text = `${method} ${shownUrl(url)} did not finish within ${timeoutMs} ms. Give the step a longer \`timeout\` if the service is that slow.`
          interrupt(new EgressError('request_timeout', text))
        }, timeoutMs)

  if (signal?.aborted) onAbort()
  else signal?.addEventListener('abort', onAbort, { once: true })
  return {
    interruption,
    release() {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    },
  }
}

/** Headers as text. A decoded body has another length than its headers say, so these go. */
function joined(
  headers: Record<string, string | string[] | undefined>,
  decoded: boolean,
): Record<string, string> {
  const result: Record<string, string> = {}
  for (const name in headers) {
    if (decoded && (name === 'content-encoding' || name === 'content-length')) continue
    const value = headers[name]
    if (value !== undefined) result[name] = typeof value === 'string' ? value : value.join(', ')
  }
  return result
}
