/**
 * Sessions of the twin and their advisory locks: what ends a session frees its partitions, and it writes nothing any more
 * (R3). `ended` resolves whoever ended it.
 */
import type { Command } from '@weft/engine'
import type { Clock } from '../../../server/src/clock.ts'
import {
  type InboxRow,
  type LoadedRun,
  type OwnerSession,
  SessionLost,
} from '../../../server/src/store/store.ts'
import { partitionOf } from '../../../server/src/transport/transport.ts'
import { append, shown } from './append.ts'
import { eventsOf, least, rowOf, type Tables } from './tables.ts'

export interface Session {
  readonly id: string
  readonly name: string
  isOpen: boolean
  readonly owned: Set<number>
  /** Ends it, as its owner, a peer or a broken connection does. */
  end(): void
}

export interface TwinSession extends OwnerSession {
  readonly session: Session
}

export function openOwner(tables: Tables, clock: Pick<Clock, 'now'>, name: string): TwinSession {
  let resolveEnded = (): void => {}
  const ended = new Promise<void>((resolve) => {
    resolveEnded = resolve
  })
  const session: Session = {
    id: `session ${++tables.sessionCount}`,
    name,
    isOpen: true,
    owned: new Set(),
    end() {
      if (!session.isOpen) return
      session.isOpen = false
      for (const partition of session.owned) tables.locks.delete(partition)
      session.owned.clear()
      tables.sessions.delete(session)
      resolveEnded()
    },
  }
  tables.sessions.add(session)

  function requireOpen(): void {
    if (!session.isOpen) throw new SessionLost(`the session of ${name} has ended`)
  }

  function requireOwned(runs: readonly { readonly runId: string }[]): void {
    requireOpen()
    for (const { runId } of runs) {
      if (!session.owned.has(partitionOf(runId)))
        throw new SessionLost(`the session of ${name} does not own partition ${partitionOf(runId)}`)
    }
  }

  return {
    id: session.id,
    session,
    ended,

    async claim(partitions) {
      requireOpen()
      for (const partition of partitions) {
        if (tables.locks.has(partition)) continue
        tables.locks.set(partition, session)
        session.owned.add(partition)
      }
      return partitions.filter((partition) => session.owned.has(partition))
    },

    async release(partitions) {
      requireOpen()
      for (const partition of partitions) if (session.owned.delete(partition)) tables.locks.delete(partition)
    },

    async append(batch) {
      requireOwned(batch)
      append(tables, batch, clock.now())
    },

    async load(runIds) {
      return new Map(
        runIds.flatMap((id): [string, LoadedRun][] => {
          const run = tables.runs.get(id)
          if (!run) return []
          return [[id, { row: rowOf(run), events: eventsOf(run), inbox: inboxOf(tables, id) }]]
        }),
      )
    },

    async inbox(runIds) {
      const found = new Map<string, InboxRow[]>()
      for (const id of new Set(runIds)) {
        const rows = inboxOf(tables, id)
        if (rows.length > 0) found.set(id, rows)
      }
      return found
    },

    async due({ partitions, now, limit }) {
      requireOpen()
      const wanted = new Set(partitions)
      return [...tables.runs.values()]
        .flatMap(({ id, wakeAt, stuckReason }) =>
          wakeAt !== null && wakeAt <= now && stuckReason === null && wanted.has(partitionOf(id))
            ? [{ runId: id, wakeAt }]
            : [],
        )
        .sort((a, b) => a.wakeAt - b.wakeAt || (a.runId < b.runId ? -1 : 1))
        .slice(0, limit)
    },

    async postpone(runs) {
      requireOwned(runs)
      for (const { runId, wakeAt } of runs) {
        const run = tables.runs.get(runId)
        if (run) run.wakeAt = run.openCommands > 0 ? least(run.wakeAt, wakeAt) : wakeAt
      }
    },

    async quarantine({ runId, reason }) {
      requireOwned([{ runId }])
      const run = tables.runs.get(runId)
      if (run) run.stuckReason = shown(reason)
    },

    async close() {
      session.end()
    },
  }
}

/** Commands that wait for their verdict, oldest first. */
const inboxOf = (tables: Tables, runId: string): InboxRow[] =>
  [...tables.inbox.values()]
    .filter((row) => row.runId === runId && row.verdict === null)
    .map(({ id, actor, command }) => ({ id, runId, actor, command: JSON.parse(command) as Command }))
