/**
 * Answers by idempotency key, for every POST that creates something. Runs carry their own key (begin.ts) in the same
 * table; their answer is the run.
 */

import type { Database } from './database.ts'
import { and, eq, lt } from './drizzle.ts'
import { idempotencyKeys } from './schema.ts'
import type { Store } from './store.ts'
import { jsonText } from './stored-text.ts'

type Asked = Parameters<Store['idempotency']['recall']>[0]

export function openIdempotency({ tables }: Database): Store['idempotency'] {
  async function recall({ workspace, route, key, bodyHash }: Asked) {
    const [row] = await tables
      .select({ bodyHash: idempotencyKeys.bodyHash, answer: idempotencyKeys.answer })
      .from(idempotencyKeys)
      .where(
        and(
          eq(idempotencyKeys.workspace, workspace),
          eq(idempotencyKeys.route, route),
          eq(idempotencyKeys.key, key),
        ),
      )
    if (!row) return { kind: 'none' } as const
    return row.bodyHash === bodyHash
      ? ({ kind: 'exists', answer: row.answer } as const)
      : ({ kind: 'key_reused' } as const)
  }

  return {
    async remember({ workspace, route, key, bodyHash, answer, at }) {
      for (;;) {
        const stored = await tables
          .insert(idempotencyKeys)
          .values({ workspace, route, key, bodyHash, createdAt: at, answer: jsonText(answer) })
          .onConflictDoNothing()
          .returning({ key: idempotencyKeys.key })
        if (stored.length > 0) return { kind: 'stored' }
        const found = await recall({ workspace, route, key, bodyHash })
        // `none`: it expired between the two statements.
        if (found.kind !== 'none') return found
      }
    },

    recall,

    async expire({ before }) {
      const { rowCount } = await tables.delete(idempotencyKeys).where(lt(idempotencyKeys.createdAt, before))
      return rowCount ?? 0
    },
  }
}
