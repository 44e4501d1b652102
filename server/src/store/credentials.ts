/** Credentials, sealed: what is written and read here is ciphertext and its key's id (R14). */
import type { Database } from './database.ts'
import { and, eq, ne } from './drizzle.ts'
import { credentials } from './schema.ts'
import type { SealedCredential, Store } from './store.ts'

const columnsOf = ({ keyId, nonce, sealed }: SealedCredential) => ({
  keyId,
  nonce: Buffer.from(nonce),
  sealed: Buffer.from(sealed),
})

export function openCredentials({ tables }: Database): Store['credentials'] {
  const named = (workspace: string, name: string) =>
    and(eq(credentials.workspace, workspace), eq(credentials.name, name))
  return {
    async create({ workspace, name, sealed, at }) {
      const rows = await tables
        .insert(credentials)
        .values({ workspace, name, ...columnsOf(sealed), createdAt: at, rotatedAt: at })
        .onConflictDoNothing()
        .returning({ name: credentials.name })
      return rows.length > 0
    },

    async get({ workspace, name }) {
      const [row] = await tables
        .select({ keyId: credentials.keyId, nonce: credentials.nonce, sealed: credentials.sealed })
        .from(credentials)
        .where(named(workspace, name))
      return row ?? null
    },

    list({ workspace }) {
      return tables
        .select({
          name: credentials.name,
          keyId: credentials.keyId,
          createdAt: credentials.createdAt,
          rotatedAt: credentials.rotatedAt,
        })
        .from(credentials)
        .where(eq(credentials.workspace, workspace))
        .orderBy(credentials.name)
        .execute()
    },

    async rotate({ workspace, name, sealed, at }) {
      const [row] = await tables
        .update(credentials)
        .set({ ...columnsOf(sealed), rotatedAt: at })
        .where(named(workspace, name))
        .returning({ createdAt: credentials.createdAt })
      return row ?? null
    },

    async delete({ workspace, name }) {
      const rows = await tables
        .delete(credentials)
        .where(named(workspace, name))
        .returning({ name: credentials.name })
      return rows.length > 0
    },

    sealedOtherwise({ keyId }) {
      return tables
        .select({
          workspace: credentials.workspace,
          name: credentials.name,
          keyId: credentials.keyId,
          nonce: credentials.nonce,
          sealed: credentials.sealed,
        })
        .from(credentials)
        .where(ne(credentials.keyId, keyId))
        .orderBy(credentials.workspace, credentials.name)
        .execute()
    },

    async reseal({ workspace, name, before, sealed }) {
      const rows = await tables
        .update(credentials)
        .set(columnsOf(sealed))
        .where(and(named(workspace, name), eq(credentials.nonce, Buffer.from(before))))
        .returning({ name: credentials.name })
      return rows.length > 0
    },
  }
}
