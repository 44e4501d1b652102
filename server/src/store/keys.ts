/** API keys, by their hash; the key itself is never stored (R14). */

import type { Clock } from '../clock.ts'
import type { Database } from './database.ts'
import { eq } from './drizzle.ts'
import { apiKeys, workspaces } from './schema.ts'
import type { Store } from './store.ts'

export function openKeys({ tables }: Database, clock: Clock): Store['keys'] {
  return {
    async ensure({ workspace, hash, name, role, at }) {
      await tables.insert(workspaces).values({ name: workspace, createdAt: at }).onConflictDoNothing()
      await tables
        .insert(apiKeys)
        .values({ id: clock.id(), workspace, hash, name, role, createdAt: at })
        .onConflictDoUpdate({ target: apiKeys.hash, set: { workspace, name, role, expiresAt: null } })
    },

    async find(hash) {
      const [row] = await tables
        .select({
          id: apiKeys.id,
          workspace: apiKeys.workspace,
          name: apiKeys.name,
          role: apiKeys.role,
          expiresAt: apiKeys.expiresAt,
        })
        .from(apiKeys)
        .where(eq(apiKeys.hash, hash))
      return row ?? null
    },
  }
}
