/**
 * The one error that leaves the guard. Its code is stable, its text says what happened, where, why and what to do now,
 * and `retryable` carries the retry decision: a refusal stays a refusal, a broken connection may heal.
 */

export type EgressErrorCode =
  /** The host or an address behind it is not for nodes to reach. */
  | 'egress_denied'
  /** The path is one where servers keep keys, consoles or repositories. */
  | 'egress_path_denied'
  /** Neither http nor https. */
  | 'egress_scheme'
  /** More redirects than the request allows. */
  | 'egress_redirect_limit'
  | 'invalid_url'
  | 'invalid_request'
  | 'response_too_large'
  /** The body does not decode by its own Content-Encoding. */
  | 'response_undecodable'
  | 'request_timeout'
  | 'connection_failed'
  | 'tls_failed'
  | 'dns_failed'
  /** The caller's signal fired, or the client was closed. */
  | 'aborted'

const RETRYABLE: ReadonlySet<EgressErrorCode> = new Set([
  'request_timeout',
  'connection_failed',
  'dns_failed',
])

export class EgressError extends Error {
  override readonly name = 'EgressError'
  readonly code: EgressErrorCode
  readonly retryable: boolean
  /** The entry of the allow list that would let the request through; set on refusals that an entry can lift. */
  readonly allow: string | undefined

  constructor(code: EgressErrorCode, message: string, details: { allow?: string; cause?: unknown } = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.retryable = RETRYABLE.has(code)
    this.allow = details.allow
  }
}

/** A refusal that an entry of the allow list lifts; the text ends with the flag and the variable that do it. */
export const refused = (code: EgressErrorCode, sentence: string, allow: string): EgressError =>
  new EgressError(
    code,
    `${sentence} If the workflow should reach it, start Weft with \`weft dev --allow ${allow}\` or add the entry to WEFT_EGRESS_ALLOW=${allow}`,
    { allow },
  )

/** A URL as error texts show it: without the query and the userinfo, where secrets travel. */
export const shownUrl = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}`
