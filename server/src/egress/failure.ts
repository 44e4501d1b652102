/** What the network and the HTTP parser throw, told as an `EgressError`. */
import { EgressError, shownUrl } from './error.ts'

const CERTIFICATE_CODES =
  /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|EPROTO)/

export function describeFailure(thrown: unknown, url: URL, method: string): EgressError {
  if (thrown instanceof EgressError) return thrown
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const place = `${method} ${shownUrl(url)}`
  const details = { cause: thrown }

  switch (code) {
    case 'UND_ERR_INVALID_ARG':
    case 'UND_ERR_NOT_SUPPORTED':
    case 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH':
      return new EgressError('invalid_request', `${place} cannot be sent: ${error.message}.`, details)
    case 'UND_ERR_DESTROYED':
    case 'UND_ERR_CLOSED':
      return new EgressError('aborted', `${place} was given up because this process is stopping.`, details)
  }
  if (CERTIFICATE_CODES.test(code)) {
    return new EgressError(
      'tls_failed',
      `${place} failed: no secure connection (${code}: ${error.message}). Check the certificate, and that the port speaks https.`,
      details,
    )
  }
  return new EgressError(
    'connection_failed',
    `${place} failed: ${reasonOf(error)}. Is the service up and reachable from here?`,
    details,
  )
}

/** Several addresses, several failures: the first one stands for them, since the group's own text is empty. */
const reasonOf = (error: Error): string =>
  error instanceof AggregateError && error.errors[0] instanceof Error
    ? error.errors[0].message
    : error.message
