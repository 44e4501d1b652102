/** Runs as callers see them: begin, read, list, recover. Their log is written by append.ts, their end by retention.ts. */

import type { Clock } from '../clock.ts'
import { beginInGroups } from './begin.ts'
import { pageOf, placeOf } from './cursor.ts'
import type { Database } from './database.ts'
import { and, desc, eq, gt, ilike, inArray, isNotNull, isNull, type SQL, sql } from './drizzle.ts'
import { readInGroups } from './read-runs.ts'
import { deleteRun, expireRuns } from './retention.ts'
import { countRetries } from './retries.ts'
import { RUN_COLUMNS } from './run-row.ts'
import { runEvents, runs } from './schema.ts'
import type { RunFilter, Store } from './store.ts'
import { isRunId } from './stored-text.ts'

const UNFINISHED = new Set(['queued', 'running', 'waiting', 'paused', 'stopping'])

/** A suffix that fits more runs than this is no reference. */
const MOST_MATCHES = 20

export function openRuns(database: Database, clock: Clock): Store['runs'] {
  const { pool, tables } = database
  const begins = beginInGroups(pool)
  const reads = readInGroups(pool)
  return {
    begin: (run) => begins.add(run),

    get: (wanted) => reads.add(wanted),

    async find({ workspace, reference }) {
      const where = referenced(reference)
      if (!where) return { ids: [] }
      const rows = await tables
        .select({ id: runs.id })
        .from(runs)
        .where(and(eq(runs.workspace, workspace), where))
        .orderBy(desc(runs.createdAt), desc(runs.id))
        .limit(reference.startsWith('@') ? 1 : MOST_MATCHES)
      return { ids: rows.map((row) => row.id) }
    },

    async list(filter) {
      const rows = await tables
        .select(RUN_COLUMNS)
        .from(runs)
        .where(and(...conditions(filter)))
        .orderBy(desc(runs.createdAt), desc(runs.id))
        .limit(filter.limit + 1)
      return pageOf(rows, filter.limit, (row) => [row.createdAt, row.id])
    },

    async count(filter) {
      const [found] = await tables
        .select({ count: sql<number>`count(*)::int` })
        .from(runs)
        .where(and(...conditions(filter)))
      return found?.count ?? 0
    },

    async events({ runId, afterSeq, limit, type }) {
      if (!isRunId(runId)) return []
      const rows = await tables
        .select({ seq: runEvents.seq, event: runEvents.data })
        .from(runEvents)
        .where(
          and(
            eq(runEvents.runId, runId),
            gt(runEvents.seq, afterSeq),
            type === undefined ? undefined : eq(runEvents.type, type),
          ),
        )
        .orderBy(runEvents.seq)
        .limit(limit)
      return rows
    },

    delete: (request) => deleteRun(tables, request),
    expire: (request) => expireRuns(tables, request),

    async recover({ workspace, id }) {
      if (!isRunId(id)) return false
      const rows = await tables
        .update(runs)
        .set({ stuckReason: null, wakeAt: clock.now() })
        .where(and(eq(runs.id, id), eq(runs.workspace, workspace), isNotNull(runs.stuckReason)))
        .returning({ id: runs.id })
      return rows.length > 0
    },

    async counts() {
      const unfinished = await tables
        .select({ status: runs.status, count: sql<number>`count(*)::int` })
        .from(runs)
        .where(isNull(runs.finishedAt))
        .groupBy(runs.status)
      const [stuck] = await tables
        .select({ count: sql<number>`count(*)::int` })
        .from(runs)
        .where(isNotNull(runs.stuckReason))
      return {
        byStatus: Object.fromEntries(unfinished.map(({ status, count }) => [status, count])),
        stuck: stuck?.count ?? 0,
      }
    },

    retries: ({ now }) => countRetries(database, now),
  }
}

/** The condition that a reference means, or null when it can name no run. */
function referenced(reference: string): SQL | undefined | null {
  // What a person calls "the last run" is one that somebody started, not a body or child of it.
  if (reference === '@last') return isNull(runs.parentId)
  if (reference.startsWith('@last:')) return and(isNull(runs.parentId), eq(runs.workflow, reference.slice(6)))
  if (isRunId(reference)) return eq(runs.id, reference)
  if (!/^[0-9a-f-]{6,35}$/i.test(reference)) return null
  // Answered from `runs_by_creation` alone: no index is kept for what people type now and then.
  return ilike(sql`${runs.id}::text`, `%${reference}`)
}

function conditions(filter: Omit<RunFilter, 'limit'>): (SQL | undefined)[] {
  const { workspace, status, workflow, labels, parentId, stuck, roots, cursor } = filter
  if (parentId !== undefined && !isRunId(parentId)) return [sql`false`]
  return [
    eq(runs.workspace, workspace),
    status && inArray(runs.status, [...status]),
    // Said twice, so that the partial indexes `runs_unfinished` and `runs_failed` answer.
    status?.every((name) => UNFINISHED.has(name)) ? isNull(runs.finishedAt) : undefined,
    status?.every((name) => name === 'failed') ? isNotNull(runs.error) : undefined,
    workflow === undefined ? undefined : eq(runs.workflow, workflow),
    stuck ? isNotNull(runs.stuckReason) : undefined,
    labels && Object.keys(labels).length > 0
      ? sql`${runs.labels} @> ${JSON.stringify(labels)}::jsonb and ${runs.labels} <> '{}'::jsonb`
      : undefined,
    parentId === undefined ? undefined : eq(runs.parentId, parentId),
    roots ? isNull(runs.parentId) : undefined,
    cursor === undefined ? undefined : before(cursor),
  ]
}

function before(cursor: string): SQL {
  const [createdAt, id] = placeOf(cursor, ['number', 'string'])
  return sql`(${runs.createdAt}, ${runs.id}) < (${createdAt}::bigint, ${id}::uuid)`
}
