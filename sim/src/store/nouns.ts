/** The smaller nouns of the twin that runs and their steps use. */
import { createHash } from 'node:crypto'
import type { JsonObject } from '@weft/engine'
import type { Clock } from '../../../server/src/clock.ts'
import { blobHashes } from '../../../server/src/store/blob-refs.ts'
import { pageOf, placeOf } from '../../../server/src/store/cursor.ts'
import type { Store, StoredWorkflow } from '../../../server/src/store/store.ts'
import { shown } from './append.ts'
import { blobName, eventsOf, keyOf, least, parse, refer, type Tables, type WorkflowRecord } from './tables.ts'

const LATEST = 'latest'

export function openInbox(tables: Tables, clock: Pick<Clock, 'now'>): Store['inbox'] {
  const verdictOf = (id: string) => parse(tables.inbox.get(id)?.verdict ?? null) as never
  return {
    async insert({ id, runId, workspace, actor, command }) {
      const run = tables.runs.get(runId)
      const known = tables.inbox.get(id)
      if (known) {
        if (known.workspace !== workspace) return { kind: 'no_run' }
        return { kind: 'exists', verdict: verdictOf(id) }
      }
      if (run?.workspace !== workspace) return { kind: 'no_run' }
      const text = JSON.stringify(command)
      tables.inbox.set(id, { id, runId, workspace, actor: shown(actor), command: text, verdict: null })
      refer(tables, runId, workspace, blobHashes(command, text))
      run.openCommands++
      run.wakeAt = least(run.wakeAt, clock.now())
      return { kind: 'queued' }
    },
    async verdict(commandId) {
      return verdictOf(commandId)
    },
  }
}

export function openGraphs(tables: Tables): Store['graphs'] {
  return {
    async put({ hash, definition }) {
      if (!tables.graphs.has(hash)) tables.graphs.set(hash, JSON.stringify(definition))
    },
    async get(hash) {
      return parse(tables.graphs.get(hash) ?? null)
    },
  }
}

export function openWorkflows(tables: Tables): Store['workflows'] {
  const named = (workspace: string, name: string) => tables.workflows.get(keyOf(workspace, name))
  const shownVersion = (record: WorkflowRecord, version: number | undefined): StoredWorkflow | null => {
    const found = record.versions.find((row) => row.version === version)
    if (!found) return null
    const tags = [...record.tags].flatMap(([tag, at]) => (at === version ? [tag] : []))
    return { ...found, tags: tags.sort() }
  }
  return {
    async push({ workspace, name, graph, definition, source, description, tags, at }) {
      const record: WorkflowRecord = named(workspace, name) ?? { versions: [], tags: new Map() }
      tables.workflows.set(keyOf(workspace, name), record)
      const newest = record.versions.at(-1)
      const created =
        newest?.graph !== graph ||
        newest.source !== source ||
        JSON.stringify(newest.definition) !== JSON.stringify(definition)
      const version = created ? (newest?.version ?? 0) + 1 : newest.version
      if (created)
        record.versions.push({ name, version, graph, description, source, definition, createdAt: at })
      for (const tag of created ? [...tags, LATEST] : tags) record.tags.set(tag, version)
      return { version, created }
    },
    async get({ workspace, reference }) {
      const [name = '', label = LATEST] = reference.split('@')
      const record = named(workspace, name)
      return record
        ? shownVersion(record, /^\d{1,9}$/.test(label) ? Number(label) : record.tags.get(label))
        : null
    },
    async list({ workspace, limit, cursor }) {
      const after = cursor === undefined ? '' : placeOf(cursor, ['string'])[0]
      const rows = [...tables.workflows]
        .filter(([key]) => JSON.parse(key)[0] === workspace)
        .flatMap(([, record]) => shownVersion(record, record.versions.at(-1)?.version) ?? [])
        .filter((row) => row.name > after)
        .sort((a, b) => (a.name < b.name ? -1 : 1))
      return pageOf(rows, limit, (row) => [row.name])
    },
    async versions({ workspace, name }) {
      const record = named(workspace, name)
      if (!record) return []
      return record.versions.toReversed().flatMap(({ version }) => shownVersion(record, version) ?? [])
    },
    async tag({ workspace, name, tag, version }) {
      const record = named(workspace, name)
      if (!record?.versions.some((row) => row.version === version)) return false
      record.tags.set(tag, version)
      return true
    },
    async delete({ workspace, name }) {
      return tables.workflows.delete(keyOf(workspace, name))
    },
  }
}

export function openApprovals(tables: Tables): Store['approvals'] {
  return {
    async get({ workspace, id }) {
      const row = tables.approvals.get(id)
      return row?.workspace === workspace ? { ...row } : null
    },
    async list({ workspace, status, runId, limit, cursor }) {
      const place = cursor === undefined ? null : placeOf(cursor, ['number', 'string'])
      const rows = [...tables.approvals.values()]
        .filter((row) => row.workspace === workspace)
        .filter((row) => status === undefined || row.status === status)
        .filter((row) => runId === undefined || row.runId === runId)
        .filter(
          (row) => !place || row.openedAt < place[0] || (row.openedAt === place[0] && row.id < place[1]),
        )
        .sort((a, b) => b.openedAt - a.openedAt || (a.id < b.id ? 1 : -1))
      return pageOf(
        rows.map((row) => ({ ...row })),
        limit,
        (row) => [row.openedAt, row.id],
      )
    },
  }
}

