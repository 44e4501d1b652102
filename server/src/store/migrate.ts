/**
 * Brings a database to the tables that this program knows. Owns `weft_migrations`.
 *
 * 1. One process migrates, the others wait for it: a session advisory lock.
 * 2. Each migration is one transaction, numbered without holes, never changed after a release, additive: older releases
 *    go on working against the new tables while processes are replaced one by one. One that cannot be says so by its
 *    name, `NNNN_…_breaking.sql`.
 * 3. A migration waits for the lock of a table only for a moment, then lets everybody else through and tries again:
 *    behind one that waits for a long statement, all others would have to wait as well, with runs in flight. The moment
 *    is shorter than the one after which PostgreSQL looks for deadlocks (1 s), so that of a migration and a commit that
 *    wait for each other it is the migration that gives way.
 * 4. In a database that a newer program has migrated, an older one starts as long as what it does not know is additive:
 *    it may be restarted in the middle of an upgrade, and an upgrade may be taken back. Else it is refused, before
 *    anything is read from the database.
 */
import { readdir, readFile } from 'node:fs/promises'
import type { Client } from 'pg'
import { connect, type DatabaseAddress } from './database.ts'
import { translate } from './failure.ts'
import { StoreError } from './store.ts'

/** One-number key; the locks of partitions are of the two-number kind and cannot collide with it. */
const LOCK_MIGRATION = 0x77656674

/** Lock not available, deadlock detected. */
const TRIED_AGAIN: ReadonlySet<unknown> = new Set(['55P03', '40P01'])
const LOCK_WAIT_MS = 500
const PAUSE_SECONDS = 0.5
const MAX_ATTEMPTS = 120

const BREAKING = /_breaking\.sql$/

const FOLDER = new URL('./migrations/', import.meta.url)

export interface Migration {
  readonly number: number
  readonly name: string
  readonly sql: string
}

export async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(FOLDER)).filter((name) => /^\d{4}_\w+\.sql$/.test(name)).sort()
  return Promise.all(
    names.map(async (name) => ({
      number: Number(name.slice(0, 4)),
      name,
      sql: await readFile(new URL(name, FOLDER), 'utf8'),
    })),
  )
}

export interface Migrated {
  /** Names of the migrations that were applied now. */
  readonly applied: readonly string[]
  /** Names of those that a newer program has applied. */
  readonly newer: readonly string[]
}

export async function migrate(
  address: DatabaseAddress,
  migrations?: readonly Migration[],
): Promise<Migrated> {
  const wanted = migrations ?? (await readMigrations())
  const client = await connect(address)
  try {
    await client.query('select pg_advisory_lock($1)', [LOCK_MIGRATION])
    return await applyMissing(client, wanted)
  } catch (error) {
    throw translate(error)
  } finally {
    await client.end().catch(() => {}) // ends the lock, too
  }
}

async function applyMissing(client: Client, wanted: readonly Migration[]): Promise<Migrated> {
  await client.query(
    `create table if not exists weft_migrations (
       number integer primary key, name text not null, applied_at timestamptz not null default now())`,
  )
  const { rows } = await client.query<{ number: number; name: string }>(
    'select number, name from weft_migrations order by number',
  )
  const newest = wanted.at(-1)?.number ?? 0
  const newer = rows.filter((row) => row.number > newest).map((row) => row.name)
  const breaking = newer.find((name) => BREAKING.test(name))
  if (breaking !== undefined) {
    throw new StoreError(
      'database_newer',
      `A newer Weft has changed the database so that this one would not understand it (${breaking}; this one knows ${newest} migrations). Start that version or a newer one.`,
    )
  }
  const applied = new Set(rows.map((row) => row.number))
  const missing = wanted.filter((migration) => !applied.has(migration.number))
  for (const migration of missing) await applyPatiently(client, migration)
  return { applied: missing.map((migration) => migration.name), newer }
}

async function applyPatiently(client: Client, migration: Migration): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await apply(client, migration)
    } catch (error) {
      if (!TRIED_AGAIN.has((error as { code?: unknown }).code) || attempt === MAX_ATTEMPTS) throw error
      await client.query('select pg_sleep($1)', [PAUSE_SECONDS])
    }
  }
}

async function apply(client: Client, migration: Migration): Promise<void> {
  await client.query('begin')
  try {
    await client.query(`set local lock_timeout = '${LOCK_WAIT_MS}ms'`)
    await client.query(migration.sql)
    await client.query('insert into weft_migrations (number, name) values ($1, $2)', [
      migration.number,
      migration.name,
    ])
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}
