/** Messages by correlation in the twin: what `server/src/store/messages.ts` does, each verb in one step. */
import type { Command } from '@weft/engine'
import type { Clock } from '../../../server/src/clock.ts'
import { blobHashes } from '../../../server/src/store/blob-refs.ts'
import { pageOf, placeOf } from '../../../server/src/store/cursor.ts'
import type { MessageRow, MessageStore } from '../../../server/src/store/message-store.ts'
import type { RunAppend } from '../../../server/src/store/store.ts'
import { partitionOf } from '../../../server/src/transport/transport.ts'
import { shown } from './append.ts'
import { keyOf, least, type MessageRecord, parse, refer, type Tables, type WaitRecord } from './tables.ts'

const rowOf = ({ announced, witnesses: _, missed: __, ...row }: MessageRecord): MessageRow => ({
  ...row,
  isAnnounced: announced,
  data: parse(row.data),
  runs: [...row.runs],
})

/** Stands for a run among those that name blobs. */
const holderOf = ({ workspace, id }: { workspace: string; id: string }): string =>
  `message ${workspace} ${id}`

const byAge = (a: MessageRecord, b: MessageRecord): number =>
  a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)

const keyFits = (wait: WaitRecord, correlationKey: string | null): boolean =>
  wait.correlationKey === null || wait.correlationKey === correlationKey

