/** Runs as the API shows them. */
import type { RunRow } from '../../store/store.ts'

export function summaryOf(row: RunRow) {
  return {
    id: row.id,
    workflow: row.workflow,
    version: row.version,
    graph: row.graph,
    status: row.status,
    waitingFor: row.waitingFor,
    labels: row.labels,
    error: row.error,
    parentId: row.parent?.runId ?? null,
    seq: row.seq,
    createdAt: row.createdAt,
    finishedAt: row.finishedAt,
    wakeAt: row.wakeAt,
    stuckReason: row.stuckReason,
  }
}

export const outcomeOf = (row: RunRow) => ({ ...summaryOf(row), output: row.output })
