/** API keys, by their hash; the key itself is never stored (R14). */

import type { Clock } from '../clock.ts'
import { pageOf, placeOf } from './cursor.ts'
import type { Database } from './database.ts'
import { and, desc, eq, type SQL, sql } from './drizzle.ts'
import { apiKeys, workspaces } from './schema.ts'
import type { Store } from './store.ts'
import { isRunId } from './stored-text.ts'

const SHOWN = {
  id: apiKeys.id,
  name: apiKeys.name,
  role: apiKeys.role,
  taskTypes: apiKeys.taskTypes,
  createdAt: apiKeys.createdAt,
  expiresAt: apiKeys.expiresAt,
}

export function openKeys({ tables }: Database, clock: Clock): Store['keys'] {
  const ofWorkspace = (workspace: string, id: string): SQL | undefined =>
    and(eq(apiKeys.workspace, workspace), eq(apiKeys.id, id))

  return {
    async ensure({ workspace, hash, name, role, at }) {
      await tables.insert(workspaces).values({ name: workspace, createdAt: at }).onConflictDoNothing()
      await tables
        .insert(apiKeys)
        .values({ id: clock.id(), workspace, hash, name, role, createdAt: at })
        .onConflictDoUpdate({
          target: apiKeys.hash,
          set: { workspace, name, role, expiresAt: null, taskTypes: null },
        })
    },

    async create({ workspace, hash, name, role, taskTypes, expiresAt, at }) {
      return tables.transaction(async (transaction) => {
        // The workspace's row is the lock under which its names are unique.
        await transaction
          .select({ name: workspaces.name })
          .from(workspaces)
          .where(eq(workspaces.name, workspace))
          .for('update')
        const [taken] = await transaction
          .select({ id: apiKeys.id })
          .from(apiKeys)
          .where(and(eq(apiKeys.workspace, workspace), eq(apiKeys.name, name)))
          .limit(1)
        if (taken) return null
        const [row] = await transaction
          .insert(apiKeys)
          .values({
            id: clock.id(),
            workspace,
            hash,
            name,
            role,
            taskTypes: taskTypes === null ? null : [...taskTypes],
            createdAt: at,
            expiresAt,
          })
          .returning(SHOWN)
        return row ?? null
      })
    },

    async list({ workspace, limit, cursor }) {
      const rows = await tables
        .select(SHOWN)
        .from(apiKeys)
        .where(and(eq(apiKeys.workspace, workspace), cursor === undefined ? undefined : before(cursor)))
        .orderBy(desc(apiKeys.createdAt), desc(apiKeys.id))
        .limit(limit + 1)
      return pageOf(rows, limit, (row) => [row.createdAt, row.id])
    },

    async revoke({ workspace, id }) {
      if (!isRunId(id)) return null
      const [row] = await tables
        .delete(apiKeys)
        .where(ofWorkspace(workspace, id))
        .returning({ hash: apiKeys.hash })
      return row?.hash ?? null
    },

    async find(hash) {
      const [row] = await tables
        .select({
          id: apiKeys.id,
          workspace: apiKeys.workspace,
          name: apiKeys.name,
          role: apiKeys.role,
          taskTypes: apiKeys.taskTypes,
          expiresAt: apiKeys.expiresAt,
        })
        .from(apiKeys)
        .where(eq(apiKeys.hash, hash))
      return row ?? null
    },
  }
}

function before(cursor: string): SQL {
  const [createdAt, id] = placeOf(cursor, ['number', 'string'])
  return sql`(${apiKeys.createdAt}, ${apiKeys.id}) < (${createdAt}::bigint, ${id}::uuid)`
}
