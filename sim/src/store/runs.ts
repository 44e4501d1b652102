/** Runs of the twin: begin, read, list, recover, and how they go. */
import { parseKey, type RunEvent, type RunStatus } from '@weft/engine'
import type { Clock } from '../../../server/src/clock.ts'
import { blobHashes } from '../../../server/src/store/blob-refs.ts'
import { pageOf, placeOf } from '../../../server/src/store/cursor.ts'
import {
  type BeginOutcome,
  type NewRun,
  RowRefused,
  type RunFilter,
  type Store,
} from '../../../server/src/store/store.ts'
import { addToLog, shown } from './append.ts'
import { eventsOf, keyOf, type RunRecord, refer, rowOf, type Tables } from './tables.ts'

/** Dead-man's switch of a run that has just begun (R6). */
const FIRST_WAKE_MS = 10_000
const MOST_MATCHES = 20

export function openRuns(tables: Tables, clock: Pick<Clock, 'now'>): Store['runs'] {
  const ofWorkspace = (workspace: string, id: string): RunRecord | null => {
    const run = tables.runs.get(id)
    return run?.workspace === workspace ? run : null
  }
  const listed = (filter: Omit<RunFilter, 'limit'>): RunRecord[] =>
    [...tables.runs.values()].filter((run) => matches(run, filter)).sort(newestFirst)

  return {
    async begin(run) {
      return begin(tables, run)
    },

    async get({ workspace, id }) {
      const run = ofWorkspace(workspace, id)
      return run && rowOf(run)
    },

    async find({ workspace, reference }) {
      const named = referenceOf(reference)
      if (!named) return { ids: [] }
      const found = listed({ workspace }).filter(named)
      return { ids: found.slice(0, reference.startsWith('@') ? 1 : MOST_MATCHES).map(({ id }) => id) }
    },

    async list(filter) {
      const rows = listed(filter)
        .slice(0, filter.limit + 1)
        .map(rowOf)
      return pageOf(rows, filter.limit, (row) => [row.createdAt, row.id])
    },

    async count(filter) {
      return listed(filter).length
    },

    async events({ runId, afterSeq, limit, type }) {
      const run = tables.runs.get(runId)
      if (!run) return []
      return eventsOf(run)
        .filter(({ seq, event }) => seq > afterSeq && (type === undefined || event.type === type))
        .slice(0, limit)
    },

    async delete({ workspace, id }) {
      if (!ofWorkspace(workspace, id)) return 'not_found'
      const family = familyOf(tables, id)
      if (!family.every(mayGo)) return 'not_finished'
      for (const run of family) remove(tables, run.id)
      return 'deleted'
    },

    async expire({ before, limit }) {
      const families = [...tables.runs.values()]
        .filter((run) => run.parentId === null && run.finishedAt !== null && run.finishedAt < before)
        .sort((a, b) => (a.finishedAt as number) - (b.finishedAt as number))
        .map((run) => familyOf(tables, run.id))
        .filter((family) => family.every(mayGo))
        .slice(0, limit)
      for (const run of families.flat()) remove(tables, run.id)
      return families.flat().length
    },

    async recover({ workspace, id }) {
      const run = ofWorkspace(workspace, id)
      if (!run || run.stuckReason === null) return false
      run.stuckReason = null
      run.wakeAt = clock.now()
      return true
    },

    async counts() {
      const byStatus: Record<string, number> = {}
      let stuck = 0
      for (const run of tables.runs.values()) {
        if (run.finishedAt === null) byStatus[run.status] = (byStatus[run.status] ?? 0) + 1
        if (run.stuckReason !== null) stuck++
      }
      return { byStatus, stuck }
    },
    async retries({ now }) {
      const counts: Record<string, number> = {}
      for (const run of tables.runs.values()) {
        if (run.finishedAt !== null || run.status === 'stopping') continue
        const events = eventsOf(run).map(({ event }) => event)
        const anew = events.findLastIndex((event) => event.type === 'run.retried')
        const graph = tables.graphs.get(run.graph)
        if (graph === undefined) continue
        const { nodes } = JSON.parse(graph) as { nodes: Record<string, { type: string }> }
        for (const event of events.slice(anew + 1)) {
          if (event.type !== 'attempt.failed' || event.retryAt <= now) continue
          const { type } = nodes[parseKey(event.key).id] as { type: string }
          counts[type] = (counts[type] ?? 0) + 1
        }
      }
      return counts
    },
  }
}

