/**
 * The store on PostgreSQL: checks the database, brings it to this program's tables, and puts the nouns together.
 */
import type pg from 'pg'
import type { Clock } from '../clock.ts'
import { openApprovals } from './approvals.ts'
import { openBlobs } from './blobs.ts'
import { openCoordinators } from './coordinators.ts'
import { openCredentials } from './credentials.ts'
import { connect, type DatabaseAddress, openPool, refuseOldVersion } from './database.ts'
import { openDeadLetters } from './dead-letters.ts'
import { translate, translated } from './failure.ts'
import { openGraphs } from './graphs.ts'
import { openHolds } from './holds.ts'
import { openIdempotency } from './idempotency.ts'
import { openInbox } from './inbox.ts'
import { openKeys } from './keys.ts'
import { openMessages } from './messages.ts'
import { migrate } from './migrate.ts'
import { openNodeTypes } from './node-types.ts'
import { openOwner } from './owner.ts'
import { refuseTransactionPooler } from './pooler.ts'
import { openRecords } from './records.ts'
import { openRuns } from './runs.ts'
import type { Store } from './store.ts'
import { openVariables } from './variables.ts'
import { openWorkers } from './workers.ts'
import { openWorkflows } from './workflows.ts'

export interface StoreSettings {
  readonly url: string
  readonly clock: Clock
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string
  /** Connections beside those of owners. */
  readonly poolSize: number
  /** After this the database gives a statement of the pool up; none unless given. */
  readonly statementTimeoutMs?: number | null
  /** Told of a database that a newer program has migrated, and of connections that broke while idle. */
  readonly log?: { warn(details: object, text: string): void }
}

/** What `describe` shows: what durability and capacity depend on. */
const SHOWN_SETTINGS = [
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'max_connections',
  'shared_buffers',
  'server_encoding',
]

/** Throws a `StoreError` with a sentence when the database cannot be used. */
export async function openStore(settings: StoreSettings): Promise<Store> {
  const { url, clock, applicationName, poolSize, log } = settings
  const address: DatabaseAddress = { url, applicationName }
  await checkDatabase(address)
  const { newer } = await migrate(address)
  if (newer.length > 0)
    log?.warn(
      { migrations: newer },
      'a newer Weft has added to this database; this version goes on beside it, and sets runs aside that need the newer one',
    )
  const pooled = { size: poolSize, statementTimeoutMs: settings.statementTimeoutMs ?? null }
  const database = openPool(address, pooled, (error) => {
    log?.warn(
      { error: error.message },
      'an idle connection to the database broke; another is made when it is needed',
    )
  })
  const { pool } = database
  const coordinators = openCoordinators(database, clock)

  return {
    runs: translated(openRuns(database, clock)),
    inbox: translated(openInbox(database, clock)),
    messages: translated(openMessages(database, clock)),
    graphs: translated(openGraphs(database)),
    workflows: translated(openWorkflows(database)),
    approvals: translated(openApprovals(database)),
    deadLetters: translated(openDeadLetters(database)),
    blobs: translated(openBlobs(database)),
    records: translated(openRecords(database)),
    nodeTypes: translated(openNodeTypes(database)),
    variables: translated(openVariables(database)),
    credentials: translated(openCredentials(database)),
    keys: translated(openKeys(database, clock)),
    idempotency: translated(openIdempotency(database)),
    workers: translated(openWorkers(database)),
    coordinators: translated(coordinators.verbs),
    holds: translated(openHolds(database)),
    openOwner: (name) => openOwner(database, clock, name),

    ...translated({
      async describe() {
        const { rows } = await pool.query<{
          version: string
          database_id: string
          now_ms: number
          settings: Record<string, string>
        }>(
          `select current_setting('server_version') as version,
             (select md5(system_identifier || ' ' || oid)
              from pg_control_system(), pg_database where datname = current_database()) as database_id,
             (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms,
             (select json_object_agg(name, current_setting(name)) from unnest($1::text[]) as shown (name)) as settings`,
          [SHOWN_SETTINGS],
        )
        const row = rows[0]!
        return {
          version: row.version,
          databaseId: row.database_id,
          nowMs: row.now_ms,
          settings: row.settings,
        }
      },
      async ping() {
        await pool.query('select 1')
      },
    }),

    async close() {
      await coordinators.close()
      if (!pool.ending) await pool.end()
    },
  }
}

async function checkDatabase(address: DatabaseAddress): Promise<void> {
  const first = await connect(address)
  let second: pg.Client | null = null
  try {
    await refuseOldVersion(first, address.url)
    second = await connect(address)
    await refuseTransactionPooler(first, second)
  } catch (error) {
    throw translate(error)
  } finally {
    await Promise.allSettled([first.end(), second?.end()])
  }
}
