/**
 * One request and its whole response, the hot path: undici's dispatch with a handler of our own, which counts bytes as
 * they come and ends the connection at the first one too many.
 */
import type { Dispatcher, Pool } from 'undici'
import { tooLarge } from './encoding.ts'
import type { EgressError } from './error.ts'
import { describeFailure } from './failure.ts'
import { type Hop, isRedirect } from './hop.ts'

/** What may end a request early: its deadline and its caller. One per request, shared by its hops. */
export interface Interruption {
  /** Set once it has happened. */
  readonly error: EgressError | undefined
  /** Called when it happens; an exchange sets it and takes it back. */
  onInterrupt: ((error: EgressError) => void) | undefined
}

export interface Exchanged {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: Uint8Array
}

/** Of the body of a redirect that is followed nothing is kept; past this it is not even read. */
const REDIRECT_BODY_BYTES = 65_536

const EMPTY = new Uint8Array(0)

export function exchange(
  pool: Pool,
  hop: Hop,
  limits: { maxBytes: number; followsRedirects: boolean; interruption: Interruption },
): Promise<Exchanged> {
  const { maxBytes, followsRedirects, interruption } = limits
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined
    let settled = false
    let status = 0
    let headers: Exchanged['headers'] = {}
    let received = 0
    let discarding = false
    const chunks: Buffer[] = []

    const settle = (): void => {
      settled = true
      interruption.onInterrupt = undefined
    }
    const fail = (error: EgressError): void => {
      if (settled) return
      settle()
      reject(error)
      controller?.abort(error)
    }
    const succeed = (): void => {
      if (settled) return
      settle()
      resolve({ status, headers, body: bodyOf(chunks, received) })
    }
    if (interruption.error !== undefined) {
      reject(interruption.error)
      return
    }
    interruption.onInterrupt = fail

    const path = hop.url.pathname + hop.url.search
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(started) {
        controller = started
        // Interrupted while it waited for a free connection.
        if (settled) started.abort(interruption.error ?? new Error('interrupted'))
      },
      onResponseStart(_controller, statusCode, responseHeaders) {
        if (statusCode < 200) return
        status = statusCode
        headers = responseHeaders
        discarding = followsRedirects && isRedirect(statusCode, single(responseHeaders.location))
        const announced = Number(single(responseHeaders['content-length']) ?? 0)
        if (announced > maxBytes && hop.method !== 'HEAD' && statusCode !== 304 && !discarding)
          fail(tooLarge(maxBytes))
      },
      onResponseData(_controller, chunk) {
        received += chunk.length
        if (discarding) {
          if (received <= REDIRECT_BODY_BYTES) return
          succeed()
          controller?.abort(new Error('the rest of a redirect is not read'))
        } else if (received > maxBytes) fail(tooLarge(maxBytes))
        else chunks.push(chunk)
      },
      onResponseEnd: succeed,
      onResponseError(_controller, error) {
        fail(describeFailure(error, hop.url, hop.method))
      },
    }
    try {
      pool.dispatch({ path, method: hop.method, headers: hop.headers, body: hop.body }, handler)
    } catch (error) {
      fail(describeFailure(error, hop.url, hop.method))
    }
  })
}

/** Parsed chunks are slices of the socket's buffers: a body of one chunk is taken as it is, more are joined. */
function bodyOf(chunks: Buffer[], bytes: number): Uint8Array {
  if (chunks.length === 0) return EMPTY
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)
}

/** The one value of a header that should have one. */
export const single = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value[0] : value
