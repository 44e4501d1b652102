/** A row of `runs` as the contract shows it: the selection that every reader of runs shares. */
import { sql } from './drizzle.ts'
import { runs } from './schema.ts'

export const RUN_COLUMNS = {
  id: runs.id,
  workspace: runs.workspace,
  workflow: runs.workflow,
  version: runs.version,
  graph: runs.graph,
  status: runs.status,
  waitingFor: runs.waitingFor,
  labels: runs.labels,
  input: runs.input,
  output: runs.output,
  error: runs.error,
  parent: runs.parent,
  /** Not a column, see schema.ts: one descent of the log's primary key. (Drizzle drops table names here.) */
  seq: sql<number>`(select coalesce(max(e.seq), 0) from run_events e where e.run_id = runs.id)`,
  createdAt: runs.createdAt,
  finishedAt: runs.finishedAt,
  wakeAt: runs.wakeAt,
  stuckReason: runs.stuckReason,
}
