/**
 * What an error of the driver means. Owns the one table from SQLSTATE and socket errors to the errors of the contract;
 * every verb of the store passes through it, so that nobody above sees a driver's error, and no error carries the
 * values of a query.
 */
import { InvalidError } from '@weft/engine'
import { AppendConflict, RowRefused, SessionLost, StoreError } from './store.ts'

interface DriverError {
  readonly code?: string
  readonly message: string
  readonly detail?: string
  readonly constraint?: string
}

const LOST_SOCKET = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENOENT',
])

/** The driver's own errors about a connection carry no code. */
const LOST_TEXT =
  /connection terminated|not queryable|query read timeout|timeout exceeded when trying to connect|after calling end/i

const CONTRACT_ERRORS = [StoreError, RowRefused, SessionLost, AppendConflict, InvalidError]

/** The error of the driver itself; Drizzle wraps it in one whose text repeats the query's values. */
export function driverError(error: unknown): DriverError {
  let inner = error
  while (
    inner instanceof Error &&
    inner.cause instanceof Error &&
    (inner as DriverError).code === undefined
  ) {
    inner = inner.cause
  }
  return inner instanceof Error ? (inner as DriverError) : { message: String(inner) }
}

/** Whether the connection is gone, or was never there: the outcome of a statement in flight is unknown. */
export function isConnectionLost(error: unknown): boolean {
  const { code = '', message } = driverError(error)
  return (
    LOST_SOCKET.has(code) ||
    code.startsWith('08') ||
    /^57P0[1-5]$/.test(code) ||
    code === '53300' ||
    (code === '' && LOST_TEXT.test(message))
  )
}

/** The error to throw for one of the driver; errors of the contract pass as they are. */
export function translate(error: unknown): unknown {
  if (CONTRACT_ERRORS.some((kind) => error instanceof kind)) return error
  const inner = driverError(error)
  const { code = '', message } = inner
  if (isConnectionLost(error)) return unavailable(inner)
  if (code === '') return error
  if (code === '53100') {
    return new StoreError(
      'database_disk_full',
      `The disk of the database is full (${message}). Nothing was written; free some room and the work goes on by itself.`,
      inner,
    )
  }
  if (code === '25006') {
    return new StoreError(
      'database_unavailable',
      'The database is read-only, as a standby is. Point WEFT_DATABASE_URL at the primary.',
      inner,
    )
  }
  if (code.startsWith('40') || code.startsWith('53') || code === '55P03' || code === '57014') {
    return new StoreError(
      'database_busy',
      `The database gave the statement up: ${message}. Try again.`,
      inner,
    )
  }
  if (code.startsWith('22') || code.startsWith('23') || code.startsWith('54')) {
    return new RowRefused(code, `PostgreSQL refused a value (${code}): ${message}`)
  }
  return new StoreError('database_refused', `PostgreSQL refused a statement (${code}): ${message}`, inner)
}

function unavailable(error: DriverError): StoreError {
  if (error.code === '53300') {
    return new StoreError(
      'database_unavailable',
      `PostgreSQL has no connection left (${error.message}). Raise max_connections, or run fewer processes against it.`,
      error,
    )
  }
  return new StoreError(
    'database_unavailable',
    `The database cannot be reached (${error.message}). Nothing is lost: the work goes on when it answers again.`,
    error,
  )
}

/** The same object with every method's errors translated. */
export function translated<Verbs extends object>(verbs: Verbs): Verbs {
  const wrapped: Record<string, unknown> = {}
  for (const [name, verb] of Object.entries(verbs) as [string, (request: unknown) => Promise<unknown>][]) {
    wrapped[name] = async (request: unknown) => {
      try {
        return await verb(request)
      } catch (error) {
        throw translate(error)
      }
    }
  }
  return wrapped as Verbs
}