export function openBlobs(tables: Tables): Store['blobs'] {
  return {
    async put({ workspace, bytes, contentType, at }) {
      const hash = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
      const known = tables.blobs.get(blobName(workspace, hash))
      if (known) known.touchedAt = Math.max(known.touchedAt, at)
      else {
        const row = { workspace, hash, bytes: Uint8Array.from(bytes), contentType, touchedAt: at }
        tables.blobs.set(blobName(workspace, hash), row)
      }
      return { $blob: hash, bytes: bytes.byteLength, contentType }
    },
    async get({ workspace, hash }) {
      const row = tables.blobs.get(blobName(workspace, hash))
      return row ? { bytes: Uint8Array.from(row.bytes), contentType: row.contentType } : null
    },
    async collect({ before, limit }) {
      const named = new Set([...tables.blobRefs.values()].flatMap((names) => [...names]))
      const unused = [...tables.blobs]
        .filter(([name, row]) => row.touchedAt < before && !named.has(name))
        .sort(([, a], [, b]) => a.touchedAt - b.touchedAt)
        .slice(0, limit)
      for (const [name] of unused) tables.blobs.delete(name)
      return unused.length
    },
  }
}

export function openRecords(tables: Tables): Store['records'] {
  return {
    async once({ runId, key, round, attempt, name, value }) {
      for (const record of tables.records.values()) {
        const sameRound = record.runId === runId && record.key === key && record.round === round
        if (sameRound && record.attempt > attempt) return { refused: true }
      }
      const id = keyOf(runId, key, round, name)
      const known = tables.records.get(id)
      if (known) return { value: parse(known.value) }
      const text = JSON.stringify(value)
      tables.records.set(id, { runId, key, round, attempt, value: text })
      const run = tables.runs.get(runId)
      if (run) refer(tables, runId, run.workspace, blobHashes(value, text))
      return { value }
    },
    async get({ runId, key, round, name }) {
      const known = tables.records.get(keyOf(runId, key, round, name))
      return known ? { value: parse(known.value) } : null
    },
    async completion({ runId, key, round }) {
      const run = tables.runs.get(runId)
      for (const { event } of run ? eventsOf(run) : []) {
        if (event.type !== 'step.completed' && event.type !== 'step.repeated') continue
        if (event.key !== key || event.round !== round) continue
        return event.type === 'step.repeated'
          ? { attempt: null, worker: null }
          : { attempt: event.attempt, worker: event.worker ?? null }
      }
      return null
    },
  }
}

export function openVariables(tables: Tables): Store['variables'] {
  return {
    async get({ workspace, names }) {
      const found: JsonObject = {}
      for (const name of names) {
        const known = tables.variables.get(keyOf(workspace, name))
        if (known) found[name] = parse(known.value)
      }
      return found
    },
    async list({ workspace }) {
      return [...tables.variables]
        .map(([key, row]) => ({ key: JSON.parse(key) as [string, string], row }))
        .filter(({ key }) => key[0] === workspace)
        .map(({ key, row }) => ({ name: key[1], value: parse(row.value), updatedAt: row.updatedAt }))
        .sort((a, b) => (a.name < b.name ? -1 : 1))
    },
    async set({ workspace, name, value, at }) {
      tables.variables.set(keyOf(workspace, name), { value: JSON.stringify(value), updatedAt: at })
    },
    async delete({ workspace, name }) {
      return tables.variables.delete(keyOf(workspace, name))
    },
  }
}

export function openIdempotency(tables: Tables): Store['idempotency'] {
  const nameOf = (asked: { workspace: string; route: string; key: string }): string =>
    keyOf(asked.workspace, asked.route, asked.key)
  const recall = (asked: Parameters<Store['idempotency']['recall']>[0]) => {
    const known = tables.idempotency.get(nameOf(asked))
    if (!known) return { kind: 'none' } as const
    return known.bodyHash === asked.bodyHash
      ? ({ kind: 'exists', answer: parse(known.answer) } as const)
      : ({ kind: 'key_reused' } as const)
  }
  return {
    async remember({ answer, at, ...asked }) {
      const found = recall(asked)
      if (found.kind !== 'none') return found
      const record = { bodyHash: asked.bodyHash, createdAt: at, runId: null, answer: JSON.stringify(answer) }
      tables.idempotency.set(nameOf(asked), record)
      return { kind: 'stored' }
    },
    async recall(asked) {
      return recall(asked)
    },
    async expire({ before }) {
      const old = [...tables.idempotency].filter(([, row]) => row.createdAt < before)
      for (const [key] of old) tables.idempotency.delete(key)
      return old.length
    },
  }
}
