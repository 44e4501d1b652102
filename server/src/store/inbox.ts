/** Commands from outside, durable before they are answered (R15). Settled by append.ts. */

import type { Clock } from '../clock.ts'
import { textArray } from './binary-array.ts'
import { blobHashes } from './blob-refs.ts'
import type { Database } from './database.ts'
import { eq } from './drizzle.ts'
import { runInbox, runs } from './schema.ts'
import type { Store } from './store.ts'
import { columnText, isRunId } from './stored-text.ts'

/**
 * The row first, then the run: an id that is there already stops at the first, and the same order in `append` leaves no
 * circle of waits. The run's row is where both meet (append.ts, 3).
 */
const INSERT = `
with queued as (
  insert into run_inbox (id, run_id, workspace, created_at, kind, actor, command)
  select $1, r.id, r.workspace, $4, $5, $6, $7::json from runs r where r.id = $2 and r.workspace = $3
  on conflict (id) do nothing
  returning run_id
),
referenced as (
  insert into blob_refs (run_id, workspace, hash)
  select queued.run_id, $3, hash from queued, unnest($8::text[]) as named (hash)
  on conflict do nothing
)
update runs r set open_commands = r.open_commands + 1, wake_at = least(r.wake_at, $4)
from queued where r.id = queued.run_id
returning r.id`

export function openInbox({ pool, tables }: Database, clock: Clock): Store['inbox'] {
  return {
    async insert({ id, runId, workspace, actor, command }) {
      if (!isRunId(runId)) return { kind: 'no_run' }
      const text = JSON.stringify(command)
      const hashes = textArray(blobHashes(command, text))
      const { rowCount } = await pool.query({
        text: INSERT,
        values: [id, runId, workspace, clock.now(), command.kind, columnText(actor), text, hashes],
      })
      if (rowCount === 1) return { kind: 'queued' }
      const [row] = await tables
        .select({ verdict: runInbox.verdict, workspace: runInbox.workspace, runId: runs.id })
        .from(runInbox)
        .leftJoin(runs, eq(runs.id, runInbox.runId))
        .where(eq(runInbox.id, id))
      if (row && row.runId === null) {
        // The run was removed between the two parts of the statement.
        await tables.delete(runInbox).where(eq(runInbox.id, id))
        return { kind: 'no_run' }
      }
      return row && row.workspace === workspace
        ? { kind: 'exists', verdict: row.verdict }
        : { kind: 'no_run' }
    },

    async verdict(commandId) {
      const [row] = await tables
        .select({ verdict: runInbox.verdict })
        .from(runInbox)
        .where(eq(runInbox.id, commandId))
      return row?.verdict ?? null
    },
  }
}
