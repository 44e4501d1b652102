/** The workspace's variables, read as `vars.<name>` and captured when a run starts. */
import type { JsonObject } from '@weft/engine'
import type { Database } from './database.ts'
import { and, eq, inArray, sql } from './drizzle.ts'
import { variables } from './schema.ts'
import type { Store } from './store.ts'
import { jsonText } from './stored-text.ts'

export function openVariables({ tables }: Database): Store['variables'] {
  return {
    async get({ workspace, names }) {
      if (names.length === 0) return {}
      const rows = await tables
        .select({ name: variables.name, value: variables.value })
        .from(variables)
        .where(and(eq(variables.workspace, workspace), inArray(variables.name, [...names])))
      return Object.fromEntries(rows.map((row) => [row.name, row.value])) as JsonObject
    },

    list({ workspace }) {
      return tables
        .select({ name: variables.name, value: variables.value, updatedAt: variables.updatedAt })
        .from(variables)
        .where(eq(variables.workspace, workspace))
        .orderBy(variables.name)
        .execute()
    },

    async set({ workspace, name, value, at }) {
      await tables
        .insert(variables)
        .values({ workspace, name, value: jsonText(value), updatedAt: at })
        .onConflictDoUpdate({
          target: [variables.workspace, variables.name],
          set: { value: sql`excluded.value`, updatedAt: at },
        })
    },

    async delete({ workspace, name }) {
      const rows = await tables
        .delete(variables)
        .where(and(eq(variables.workspace, workspace), eq(variables.name, name)))
        .returning({ name: variables.name })
      return rows.length > 0
    },
  }
}
