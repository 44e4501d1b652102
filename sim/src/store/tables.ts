/**
 * The rows of the twin database. What Postgres keeps as JSON text is kept as JSON text here, so that nobody shares an
 * object with the store, and every value comes back as it was written (R1).
 */
import type { Json, RunEvent, RunStatus } from '@weft/engine'
import type { ApprovalRow, RunRow, StoredEvent, StoredWorkflow } from '../../../server/src/store/store.ts'
import type { Session } from './owner.ts'

export interface LogRow {
  readonly seq: number
  readonly at: number
  readonly type: RunEvent['type']
  readonly text: string
}

export interface RunRecord {
  readonly id: string
  readonly workspace: string
  readonly workflow: string
  readonly version: number | null
  graph: string
  status: RunStatus
  waitingFor: readonly string[]
  readonly labels: string
  readonly input: string
  output: string | null
  error: string | null
  readonly parent: string | null
  readonly parentId: string | null
  readonly rootId: string | null
  readonly createdAt: number
  finishedAt: number | null
  wakeAt: number | null
  stuckReason: string | null
  openCommands: number
  readonly log: Map<number, LogRow>
  /** The highest number in the log. */
  seq: number
}

export interface InboxRecord {
  readonly id: string
  readonly runId: string
  readonly workspace: string
  readonly actor: string
  readonly command: string
  verdict: string | null
}

export interface StepRecord {
  readonly runId: string
  readonly key: string
  readonly round: number
  readonly attempt: number
  readonly value: string
}

export interface BlobRecord {
  readonly workspace: string
  readonly hash: string
  readonly bytes: Uint8Array
  readonly contentType: string
  touchedAt: number
}

export interface IdempotencyRecord {
  readonly bodyHash: string
  readonly createdAt: number
  /** Of a run's key. */
  readonly runId: string | null
  readonly answer: string
}

export interface CoordinatorRecord {
  readonly name: string
  session: string
  leaving: boolean
  readonly startedAt: number
  beatAt: number
}

/** A wait for a message. */
export interface WaitRecord {
  readonly id: string
  readonly runId: string
  readonly workspace: string
  readonly name: string
  readonly correlationKey: string | null
  readonly match: string | null
  readonly openedAt: number
  closedAt: number | null
}

export interface MessageRecord {
  readonly id: string
  readonly workspace: string
  readonly name: string
  readonly correlationKey: string | null
  readonly data: string
  readonly actor: string
  readonly createdAt: number
  readonly expiresAt: number
  runs: readonly string[]
  offers: number
  announced: boolean
  /** Open waits that name and key fitted when it was kept. */
  readonly witnesses: readonly string[]
  /** Those of them that were still open when it was given for the first time, and did not get it. */
  missed: readonly string[]
}

export type ApprovalRecord = { -readonly [Field in keyof ApprovalRow]: ApprovalRow[Field] }

export interface WorkflowRecord {
  readonly versions: Omit<StoredWorkflow, 'tags'>[]
  readonly tags: Map<string, number>
}

export class Tables {
  readonly runs = new Map<string, RunRecord>()
  /** In the order of arrival. */
  readonly inbox = new Map<string, InboxRecord>()
  readonly approvals = new Map<string, ApprovalRecord>()
  readonly waits = new Map<string, WaitRecord>()
  readonly messages = new Map<string, MessageRecord>()
  readonly records = new Map<string, StepRecord>()
  readonly blobs = new Map<string, BlobRecord>()
  /** Blobs by the run that names them: `<workspace> <hash>`. */
  readonly blobRefs = new Map<string, Set<string>>()
  readonly graphs = new Map<string, string>()
  readonly workflows = new Map<string, WorkflowRecord>()
  readonly variables = new Map<string, { readonly value: string; readonly updatedAt: number }>()
  readonly idempotency = new Map<string, IdempotencyRecord>()
  readonly coordinators = new Map<string, CoordinatorRecord>()
  /** Who holds which partition. */
  readonly locks = new Map<number, Session>()
  readonly sessions = new Set<Session>()
  /** Numbers the sessions. */
  sessionCount = 0
}

/** Several words as one key of a map. */
export const keyOf = (...parts: readonly (string | number)[]): string => JSON.stringify(parts)

export const parse = (text: string | null): Json => (text === null ? null : (JSON.parse(text) as Json))

export const blobName = (workspace: string, hash: string): string => `${workspace} ${hash}`

/** Remembers which blobs a value of this run names. */
export function refer(tables: Tables, runId: string, workspace: string, hashes: readonly string[]): void {
  if (hashes.length === 0) return
  const known = tables.blobRefs.get(runId) ?? new Set()
  for (const hash of hashes) known.add(blobName(workspace, hash))
  tables.blobRefs.set(runId, known)
}

export const eventsOf = (run: RunRecord): StoredEvent[] =>
  [...run.log.values()]
    .sort((a, b) => a.seq - b.seq)
    .map(({ seq, text }) => ({ seq, event: JSON.parse(text) as RunEvent }))

export const rowOf = (run: RunRecord): RunRow => ({
  id: run.id,
  workspace: run.workspace,
  workflow: run.workflow,
  version: run.version,
  graph: run.graph,
  status: run.status,
  waitingFor: [...run.waitingFor],
  labels: JSON.parse(run.labels) as Record<string, string>,
  input: parse(run.input),
  output: parse(run.output),
  error: parse(run.error) as unknown as RunRow['error'],
  parent: parse(run.parent) as unknown as RunRow['parent'],
  seq: run.seq,
  createdAt: run.createdAt,
  finishedAt: run.finishedAt,
  wakeAt: run.wakeAt,
  stuckReason: run.stuckReason,
})

/** The smaller of two times, of which either may be missing. */
export function least(a: number | null, b: number | null): number | null {
  if (a === null) return b
  return b === null ? a : Math.min(a, b)
}