function begin(tables: Tables, run: NewRun): BeginOutcome {
  const { id, workspace, started, copied = [], idempotency } = run
  // Labels are `jsonb`, which refuses NUL.
  const labels = JSON.stringify(started.labels)
  if (labels.includes('\\u0000')) throw new RowRefused('22P05', 'a label holds NUL')
  if (idempotency) {
    const name = keyOf(workspace, idempotency.route, idempotency.key)
    const holder = tables.idempotency.get(name)
    if (holder) {
      if (holder.bodyHash !== idempotency.bodyHash) return { kind: 'key_reused' }
      return { kind: 'exists', runId: holder.runId ?? id }
    }
    const { bodyHash } = idempotency
    tables.idempotency.set(name, { bodyHash, createdAt: started.at, runId: id, answer: 'null' })
  }
  if (tables.runs.has(id)) return { kind: 'exists', runId: id }
  const createdAt = started.forkedFrom?.at ?? started.at
  const record: RunRecord = {
    id,
    workspace,
    workflow: shown(run.workflow),
    version: run.version,
    graph: run.graph,
    status: 'queued',
    waitingFor: [],
    labels,
    input: JSON.stringify(started.input),
    output: null,
    error: null,
    parent: started.parent ? JSON.stringify(started.parent) : null,
    parentId: started.parent?.runId ?? null,
    rootId: started.parent?.rootId ?? null,
    createdAt,
    finishedAt: null,
    wakeAt: createdAt + FIRST_WAKE_MS,
    stuckReason: null,
    openCommands: 0,
    log: new Map(),
    seq: 0,
  }
  const events: readonly RunEvent[] = [started, ...copied]
  for (const [index, event] of events.entries()) {
    const text = JSON.stringify(event)
    addToLog(record, index + 1, event, text)
    refer(tables, id, workspace, blobHashes(event, text))
  }
  tables.runs.set(id, record)
  return { kind: 'begun' }
}

const newestFirst = (a: RunRecord, b: RunRecord): number =>
  b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1)

function referenceOf(reference: string): ((run: RunRecord) => boolean) | null {
  if (reference === '@last') return (run) => run.parentId === null
  if (reference.startsWith('@last:')) {
    const workflow = reference.slice(6)
    return (run) => run.parentId === null && run.workflow === workflow
  }
  if (!/^[0-9a-f-]{6,36}$/i.test(reference)) return null
  return (run) => run.id.endsWith(reference.toLowerCase())
}

function matches(run: RunRecord, filter: Omit<RunFilter, 'limit'>): boolean {
  const { workspace, status, workflow, labels, parentId, stuck, roots, cursor } = filter
  if (run.workspace !== workspace) return false
  if (status && !status.includes(run.status as RunStatus)) return false
  if (workflow !== undefined && run.workflow !== workflow) return false
  if (parentId !== undefined && run.parentId !== parentId) return false
  if (stuck && run.stuckReason === null) return false
  if (roots && run.parentId !== null) return false
  if (labels) {
    const own = JSON.parse(run.labels) as Record<string, string>
    if (Object.entries(labels).some(([name, value]) => own[name] !== value)) return false
  }
  if (cursor === undefined) return true
  const [createdAt, id] = placeOf(cursor, ['number', 'string'])
  return run.createdAt < createdAt || (run.createdAt === createdAt && run.id < id)
}

/** Only what is finished goes, and has no command left to answer. */
const mayGo = (run: RunRecord): boolean => run.finishedAt !== null && run.wakeAt === null

function familyOf(tables: Tables, id: string): RunRecord[] {
  const run = tables.runs.get(id)
  if (!run) return []
  const children = [...tables.runs.values()].filter((child) => child.parentId === id)
  return [run, ...children.flatMap((child) => familyOf(tables, child.id))]
}

function remove(tables: Tables, runId: string): void {
  tables.runs.delete(runId)
  tables.blobRefs.delete(runId)
  for (const table of [tables.inbox, tables.approvals, tables.waits, tables.records])
    for (const [key, row] of table) if (row.runId === runId) table.delete(key)
}