export function openMessages(tables: Tables, clock: Pick<Clock, 'now'>): MessageStore {
  const find = ({ workspace, id }: { workspace: string; id: string }): MessageRecord | undefined =>
    tables.messages.get(keyOf(workspace, shown(id)))
  const isKept = (message: MessageRecord): boolean =>
    message.runs.length === 0 && message.expiresAt > clock.now()
  const kept = (): MessageRecord[] => [...tables.messages.values()].filter(isKept).sort(byAge)
  const openWaits = (): WaitRecord[] =>
    [...tables.waits.values()]
      .filter((wait) => wait.closedAt === null)
      .sort((a, b) => a.openedAt - b.openedAt || (a.id < b.id ? -1 : 1))

  /** Open ones that name and key fit. */
  const waitsFor = ({
    workspace,
    name,
    correlationKey,
  }: Parameters<MessageStore['waits']>[0]): WaitRecord[] =>
    openWaits().filter(
      (wait) => wait.workspace === workspace && wait.name === shown(name) && keyFits(wait, correlationKey),
    )

  function remove(message: MessageRecord): void {
    tables.messages.delete(keyOf(message.workspace, message.id))
    tables.blobRefs.delete(holderOf(message))
  }

  return {
    async keep(message) {
      const known = find(message)
      if (known) return { kind: 'exists', message: rowOf(known) }
      const data = JSON.stringify(message.data)
      const id = shown(message.id)
      const record: MessageRecord = {
        ...message,
        id,
        name: shown(message.name),
        data,
        runs: [],
        offers: 0,
        announced: false,
        witnesses: waitsFor(message).map((wait) => wait.id),
        missed: [],
      }
      tables.messages.set(keyOf(message.workspace, id), record)
      refer(tables, holderOf(record), message.workspace, blobHashes(message.data, data))
      return { kind: 'kept', message: rowOf(record) }
    },

    async waits(request) {
      return waitsFor(request).map(({ id, runId, match }) => ({ waitId: id, runId, match }))
    },

    async give({ workspace, id, to }) {
      const message = find({ workspace, id })
      if (!message || !isKept(message)) return { kind: 'not_kept' }
      const now = clock.now()
      const targets = to.filter(({ runId }) => tables.runs.get(runId)?.workspace === workspace)
      for (const { runId, waitIds } of targets) {
        const command: Command = {
          kind: 'message',
          messageId: message.id,
          name: message.name,
          ...(message.correlationKey === null ? {} : { correlationKey: message.correlationKey }),
          ttlMs: message.expiresAt - message.createdAt,
          waitIds,
          data: parse(message.data),
        }
        const inboxId = `${runId}:message:${message.offers}:${message.id}`
        const row = { id: inboxId, runId, workspace, actor: message.actor, verdict: null }
        tables.inbox.set(inboxId, { ...row, command: JSON.stringify(command) })
        refer(tables, runId, workspace, blobHashes(command.data, message.data))
        const run = tables.runs.get(runId)
        if (!run) continue
        run.openCommands++
        run.wakeAt = least(run.wakeAt, now)
      }
      const runs = targets.map(({ runId }) => runId)
      if (runs.length > 0 && message.offers === 0) {
        const given = targets.flatMap(({ waitIds }) => waitIds)
        message.missed = message.witnesses.filter(
          (waitId) => tables.waits.get(waitId)?.closedAt === null && !given.includes(waitId),
        )
      }
      if (runs.length > 0) Object.assign(message, { runs, offers: message.offers + 1, announced: true })
      return { kind: 'given', runs }
    },

    async announced({ workspace, id, offers }) {
      const message = find({ workspace, id })
      if (message?.offers !== offers || message.runs.length > 0) return false
      message.announced = true
      return true
    },

    async unannounced({ before, limit }) {
      return kept()
        .filter((message) => !message.announced && message.createdAt < before)
        .slice(0, limit)
        .map(rowOf)
    },

    async keptFor({ workspace, name, correlationKey, after, limit }) {
      return kept()
        .filter((message) => message.workspace === workspace && message.name === shown(name))
        .filter((message) => correlationKey === undefined || message.correlationKey === shown(correlationKey))
        .map(rowOf)
        .filter((row) => {
          if (!after) return true
          return row.createdAt > after.createdAt || (row.createdAt === after.createdAt && row.id > after.id)
        })
        .slice(0, limit)
    },

    async expectant({ partitions, limit }) {
      const messages = kept()
      const runIds = openWaits()
        .filter((wait) => partitions.includes(partitionOf(wait.runId)))
        .filter((wait) =>
          messages.some(
            (message) =>
              message.workspace === wait.workspace &&
              message.name === wait.name &&
              keyFits(wait, message.correlationKey),
          ),
        )
        .map(({ runId }) => runId)
      return [...new Set(runIds)].slice(0, limit)
    },

    async list({ workspace, name, correlationKey, limit, cursor }) {
      const place = cursor === undefined ? null : placeOf(cursor, ['number', 'string'])
      const rows = kept()
        .reverse()
        .filter((message) => message.workspace === workspace)
        .filter((message) => name === undefined || message.name === name)
        .filter((message) => correlationKey === undefined || message.correlationKey === correlationKey)
        .filter(
          ({ createdAt, id }) => !place || createdAt < place[0] || (createdAt === place[0] && id < place[1]),
        )
      return pageOf(rows.map(rowOf), limit, (message) => [message.createdAt, message.id])
    },

    async get(request) {
      const message = find(request)
      return message ? rowOf(message) : null
    },

    async delete(request) {
      const message = find(request)
      if (!message) return 'not_found'
      if (message.runs.length > 0) return 'given'
      remove(message)
      return 'deleted'
    },

    async expire({ before, limit }) {
      const old = [...tables.messages.values()]
        .filter((message) => message.expiresAt < clock.now() && message.createdAt < before)
        .slice(0, limit)
      for (const message of old) remove(message)
      return old.length
    },
  }
}

/** Whoever refuses last leaves the message kept, to be held against the open waits anew. `settled`: by this append. */
export function takeBack(
  tables: Tables,
  { runId, workspace, messagesRefused }: RunAppend,
  settled: ReadonlySet<string>,
): void {
  for (const { commandId, messageId } of messagesRefused ?? []) {
    const message = tables.messages.get(keyOf(workspace, messageId))
    if (!message || !settled.has(commandId)) continue
    message.runs = message.runs.filter((id) => id !== runId)
    message.announced = false
  }
}
