/** Definitions by the hash of their graph: immutable (R9). */

import type { Database } from './database.ts'
import { eq } from './drizzle.ts'
import { graphs } from './schema.ts'
import type { Store } from './store.ts'
import { jsonText } from './stored-text.ts'

export function openGraphs({ tables }: Database): Store['graphs'] {
  return {
    async put({ hash, definition }) {
      await tables
        .insert(graphs)
        .values({ hash, definition: jsonText(definition) })
        .onConflictDoNothing()
    },

    async get(hash) {
      const [row] = await tables
        .select({ definition: graphs.definition })
        .from(graphs)
        .where(eq(graphs.hash, hash))
      return row?.definition ?? null
    },
  }
}
