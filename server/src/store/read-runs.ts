/**
 * The hot query of callers who wait for an outcome: rows of runs by id. Runs end in batches (R10), so those who wait for
 * them ask at once, and what is asked while a statement is under way shares the next one.
 *
 * Measured, 200 callers with `?wait`: one statement each through the query builder took a third of the server's CPU.
 */
import type { Pool } from 'pg'
import { uuidArray } from './binary-array.ts'
import { translate } from './failure.ts'
import { type GroupCommit, groupCommit } from './group-commit.ts'
import type { RunRow } from './store.ts'
import { isRunId } from './stored-text.ts'

const READ = `
select r.id, r.workspace, r.workflow, r.version, r.graph, r.status, r.waiting_for as "waitingFor", r.labels, r.input,
  r.output, r.error, r.parent, (select coalesce(max(e.seq), 0) from run_events e where e.run_id = r.id) as seq,
  r.created_at as "createdAt", r.finished_at as "finishedAt", r.wake_at as "wakeAt", r.stuck_reason as "stuckReason"
from unnest($1::uuid[]) as wanted (id) join runs r on r.id = wanted.id`

const ROWS_PER_READ = 200
const READS_IN_FLIGHT = 2

export interface WantedRun {
  readonly workspace: string
  readonly id: string
}

export function readInGroups(pool: Pool): GroupCommit<WantedRun, RunRow | null> {
  return groupCommit({
    commit: (wanted) => read(pool, wanted),
    rowsPerCommit: ROWS_PER_READ,
    commitsInFlight: READS_IN_FLIGHT,
  })
}

async function read(pool: Pool, wanted: readonly WantedRun[]): Promise<(RunRow | null)[]> {
  const ids = new Set(wanted.map(({ id }) => id.toLowerCase()).filter(isRunId))
  if (ids.size === 0) return wanted.map(() => null)
  try {
    const { rows } = await pool.query<RunRow>({
      name: 'read_runs',
      text: READ,
      values: [uuidArray([...ids])],
    })
    const byId = new Map(rows.map((row) => [row.id, row]))
    return wanted.map(({ workspace, id }) => {
      const row = byId.get(id.toLowerCase())
      return row?.workspace === workspace ? row : null
    })
  } catch (error) {
    throw translate(error)
  }
}
