/** The registry of node types: every worker adds its own, and they stay when it leaves. */

import { jsonArray, textArray } from './binary-array.ts'
import type { Database } from './database.ts'
import { eq } from './drizzle.ts'
import { nodeTypes } from './schema.ts'
import type { Store } from './store.ts'

export function openNodeTypes({ pool, tables }: Database): Store['nodeTypes'] {
  return {
    async register({ workspace, types, at }) {
      const sorted = [...new Map(types.map((info) => [info.type, info])).values()].sort((a, b) =>
        a.type < b.type ? -1 : 1,
      )
      await pool.query(
        `insert into node_types (workspace, type, info, registered_at)
         select $1, type, info, $4::bigint from unnest($2::text[], $3::json[]) as t (type, info)
         on conflict (workspace, type) do update set info = excluded.info, registered_at = excluded.registered_at`,
        [
          workspace,
          textArray(sorted.map((info) => info.type)),
          jsonArray(sorted.map((info) => JSON.stringify(info))),
          at,
        ],
      )
    },

    async list({ workspace }) {
      const rows = await tables
        .select({ info: nodeTypes.info })
        .from(nodeTypes)
        .where(eq(nodeTypes.workspace, workspace))
        .orderBy(nodeTypes.type)
      return rows.map((row) => row.info)
    },
  }
}
