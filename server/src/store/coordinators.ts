/**
 * Coordinators among each other: signs of life, and who owns which partition (R4).
 *
 * 1. Ages are differences of the database's clock: a machine whose clock is wrong is neither immortal nor dead.
 * 2. Who owns a partition is read from the locks themselves. A row only says which session is whose.
 *    All processes log in as one role: a session of another one could neither be seen in full nor ended.
 * 3. Beats have a connection of their own. In the pool a crowd of requests could keep one waiting, and peers would take
 *    the partitions of a coordinator that is only busy.
 */
import type { Clock } from '../clock.ts'
import { connect, type Database, disconnect } from './database.ts'
import { isConnectionLost } from './failure.ts'
import { LOCK_PARTITION, SESSION_ID } from './owner.ts'
import type { CoordinatorRow, Store } from './store.ts'

const NOW_MS = '(extract(epoch from clock_timestamp()) * 1000)::bigint'
/** A beat that takes longer is as good as none: the next one is made on a new connection. */
const STATEMENT_TIMEOUT_MS = 5_000
/** How long an ended session may take to be gone. */
const TERMINATION_MS = 2_000

/** Who has no session any more will never have that one again: its row goes with the next beat of anybody. */
const BEAT = `
with before as (select beat_at from coordinators where id = $1),
gone as (
  delete from coordinators c
  where id <> $1 and not exists (select from pg_stat_activity where ${SESSION_ID} = c.session)
),
beaten as (
  insert into coordinators (id, name, session, leaving, started_at, beat_at)
  values ($1, $2, $3, $4, ${NOW_MS}, ${NOW_MS})
  on conflict (id) do update
    set session = excluded.session, leaving = excluded.leaving, beat_at = excluded.beat_at
  returning beat_at
)
select beaten.beat_at - before.beat_at as silent_before_ms from beaten left join before on true`

const LIST = `
with owned as (
  select pid, array_agg(objid::int order by objid) as partitions
  from pg_locks
  where locktype = 'advisory' and classid = ${LOCK_PARTITION} and objsubid = 2 and granted
    and database = (select oid from pg_database where datname = current_database())
  group by pid
), sessions as (
  select ${SESSION_ID} as session, application_name, owned.partitions
  from pg_stat_activity left join owned using (pid)
  where datname = current_database()
)
select c.id, coalesce(c.name, s.application_name) as name, coalesce(s.partitions, '{}') as partitions,
  coalesce(c.leaving, false) as leaving, coalesce(c.started_at, 0) as started_at,
  coalesce(greatest(0, ${NOW_MS} - c.beat_at), 0) as silent_ms
from sessions s left join coordinators c using (session)
where c.id is not null or s.partitions is not null
order by c.started_at nulls last, c.id`

const EVICT = `
with silent as (
  select id, session from coordinators where id = any($1) and beat_at <= ${NOW_MS} - $2::bigint
)
select silent.id, pg_terminate_backend(pid, ${TERMINATION_MS}) as ended
from silent join pg_stat_activity on ${SESSION_ID} = silent.session`

interface Row {
  readonly id: string | null
  readonly name: string
  readonly partitions: number[]
  readonly leaving: boolean
  readonly started_at: number
  readonly silent_ms: number
}

export interface Coordinators {
  readonly verbs: Store['coordinators']
  close(): Promise<void>
}

export function openCoordinators(database: Database, clock: Clock): Coordinators {
  let connection: ReturnType<typeof connect> | null = null
  let isClosed = false

  function open(): ReturnType<typeof connect> {
    const { url, applicationName } = database.address
    const opening = connect(
      { url, applicationName: `${applicationName} beats`.slice(0, 63) },
      { query_timeout: STATEMENT_TIMEOUT_MS },
    )
    connection = opening
    opening.then(
      (client) =>
        client.once('end', () => {
          if (connection === opening) connection = null
        }),
      () => {
        if (connection === opening) connection = null
      },
    )
    return opening
  }

  async function query<Answer extends object>(text: string, values: unknown[]): Promise<Answer[]> {
    if (isClosed) throw new Error('the store is closed')
    const opened = connection ?? open()
    const client = await opened
    try {
      return (await client.query<Answer>(text, values)).rows
    } catch (error) {
      // After a timeout the connection may still be busy with the statement: it is not used again.
      if (isConnectionLost(error)) {
        if (connection === opened) connection = null
        client.end().catch(() => {})
      }
      throw error
    }
  }

  return {
    verbs: {
      async beat({ id, name, session, leaving }) {
        const rows = await query<{ silent_before_ms: number | null }>(BEAT, [id, name, session, leaving])
        return { silentBeforeMs: rows[0]?.silent_before_ms ?? null }
      },
      async list() {
        const rows = await query<Row>(LIST, [])
        return rows.map(
          ({ id, name, partitions, leaving, started_at, silent_ms }): CoordinatorRow => ({
            id,
            name,
            partitions,
            leaving,
            startedAt: started_at,
            silentMs: silent_ms,
          }),
        )
      },
      async evict({ ids, silentMs }) {
        const rows = await query<{ id: string; ended: boolean }>(EVICT, [ids, silentMs])
        return rows.flatMap(({ id, ended }) => (ended ? [id] : []))
      },
      async leave({ id }) {
        await query('delete from coordinators where id = $1', [id])
      },
    },
    async close() {
      isClosed = true
      const client = await connection?.catch(() => null)
      if (client) await disconnect(client, clock)
    },
  }
}
