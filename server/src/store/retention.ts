/**
 * How runs go: by hand and by age, with everything that belongs to them.
 *
 * 1. Only what is finished goes, and has no command left to answer: inserting one sets `wake_at` on the run's row (R15),
 *    which is locked and looked at again here, so that a retry that was accepted cannot lose its run.
 * 2. A family goes together. A child is kept as long as its parent, which may be retried; a parent is kept until its
 *    last child has ended.
 */
import { and, eq, isNotNull, isNull, type NodePgDatabase, type SQL, sql } from './drizzle.ts'
import { approvals, blobRefs, runEvents, runInbox, runs, stepRecords, waits } from './schema.ts'
import { among, isRunId } from './stored-text.ts'

const OF_A_RUN = [runEvents, runInbox, waits, approvals, stepRecords, blobRefs] as const

type Transaction = Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]

/** Runs of the list that may go, locked; whoever is writing to one of them is not waited for. */
async function lockFinished(transaction: Transaction, which: SQL): Promise<string[]> {
  const rows = await transaction
    .select({ id: runs.id })
    .from(runs)
    .where(and(which, isNotNull(runs.finishedAt), isNull(runs.wakeAt)))
    .for('update', { skipLocked: true })
  return rows.map((row) => row.id)
}

async function remove(transaction: Transaction, ids: string[]): Promise<void> {
  for (const table of OF_A_RUN) await transaction.delete(table).where(among(table.runId, ids))
  await transaction.delete(runs).where(among(runs.id, ids))
}

export function deleteRun(
  tables: NodePgDatabase,
  { workspace, id }: { workspace: string; id: string },
): Promise<'deleted' | 'not_found' | 'not_finished'> {
  if (!isRunId(id)) return Promise.resolve('not_found')
  return tables.transaction(async (transaction) => {
    const [run] = await transaction
      .select({ id: runs.id })
      .from(runs)
      .where(and(eq(runs.id, id), eq(runs.workspace, workspace)))
    if (!run) return 'not_found'
    const family = await transaction.execute<{ id: string }>(sql`
      with recursive family as (
        select ${id}::uuid as id
        union select child.id from runs child join family on child.parent_id = family.id
      ) select id from family`)
    const ids = family.rows.map((row) => row.id)
    const finished = await lockFinished(transaction, among(runs.id, ids))
    if (finished.length < ids.length) return 'not_finished'
    await remove(transaction, ids)
    return 'deleted'
  })
}

/** `limit` bounds the families of one batch. */
export function expireRuns(
  tables: NodePgDatabase,
  { before, limit }: { before: number; limit: number },
): Promise<number> {
  return tables.transaction(async (transaction) => {
    const old = await transaction.execute<{ id: string }>(sql`
      select r.id from runs r
      where r.finished_at < ${before} and r.parent_id is null and r.wake_at is null
        and not exists (
          select from runs child where child.root_id = r.id and (child.finished_at is null or child.wake_at is not null))
      order by r.finished_at
      limit ${limit}`)
    if (old.rows.length === 0) return 0
    const roots = await lockFinished(
      transaction,
      among(
        runs.id,
        old.rows.map((row) => row.id),
      ),
    )
    if (roots.length === 0) return 0
    const children = await transaction
      .select({ id: runs.id, root: runs.rootId })
      .from(runs)
      .where(among(runs.rootId, roots))
    const free = new Set(await lockFinished(transaction, among(runs.rootId, roots)))
    const busy = new Set(children.filter((child) => !free.has(child.id)).map((child) => child.root))
    const ids = [
      ...roots.filter((id) => !busy.has(id)),
      ...children.filter((child) => !busy.has(child.root)).map((child) => child.id),
    ]
    if (ids.length > 0) await remove(transaction, ids)
    return ids.length
  })
}
