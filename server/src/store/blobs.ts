/**
 * Content-addressed bytes of a workspace. A blob is stored before the value that names it, and `touched_at` keeps it
 * until that value is: collection asks for both, no reference and no touch for a day.
 */
import { createHash } from 'node:crypto'
import type { Database } from './database.ts'
import { and, eq, sql } from './drizzle.ts'
import { blobs } from './schema.ts'
import type { Store } from './store.ts'

export function openBlobs({ tables }: Database): Store['blobs'] {
  return {
    async put({ workspace, bytes, contentType, at }) {
      const hash = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
      const touched = await tables
        .update(blobs)
        .set({ touchedAt: sql`greatest(${blobs.touchedAt}, ${at})` })
        .where(and(eq(blobs.workspace, workspace), eq(blobs.hash, hash)))
        .returning({ hash: blobs.hash })
      if (touched.length === 0) {
        // Only a blob that is new sends its bytes.
        const row = {
          workspace,
          hash,
          contentType,
          bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
        }
        await tables
          .insert(blobs)
          .values({ ...row, createdAt: at, touchedAt: at })
          .onConflictDoUpdate({ target: [blobs.workspace, blobs.hash], set: { touchedAt: at } })
      }
      return { $blob: hash, bytes: bytes.byteLength, contentType }
    },

    async get({ workspace, hash }) {
      const [row] = await tables
        .select({ bytes: blobs.bytes, contentType: blobs.contentType })
        .from(blobs)
        .where(and(eq(blobs.workspace, workspace), eq(blobs.hash, hash)))
      return row ?? null
    },

    async collect({ before, limit }) {
      // Locked first, so that a touch that comes meanwhile is waited for and looked at again.
      const { rowCount } = await tables.execute(sql`
        delete from blobs b using (
          select workspace, hash from blobs
          where touched_at < ${before}
            and not exists (
              select from blob_refs r where r.workspace = blobs.workspace and r.hash = blobs.hash)
          order by touched_at limit ${limit}
          for update skip locked
        ) unused
        where b.workspace = unused.workspace and b.hash = unused.hash and b.touched_at < ${before}`)
      return rowCount ?? 0
    },
  }
}
