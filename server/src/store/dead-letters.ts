/**
 * Dead letters: steps that failed for good, read from the log itself. A retry of the run takes them off the list until
 * they fail again. Nothing is stored beside the events, so a letter can neither be lost nor outlive its run.
 */
import type { Json, RunEvent, RunStatus } from '@weft/engine'
import { pageOf, placeOf } from './cursor.ts'
import type { Database } from './database.ts'
import type { DeadLetterFilter, DeadLetterRow, FailedAttempt, Store } from './store.ts'
import { isRunId } from './stored-text.ts'

/** The list is led by `run_events_failed`; the root is the run itself unless it is a child. */
const LETTERS = `
select e.run_id, e.seq, e.at, e.step_key, e.data, r.workflow, r.version, r.graph, r.input,
  root.id as root_id, root.status as root_status, root.graph as root_graph,
  (select coalesce(max(l.seq), 0) from run_events l where l.run_id = root.id) as root_seq
from run_events e
join runs r on r.id = e.run_id
join runs root on root.id = coalesce(r.root_id, r.id)
where e.type = 'step.failed' and r.workspace = $1
  and not exists (
    select from run_events again where again.run_id = e.run_id and again.type = 'run.retried' and again.seq > e.seq)`

const LIST = `${LETTERS}
  and ($2::text is null or r.workflow = $2)
  and ($3::uuid is null or e.run_id = $3)
  and ($4::text is null or e.step_key = $4 or starts_with(e.step_key, $4 || '['))
  and ($5::text is null or json_text(e.data, 'error', 'code') = $5)
  and (not $6::boolean or root.status in ('failed', 'cancelled'))
  and ($7::bigint is null or (e.at, e.run_id, e.seq) < ($7, $8::uuid, $9::int))
order by e.at desc, e.run_id desc, e.seq desc
limit $10`

const ONE = `${LETTERS} and e.run_id = $2 and e.seq = $3`

const ATTEMPTS = `
select data from run_events
where run_id = $1 and step_key = $2 and round = $3 and seq <= $4 and type in ('attempt.failed', 'step.failed')
order by seq`

type StepFailed = Extract<RunEvent, { type: 'step.failed' }>

interface Found {
  readonly run_id: string
  readonly seq: number
  readonly at: number | string
  readonly step_key: string
  readonly data: StepFailed
  readonly workflow: string
  readonly version: number | null
  readonly graph: string
  readonly input: Json
  readonly root_id: string
  readonly root_status: RunStatus
  readonly root_graph: string
  readonly root_seq: number
}

export function openDeadLetters({ pool }: Database): Store['deadLetters'] {
  return {
    async list(filter) {
      if (filter.runId !== undefined && !isRunId(filter.runId)) return { items: [], nextCursor: null }
      const { rows } = await pool.query<Found>(LIST, parametersOf(filter))
      return pageOf(rows.map(letterOf), filter.limit, (letter) => [
        letter.failedAt,
        letter.runId,
        seqOf(letter.id),
      ])
    },

    async get({ workspace, id }) {
      const [runId = '', seq = ''] = id.split('.')
      if (!isRunId(runId) || !/^\d{1,9}$/.test(seq)) return null
      const { rows } = await pool.query<Found>(ONE, [workspace, runId, Number(seq)])
      const [row] = rows
      if (!row) return null
      const letter = letterOf(row)
      const tried = await pool.query<{ data: StepFailed }>(ATTEMPTS, [
        runId,
        letter.key,
        letter.round,
        Number(seq),
      ])
      return { letter, attempts: tried.rows.map(({ data }) => attemptOf(data)), input: row.input }
    },
  }
}

function parametersOf(filter: DeadLetterFilter): unknown[] {
  const { workspace, workflow, runId, step, code, replayable, limit, cursor } = filter
  const place = cursor === undefined ? [] : placeOf(cursor, ['number', 'string', 'number'])
  const [at = null, run = null, seq = null] = place
  return [
    workspace,
    workflow ?? null,
    runId ?? null,
    step ?? null,
    code ?? null,
    replayable ?? false,
    at,
    run,
    seq,
    limit + 1,
  ]
}

const seqOf = (id: string): number => Number(id.slice(id.indexOf('.') + 1))

const letterOf = (row: Found): DeadLetterRow => ({
  id: `${row.run_id}.${row.seq}`,
  runId: row.run_id,
  workflow: row.workflow,
  version: row.version,
  graph: row.graph,
  key: row.step_key,
  round: row.data.round,
  attempt: row.data.attempt,
  handled: row.data.handled,
  error: row.data.error,
  failedAt: Number(row.at),
  root: { runId: row.root_id, status: row.root_status, seq: row.root_seq, graph: row.root_graph },
})

const attemptOf = ({ attempt, error, at, startedAt, worker }: StepFailed): FailedAttempt => ({
  attempt,
  error,
  at,
  startedAt: startedAt ?? null,
  worker: worker ?? null,
})
