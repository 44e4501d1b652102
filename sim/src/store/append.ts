/**
 * `append` of the twin: what `server/src/store/append.ts` does in one statement, in one step of this thread. Everything
 * is checked first, so that nothing of a refused batch is written.
 */
import type { RunEvent } from '@weft/engine'
import { blobHashes } from '../../../server/src/store/blob-refs.ts'
import { AppendConflict, RowRefused, type RunAppend } from '../../../server/src/store/store.ts'
import { takeBack } from './messages.ts'
import { type ApprovalRecord, keyOf, least, type RunRecord, refer, type Tables } from './tables.ts'

const FINAL_STATUSES: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled'])
const APPROVAL_ENDS: ReadonlySet<string> = new Set([
  'approved',
  'rejected',
  'timeout',
  'refused',
  'superseded',
])

interface Counts {
  settled: number
  told: number
}

/** `now` is when commands count as settled, and when a parent that was told is due. */
export function append(tables: Tables, batch: readonly RunAppend[], now: number): void {
  refuse(tables, batch)
  for (const run of batch) log(tables, run)
  const counts = new Map<string, Counts>()
  const settled = settle(tables, batch, counts)
  for (const run of batch) takeBack(tables, run, settled)
  report(tables, batch, counts)
  for (const run of batch) wait(tables, run)
  for (const run of batch) change(tables, run, counts.get(run.runId), now)
  const inBatch = new Set(batch.map((run) => run.runId))
  for (const runId of new Set(batch.flatMap((run) => run.parentInbox?.parentId ?? []))) {
    if (!inBatch.has(runId)) moveWake(tables.runs.get(runId), undefined, counts.get(runId), now)
  }
}

function refuse(tables: Tables, batch: readonly RunAppend[]): void {
  /** The primary key holds within a statement, too. */
  const numbers = new Set<string>()
  for (const { runId, graph, firstSeq, events } of batch) {
    const texts = [graph ?? '', ...events.map((event) => ('key' in event ? event.key : ''))]
    if (texts.some((text) => text.includes('\0')))
      throw new RowRefused('22021', `a text of run ${runId} holds NUL`)
    const known = tables.runs.get(runId)
    const taken = events.findIndex((_, index) => {
      const seq = firstSeq + index
      const name = keyOf(runId, seq)
      if (known?.log.has(seq) || numbers.has(name)) return true
      numbers.add(name)
      return false
    })
    if (taken >= 0)
      throw new AppendConflict(runId, `event ${firstSeq + taken} of run ${runId} is in its log already`)
  }
}

function log(tables: Tables, { runId, workspace, firstSeq, events }: RunAppend): void {
  const run = tables.runs.get(runId)
  if (!run) return
  for (const [index, event] of events.entries()) {
    const text = JSON.stringify(event)
    addToLog(run, firstSeq + index, event, text)
    refer(tables, runId, workspace, blobHashes(event, text))
  }
}

export function addToLog(run: RunRecord, seq: number, event: RunEvent, text: string): void {
  run.log.set(seq, { seq, at: event.at, type: event.type, text })
  run.seq = Math.max(run.seq, seq)
}

const countsOf = (counts: Map<string, Counts>, runId: string): Counts => {
  const known = counts.get(runId) ?? { settled: 0, told: 0 }
  counts.set(runId, known)
  return known
}

function settle(tables: Tables, batch: readonly RunAppend[], counts: Map<string, Counts>): Set<string> {
  const settled = new Set<string>()
  for (const { commandId, verdict } of batch.flatMap((run) => run.verdicts)) {
    const row = tables.inbox.get(commandId)
    if (!row || row.verdict !== null) continue
    row.verdict = JSON.stringify(verdict)
    countsOf(counts, row.runId).settled++
    settled.add(commandId)
  }
  return settled
}

function report(tables: Tables, batch: readonly RunAppend[], counts: Map<string, Counts>): void {
  for (const { parentInbox, workspace } of batch) {
    if (!parentInbox || tables.inbox.has(parentInbox.id) || !tables.runs.has(parentInbox.parentId)) continue
    const { id, parentId: runId, command } = parentInbox
    const row = { id, runId, workspace, actor: 'engine', command: JSON.stringify(command), verdict: null }
    tables.inbox.set(id, row)
    countsOf(counts, runId).told++
  }
}

function wait(tables: Tables, { runId, workspace, waitsOpened, waitsClosed }: RunAppend): void {
  for (const { waitId, key, wait: spec, wakeAt, at, patch } of waitsOpened) {
    if (spec.kind === 'message' && !tables.waits.has(waitId)) {
      const { name, correlationKey, match = null } = spec
      tables.waits.set(waitId, {
        id: waitId,
        runId,
        workspace,
        name: shown(name),
        correlationKey: correlationKey === undefined ? null : shown(correlationKey),
        match,
        openedAt: at,
        closedAt: null,
      })
    }
    if (spec.kind !== 'approval' || tables.approvals.has(waitId)) continue
    tables.approvals.set(waitId, {
      id: waitId,
      runId,
      workspace,
      key,
      status: 'open',
      title: shown(spec.title),
      body: spec.body === undefined ? null : shown(spec.body),
      form: spec.form === undefined ? null : JSON.parse(JSON.stringify(spec.form)),
      assignees: [...(spec.assignees ?? [])].map(shown),
      openedAt: at,
      expiresAt: wakeAt,
      closedAt: null,
      actor: null,
      patch: patch === undefined ? null : JSON.parse(JSON.stringify(patch)),
    })
  }
  for (const { waitId, outcome, actor, at } of waitsClosed) {
    const heard = tables.waits.get(waitId)
    if (heard) heard.closedAt ??= at
    const row = tables.approvals.get(waitId)
    if (!row) continue
    row.status = (APPROVAL_ENDS.has(outcome) ? outcome : 'closed') as ApprovalRecord['status']
    row.closedAt ??= at
    row.actor = actor === null ? row.actor : shown(actor)
  }
}

/** NUL cannot stand in a text column; what is only shown there gets the replacement character. */
export const shown = (text: string): string => text.replaceAll('\0', '\uFFFD')

function change(tables: Tables, append: RunAppend, counts: Counts | undefined, now: number): void {
  const run = tables.runs.get(append.runId)
  if (!run) return
  run.status = append.status
  run.waitingFor = [...append.waitingFor]
  if (append.graph !== undefined) run.graph = append.graph
  if (append.finished) {
    run.finishedAt = append.finished.at
    run.output = append.finished.output === null ? null : JSON.stringify(append.finished.output)
    run.error = append.finished.error === null ? null : JSON.stringify(append.finished.error)
  } else if (!FINAL_STATUSES.has(append.status)) {
    run.finishedAt = null
    run.output = null
    run.error = null
  }
  moveWake(run, append.wakeAt, counts, now)
}

/** `wake_at` is not moved back while a command is open. */
function moveWake(
  run: RunRecord | undefined,
  wakeAt: number | null | undefined,
  counts: Counts | undefined,
  now: number,
): void {
  if (!run) return
  const { settled, told } = counts ?? { settled: 0, told: 0 }
  if (told > 0) run.wakeAt = least(least(run.wakeAt, wakeAt ?? null), now)
  else if (wakeAt !== undefined) run.wakeAt = run.openCommands > settled ? least(run.wakeAt, wakeAt) : wakeAt
  run.openCommands = Math.max(0, run.openCommands - settled + told)
}
