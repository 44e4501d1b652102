/** The few statements that the start itself needs: is this the server of our folder, is there a database `weft`. */
import { realpath } from 'node:fs/promises'
import pg from 'pg'
import { systemCode } from './error.ts'

export type Greeting =
  | { readonly kind: 'ready'; readonly version: string }
  /** It is starting, recovering or shutting down, or does not listen yet. */
  | { readonly kind: 'not_yet' }
  | { readonly kind: 'wrong_password' }
  /** Somebody else's PostgreSQL answers at this port. */
  | { readonly kind: 'stranger' }

const notYet = new Set(['57P03', '57P01', '57P02', '53300', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE'])

/** Asks the server at `port` who it is, and makes the database `weft` if it has none. Settles within seconds. */
export async function greet(port: number, password: string, folder: string): Promise<Greeting> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: 'weft',
    password,
    database: 'postgres',
    ssl: false,
    connectionTimeoutMillis: 5_000,
    query_timeout: 60_000,
    application_name: 'weft start',
  })
  client.on('error', () => {}) // the server went away between two statements; the statement rejects
  try {
    await client.connect()
    const { rows } = await client.query<{ folder: string; version: string; has_database: boolean }>(
      `select current_setting('data_directory') as folder,
              split_part(current_setting('server_version'), ' ', 1) as version,
              exists (select from pg_database where datname = 'weft') as has_database`,
    )
    const { folder: found, version, has_database } = rows[0]!
    if ((await realpath(found).catch(() => found)) !== folder) return { kind: 'stranger' }
    if (!has_database) await createDatabase(client)
    return { kind: 'ready', version }
  } catch (error) {
    const code = systemCode(error) ?? ''
    if (code === '28P01' || code === '28000') return { kind: 'wrong_password' }
    if (notYet.has(code) || /timeout|Connection terminated/i.test(String(error))) return { kind: 'not_yet' }
    throw error
  } finally {
    await client.end().catch(() => {})
  }
}

async function createDatabase(client: pg.Client): Promise<void> {
  try {
    await client.query('create database weft')
  } catch (error) {
    // Another process was first.
    if (systemCode(error) !== '42P04' && systemCode(error) !== '23505') throw error
  }
}

/** For `postgres --single`, when the file with the password was lost. `password` is hexadecimal. */
export const resetPasswordStatement = (password: string) => `alter role weft password '${password}'\n`
