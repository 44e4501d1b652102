/**
 * Connections to PostgreSQL: how they are made, what a refused one means, and the pool that everything but an owner's
 * session shares. The pool heals by itself: a connection that broke is left, the next query opens another.
 */
import type { Socket } from 'node:net'
import pg from 'pg'
import type { Clock } from '../clock.ts'
import { drizzle, type NodePgDatabase } from './drizzle.ts'
import { driverError, isConnectionLost, translate } from './failure.ts'
import { StoreError } from './store.ts'

export const OLDEST_MAJOR_VERSION = 15

/** How long a connection may take to be made before the database counts as unreachable. */
const CONNECT_TIMEOUT_MS = 10_000

/** An answer that is this much later than the server's own timeout will not come. */
const SILENCE_MS = 2_500
/** How long a goodbye may take. */
const GOODBYE_MS = 1_000

export interface DatabaseAddress {
  readonly url: string
  readonly applicationName: string
}

export interface Database {
  readonly address: DatabaseAddress
  readonly pool: pg.Pool
  /** The same connections, for ordinary queries. */
  readonly tables: NodePgDatabase
}

/** `bigint` columns hold milliseconds and counts, all below 2^53. */
const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === pg.types.builtins.INT8 && format !== 'binary'
      ? Number
      : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
}

const settingsOf = (address: DatabaseAddress): pg.ClientConfig => ({
  connectionString: address.url,
  application_name: address.applicationName,
  connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  keepAlive: true,
  types,
})

/** One connection outside the pool; throws a `StoreError` that says what to do. */
export async function connect(
  address: DatabaseAddress,
  settings: Pick<pg.ClientConfig, 'query_timeout'> = {},
): Promise<pg.Client> {
  const client = new pg.Client({ ...settingsOf(address), ...settings })
  // A connection that breaks while nobody waits for it must not end the process; its owner sees `end`.
  client.on('error', () => {})
  try {
    await client.connect()
    return client
  } catch (error) {
    client.end().catch(() => {})
    throw refusedConnection(error, address.url)
  }
}

/** Ends a connection; one that does not answer is dropped. */
export async function disconnect(client: pg.Client, clock: Clock): Promise<void> {
  let withdraw = (): void => {}
  const late = new Promise<'late'>((resolve) => {
    withdraw = clock.after(GOODBYE_MS, () => resolve('late'))
  })
  const ended = client.end().catch(() => {})
  if ((await Promise.race([ended, late])) === 'late') streamOf(client).destroy()
  withdraw()
}

const streamOf = (client: pg.Client): Socket =>
  (client as unknown as { readonly connection: { readonly stream: Socket } }).connection.stream

export interface PoolSettings {
  readonly size: number
  /** After this the server gives a statement up; `null`: never. */
  readonly statementTimeoutMs: number | null
}

export function openPool(
  address: DatabaseAddress,
  { size, statementTimeoutMs }: PoolSettings,
  report: (error: Error) => void,
): Database {
  const pool = new pg.Pool({
    ...settingsOf(address),
    max: size,
    idleTimeoutMillis: 0,
    // Behind a connection that has gone silent the server's own timeout is never heard of: the client gives up, too.
    ...(statementTimeoutMs === null ? {} : { query_timeout: statementTimeoutMs + SILENCE_MS }),
    // As a statement of its own: a pooler in session mode refuses start-up parameters that it does not know.
    onConnect: async (client) => {
      await client.query(`set statement_timeout = ${statementTimeoutMs ?? 0}`)
    },
  })
  pool.on('error', report)
  return { address, pool, tables: drizzle(pool) }
}

/** `host:port/name`, without the password. */
function placeOf(url: string): string {
  try {
    const { hostname, port, pathname, searchParams } = new URL(url)
    return `${searchParams.get('host') ?? (hostname || 'localhost')}:${port || '5432'}${pathname}`
  } catch {
    return 'the address in WEFT_DATABASE_URL'
  }
}

function refusedConnection(error: unknown, url: string): unknown {
  const inner = driverError(error)
  const place = placeOf(url)
  if (inner.code === '28P01' || inner.code === '28000' || /SASL|password/i.test(inner.message)) {
    return new StoreError(
      'database_login_refused',
      `PostgreSQL at ${place} refused the login: ${inner.message}. Check user and password in WEFT_DATABASE_URL.`,
      error,
    )
  }
  if (inner.code === '3D000') {
    return new StoreError(
      'database_missing',
      `PostgreSQL at ${place} answers, but ${inner.message}. Create it (createdb), or name another in WEFT_DATABASE_URL.`,
      error,
    )
  }
  const tls = tlsProblem(inner)
  if (tls !== null) return new StoreError('database_tls', `PostgreSQL at ${place}: ${tls}`, error)
  if (isConnectionLost(error)) {
    return new StoreError(
      'database_unavailable',
      `PostgreSQL at ${place} cannot be reached: ${inner.message || inner.code}. Is it running, and does WEFT_DATABASE_URL name the right host and port?`,
      error,
    )
  }
  return translate(error)
}

/** What keeps an encrypted connection from being made, and what to do; `null`: something else is wrong. */
function tlsProblem({
  code = '',
  message,
}: {
  readonly code?: string
  readonly message: string
}): string | null {
  if (/does not support SSL/i.test(message))
    return 'it does not speak TLS, which sslmode in WEFT_DATABASE_URL asks for. Switch TLS on there (ssl = on), or leave sslmode out.'
  if (/no encryption|no pg_hba\.conf entry.*SSL off/i.test(message))
    return 'it wants TLS. Add ?sslmode=verify-full to WEFT_DATABASE_URL.'
  if (/CERT|SELF_SIGNED|UNABLE_TO|ALTNAME/.test(code))
    return `its certificate is not trusted (${message}). Name the authority that has signed it: ?sslmode=verify-full&sslrootcert=<file> in WEFT_DATABASE_URL.`
  return null
}

export async function refuseOldVersion(client: pg.Client, url: string): Promise<void> {
  const { rows } = await client.query<{ number: string; text: string }>(
    `select current_setting('server_version_num') as number, current_setting('server_version') as text`,
  )
  const row = rows[0]!
  if (Number(row.number) >= OLDEST_MAJOR_VERSION * 10_000) return
  throw new StoreError(
    'database_too_old',
    `PostgreSQL at ${placeOf(url)} is version ${row.text}; Weft needs ${OLDEST_MAJOR_VERSION} or newer. Upgrade it, or unset WEFT_DATABASE_URL and Weft brings its own.`,
  )
}
