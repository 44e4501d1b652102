/**
 * The hot queries of recovery: whole runs, many at a time.
 *
 * They use the pool, not the owner's session, so that a long load does not stand before an append. That is safe: whoever
 * read an old state fails at the primary key, and the session decides who appends at all (R3).
 *
 * Statements on the pool that look up rows carry no name: a plan that is kept would be one for the tables as they were.
 */
import type { RunEvent } from '@weft/engine'
import type { Pool } from 'pg'
import { integerArray, uuidArray } from './binary-array.ts'
import type { Database } from './database.ts'
import { RUN_COLUMNS } from './run-row.ts'
import { runs } from './schema.ts'
import type { InboxRow, LoadedRun, StoredEvent } from './store.ts'
import { among, isRunId } from './stored-text.ts'

/** Events per page: at most about 32 MB of text, usually less than 1 MB. */
const EVENTS_PER_PAGE = 1000

/**
 * A descent of the primary key per run: 1.3 ms for 100 runs. Measured alternative, `run_id = any($1)` with a row
 * comparison for the page: 1.5 ms, but on PostgreSQL 15 its plan fetches and sorts all that is left for every page.
 */
const EVENTS = `
select e.run_id, e.seq, e.data
from unnest($1::uuid[], $2::int[]) as wanted (run_id, after)
cross join lateral (
  select run_id, seq, data from run_events where run_id = wanted.run_id and seq > wanted.after order by seq limit $3
) e
limit $3`

const INBOX = `
select id, run_id, actor, command from run_inbox
where run_id = any($1::uuid[]) and settled_at is null
order by run_id, position`

export async function loadRuns(
  { pool, tables }: Database,
  runIds: readonly string[],
): Promise<Map<string, LoadedRun>> {
  const known = runIds.filter(isRunId)
  if (known.length === 0) return new Map()
  const rows = await tables.select(RUN_COLUMNS).from(runs).where(among(runs.id, known))
  const events = await loadEvents(
    pool,
    rows.map((row) => row.id),
  )
  // Read after the log: a command that is settled in it is no longer here.
  const inbox = await loadInbox(pool, known)
  return new Map(
    rows.map((row) => {
      const log = events.get(row.id) ?? []
      const seq = log.at(-1)?.seq ?? row.seq
      return [row.id, { row: { ...row, seq }, events: log, inbox: inbox.get(row.id) ?? [] }]
    }),
  )
}

async function loadEvents(pool: Pool, runIds: readonly string[]): Promise<Map<string, StoredEvent[]>> {
  const logs = new Map<string, StoredEvent[]>(runIds.map((id) => [id, []]))
  const wanted = uuidArray(runIds)
  for (;;) {
    const after = integerArray(runIds.map((id) => logs.get(id)?.at(-1)?.seq ?? 0))
    const { rows } = await pool.query<{ run_id: string; seq: number; data: RunEvent }>({
      text: EVENTS,
      values: [wanted, after, EVENTS_PER_PAGE],
    })
    for (const row of rows) logs.get(row.run_id)?.push({ seq: row.seq, event: row.data })
    if (rows.length < EVENTS_PER_PAGE) return logs
  }
}

export async function loadInbox(pool: Pool, runIds: readonly string[]): Promise<Map<string, InboxRow[]>> {
  const { rows } = await pool.query<{
    id: string
    run_id: string
    actor: string
    command: InboxRow['command']
  }>({
    text: INBOX,
    values: [uuidArray(runIds)],
  })
  const inbox = new Map<string, InboxRow[]>()
  for (const { id, run_id: runId, actor, command } of rows) {
    const list = inbox.get(runId) ?? []
    list.push({ id, runId, actor, command })
    inbox.set(runId, list)
  }
  return inbox
}
