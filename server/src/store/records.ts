/** What `once` recorded, first commit wins (R7); and who has completed a step. */

import { textArray } from './binary-array.ts'
import { blobHashes } from './blob-refs.ts'
import type { Database } from './database.ts'
import { and, eq, inArray, sql } from './drizzle.ts'
import { runEvents, stepRecords } from './schema.ts'
import type { Store } from './store.ts'
import { isRunId } from './stored-text.ts'

/**
 * Refused once a newer attempt of the round has written anything, also where the name is there already: the worker of an
 * attempt that was replaced stops at its next record, instead of after its next act.
 */
const ONCE = `
with newer as (
  select 1 from step_records where run_id = $1 and step_key = $2 and round = $3 and attempt > $5 limit 1
),
written as (
  insert into step_records (run_id, step_key, round, name, attempt, at, value)
  select $1, $2, $3, $4, $5, $6, $7::json where not exists (select from newer)
  on conflict do nothing
  returning run_id
),
referenced as (
  insert into blob_refs (run_id, workspace, hash)
  select written.run_id, r.workspace, named.hash
  from written join runs r on r.id = written.run_id, unnest($8::text[]) as named (hash)
  on conflict do nothing
)
select exists (select from newer) as refused, exists (select from written) as written`

export function openRecords({ pool, tables }: Database): Store['records'] {
  async function get(request: { runId: string; key: string; round: number; name: string }) {
    if (!isRunId(request.runId)) return null
    const [row] = await tables
      .select({ value: stepRecords.value })
      .from(stepRecords)
      .where(
        and(
          eq(stepRecords.runId, request.runId),
          eq(stepRecords.stepKey, request.key),
          eq(stepRecords.round, request.round),
          eq(stepRecords.name, request.name),
        ),
      )
    return row ?? null
  }

  return {
    async once({ runId, key, round, attempt, name, value, at }) {
      const text = JSON.stringify(value)
      const { rows } = await pool.query<{ refused: boolean; written: boolean }>({
        text: ONCE,
        values: [runId, key, round, name, attempt, at, text, textArray(blobHashes(value, text))],
      })
      const row = rows[0]!
      if (row.refused) return { refused: true }
      return row.written ? { value } : ((await get({ runId, key, round, name })) ?? { value })
    },

    get,

    async completion({ runId, key, round }) {
      if (!isRunId(runId)) return null
      const [row] = await tables
        .select({
          attempt: sql<number | null>`${runEvents.attempt}`,
          worker: sql<string | null>`json_text(${runEvents.data}, 'worker')`,
        })
        .from(runEvents)
        .where(
          and(
            eq(runEvents.runId, runId),
            inArray(runEvents.type, ['step.completed', 'step.repeated']),
            eq(runEvents.stepKey, key),
            eq(runEvents.round, round),
          ),
        )
        .limit(1)
      return row ?? null
    },
  }
}
