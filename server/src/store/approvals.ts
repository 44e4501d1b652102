/** Approvals as inboxes list them. Opened and closed by append.ts, with the events that say so. */

import { pageOf, placeOf } from './cursor.ts'
import type { Database } from './database.ts'
import { and, desc, eq, type SQL, sql } from './drizzle.ts'
import { approvals } from './schema.ts'
import type { ApprovalRow, Store } from './store.ts'
import { isRunId } from './stored-text.ts'

const COLUMNS = {
  id: approvals.id,
  runId: approvals.runId,
  workspace: approvals.workspace,
  key: approvals.stepKey,
  status: sql<ApprovalRow['status']>`${approvals.status}`,
  title: approvals.title,
  body: approvals.body,
  form: approvals.form,
  assignees: approvals.assignees,
  openedAt: approvals.openedAt,
  expiresAt: approvals.expiresAt,
  closedAt: approvals.closedAt,
  actor: approvals.actor,
  patch: approvals.patch,
}

export function openApprovals({ tables }: Database): Store['approvals'] {
  return {
    async get({ workspace, id }) {
      const [row] = await tables
        .select(COLUMNS)
        .from(approvals)
        .where(and(eq(approvals.id, id), eq(approvals.workspace, workspace)))
      return row ?? null
    },

    async list({ workspace, status, runId, limit, cursor }) {
      if (runId !== undefined && !isRunId(runId)) return { items: [], nextCursor: null }
      const rows = await tables
        .select(COLUMNS)
        .from(approvals)
        .where(
          and(
            eq(approvals.workspace, workspace),
            status === undefined ? undefined : eq(approvals.status, status),
            runId === undefined ? undefined : eq(approvals.runId, runId),
            cursor === undefined ? undefined : before(cursor),
          ),
        )
        .orderBy(desc(approvals.openedAt), desc(approvals.id))
        .limit(limit + 1)
      return pageOf(rows, limit, (row) => [row.openedAt, row.id])
    },
  }
}

function before(cursor: string): SQL {
  const [openedAt, id] = placeOf(cursor, ['number', 'string'])
  return sql`(${approvals.openedAt}, ${approvals.id}) < (${openedAt}::bigint, ${id}::text)`
}
