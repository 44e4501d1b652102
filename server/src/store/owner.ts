/**
 * The session on which a coordinator owns partitions and appends (R3, R4). Owns one connection of its own, outside the
 * pool, and the session-level advisory locks on it.
 *
 * What ends the connection ends the locks and every later append: a lock is free only when its session is gone, so there
 * is no time at which two owners can write. Long reads (`load`, `inbox`) go by the pool.
 */
import type { Client } from 'pg'
import type { Clock } from '../clock.ts'
import { partitionOf } from '../transport/transport.ts'
import { appendStatement } from './append.ts'
import { bigintArray, uuidArray } from './binary-array.ts'
import { connect, type Database, disconnect } from './database.ts'
import { dueRuns } from './due.ts'
import { driverError, isConnectionLost, translate } from './failure.ts'
import { loadInbox, loadRuns } from './load.ts'
import { AppendConflict, type OwnerSession, SessionLost } from './store.ts'
import { columnText } from './stored-text.ts'

/** First number of the two-number advisory locks; the second is the partition. */
export const LOCK_PARTITION = 0x77656674

/** A backend's number is used again; together with its start it names one session. */
export const SESSION_ID = `pid || '-' || (extract(epoch from backend_start) * 1000000)::bigint`

/**
 * The plans of the hot statements must not depend on how full the tables were when they were made: a plan for empty
 * tables reads a grown one from end to end until the next `analyze`.
 */
const SESSION_SETTINGS = `
set plan_cache_mode = force_generic_plan;
set enable_seqscan = off;
set enable_hashjoin = off;
set enable_mergejoin = off`

const POSTPONE = `
update runs r set wake_at = case when r.open_commands > 0 then least(r.wake_at, p.wake_at) else p.wake_at end
from unnest($1::uuid[], $2::bigint[]) as p (id, wake_at)
where r.id = p.id and r.wake_at is distinct from p.wake_at`

export async function openOwner(database: Database, clock: Clock, name: string): Promise<OwnerSession> {
  const address = {
    ...database.address,
    applicationName: `${database.address.applicationName} ${name}`.slice(0, 63),
  }
  const client = await connect(address)
  const ended = new Promise<void>((resolve) => {
    client.once('error', () => resolve())
    client.once('end', () => resolve())
  })
  const owned = new Set<number>()
  let isOpen = true
  void ended.then(() => {
    isOpen = false
    owned.clear()
  })

  /** What runs on the session now; statements go one after the other, as the driver wants it. */
  let running: Promise<unknown> | null = null

  async function inTurn<Result>(work: (session: Client) => Promise<Result>): Promise<Result> {
    while (running) await running
    const result = work(client)
    const settled = result.then(
      () => {},
      () => {},
    )
    running = settled
    try {
      return await result
    } finally {
      if (running === settled) running = null
    }
  }

  /** Runs something on the session; a broken one is `SessionLost`, whatever the driver calls it. */
  async function onSession<Result>(work: (session: Client) => Promise<Result>): Promise<Result> {
    if (!isOpen)
      throw new SessionLost(`the session of ${name} has ended; its partitions are no longer its own`)
    try {
      return await inTurn(work)
    } catch (error) {
      if (!isConnectionLost(error)) throw error
      throw new SessionLost(
        `the session of ${name} broke (${driverError(error).message}); what was in flight may be committed`,
      )
    }
  }

  function requireOwned(runs: readonly { readonly runId: string }[]): void {
    for (const { runId } of runs) {
      const partition = partitionOf(runId)
      if (owned.has(partition)) continue
      throw new SessionLost(
        `the session of ${name} does not own partition ${partition} of run ${runId}; nothing was written`,
      )
    }
  }

  let id: string
  try {
    await client.query(SESSION_SETTINGS)
    const { rows } = await client.query<{ id: string }>(
      `select ${SESSION_ID} as id from pg_stat_activity where pid = pg_backend_pid()`,
    )
    id = rows[0]!.id
  } catch (error) {
    client.end().catch(() => {})
    throw translate(error)
  }

  return {
    id,
    ended,

    async claim(partitions) {
      const missing = partitions.filter((partition) => !owned.has(partition))
      const { rows } = await onSession((session) =>
        session.query<{ number: number }>(
          'select number from unnest($2::int[]) as p (number) where pg_try_advisory_lock($1, number)',
          [LOCK_PARTITION, missing],
        ),
      ).catch(rethrowTranslated)
      for (const { number } of rows) owned.add(number)
      return partitions.filter((partition) => owned.has(partition))
    },

    async release(partitions) {
      const held = partitions.filter((partition) => owned.has(partition))
      // First of all nothing more is appended; only then is the lock free.
      for (const partition of held) owned.delete(partition)
      await onSession((session) =>
        session.query('select pg_advisory_unlock($1, number) from unnest($2::int[]) as p (number)', [
          LOCK_PARTITION,
          held,
        ]),
      ).catch(rethrowTranslated)
    },

    async append(batch) {
      if (batch.length === 0) return
      requireOwned(batch)
      const statement = appendStatement(batch, clock.now())
      try {
        await onSession((session) => session.query(statement))
      } catch (error) {
        throw conflictOf(error) ?? translate(error)
      }
    },

    load: (runIds) => loadRuns(database, runIds).catch(rethrowTranslated),
    inbox: (runIds) => loadInbox(database.pool, runIds).catch(rethrowTranslated),
    due: (request) => onSession((session) => dueRuns(session, request)).catch(rethrowTranslated),

    async postpone(runs) {
      if (runs.length === 0) return
      requireOwned(runs)
      const values = [uuidArray(runs.map((run) => run.runId)), bigintArray(runs.map((run) => run.wakeAt))]
      await onSession((session) => session.query({ name: 'postpone', text: POSTPONE, values })).catch(
        rethrowTranslated,
      )
    },

    async quarantine({ runId, reason }) {
      requireOwned([{ runId }])
      await onSession((session) =>
        session.query('update runs set stuck_reason = $2 where id = $1', [runId, columnText(reason)]),
      ).catch(rethrowTranslated)
    },

    async close() {
      isOpen = false
      owned.clear()
      await disconnect(client, clock)
    },
  }
}

function rethrowTranslated(error: unknown): never {
  throw translate(error)
}

/** The run whose event number was taken, from a violation of the log's primary key. */
function conflictOf(error: unknown): AppendConflict | null {
  const {
    code,
    constraint,
    detail = '',
  } = driverError(error) as { code?: string; constraint?: string; detail?: string }
  if (code !== '23505' || constraint !== 'run_events_pkey') return null
  const [, runId, seq] = /=\(([0-9a-f-]{36}), (\d+)\)/.exec(detail) ?? []
  if (runId === undefined) return null
  return new AppendConflict(
    runId,
    `event ${seq} of run ${runId} is in its log already: somebody else appended to it, or a stale state was used. Nothing of the batch was written.`,
  )
}
