/** Coordinators of the twin among each other: signs of life by the database's clock, and who owns what (R4). */
import type { Clock } from '../../../server/src/clock.ts'
import type { CoordinatorRow, Store } from '../../../server/src/store/store.ts'
import type { Tables } from './tables.ts'

export function openCoordinators(tables: Tables, databaseClock: Pick<Clock, 'now'>): Store['coordinators'] {
  return {
    async beat({ id, name, session, leaving }) {
      const now = databaseClock.now()
      const sessions = new Set([...tables.sessions].map((open) => open.id))
      for (const [other, row] of tables.coordinators)
        if (other !== id && !sessions.has(row.session)) tables.coordinators.delete(other)
      const known = tables.coordinators.get(id)
      const silentBeforeMs = known ? now - known.beatAt : null
      tables.coordinators.set(id, { name, session, leaving, startedAt: known?.startedAt ?? now, beatAt: now })
      return { silentBeforeMs }
    },

    async list() {
      const bySession = new Map([...tables.coordinators].map(([id, row]) => [row.session, { id, ...row }]))
      return [...tables.sessions]
        .flatMap((session): CoordinatorRow[] => {
          const row = bySession.get(session.id)
          if (!row && session.owned.size === 0) return []
          return [
            {
              id: row?.id ?? null,
              name: row?.name ?? session.name,
              partitions: [...session.owned].sort((a, b) => a - b),
              leaving: row?.leaving ?? false,
              startedAt: row?.startedAt ?? 0,
              silentMs: row ? Math.max(0, databaseClock.now() - row.beatAt) : 0,
            },
          ]
        })
        .sort((a, b) => rank(a) - rank(b) || ((a.id ?? '') < (b.id ?? '') ? -1 : 1))
    },

    async evict({ ids, silentMs }) {
      const ended: string[] = []
      for (const id of ids) {
        const row = tables.coordinators.get(id)
        const session = [...tables.sessions].find((open) => open.id === row?.session)
        if (!row || !session || row.beatAt > databaseClock.now() - silentMs) continue
        session.end()
        ended.push(id)
      }
      return ended
    },

    async leave({ id }) {
      tables.coordinators.delete(id)
    },
  }
}

/** Those that take no part stand behind the others. */
const rank = ({ id, startedAt }: CoordinatorRow): number =>
  id === null ? Number.POSITIVE_INFINITY : startedAt
