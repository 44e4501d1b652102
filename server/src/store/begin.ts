/**
 * The hot statement of `runs.begin`: run, event 1, idempotency key and blob references of a whole batch in one
 * autocommit statement (R10).
 *
 * Idempotent by the run's id, so that a batch whose outcome is unknown is simply sent again: what is there by then and
 * carries the caller's own id was begun by it.
 */
import type { RunEvent } from '@weft/engine'
import type { Pool } from 'pg'
import { bigintArray, integerArray, jsonArray, textArray, uuidArray } from './binary-array.ts'
import { blobHashes } from './blob-refs.ts'
import { isConnectionLost, translate } from './failure.ts'
import { type GroupCommit, groupCommit } from './group-commit.ts'
import { type BeginOutcome, type NewRun, RowRefused, StoreError } from './store.ts'
import { columnText } from './stored-text.ts'

/** Dead-man's switch of a run that has just begun (R6). */
const FIRST_WAKE_MS = 10_000

/** Keys before runs, each in one order: two processes that submit the same ones wait for each other, never in a circle. */
const BEGIN = `
with submitted as (
  select * from unnest(
    $1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::bigint[], $8::json[], $9::json[],
    $10::json[], $11::uuid[], $12::uuid[], $13::text[], $14::text[], $15::text[])
  as s (id, workspace, workflow, version, graph, labels, created_at, input, event, parent, parent_id, root_id, route, key, body_hash)
),
keyed as (
  insert into idempotency_keys (workspace, route, key, body_hash, created_at, run_id)
  select workspace, route, key, body_hash, created_at, id from submitted where key is not null
  order by workspace, route, key
  on conflict do nothing
  returning run_id
),
begun as (
  insert into runs (id, workspace, workflow, version, graph, status, waiting_for, labels, parent, parent_id, root_id, input, created_at, wake_at)
  select id, workspace, workflow, version, graph, 'queued', '{}', labels::jsonb, parent, parent_id, root_id, input, created_at,
    created_at + ${FIRST_WAKE_MS}
  from submitted
  where key is null or id in (select run_id from keyed)
  order by id
  on conflict (id) do nothing
  returning id
),
logged as (
  insert into run_events (run_id, seq, at, type, data)
  select id, 1, created_at, 'run.started', event from submitted where id in (select id from begun)
),
referenced as (
  insert into blob_refs (run_id, workspace, hash)
  select run_id, workspace, hash from unnest($16::uuid[], $17::text[], $18::text[]) as r (run_id, workspace, hash)
  where run_id in (select id from begun)
  on conflict do nothing
)
select id from begun`

/** With forks in the batch: their copied events, whose times are older than the run. */
const BEGIN_FORKS = BEGIN.replace(
  `select id, 1, created_at, 'run.started'`,
  `select id, 1, json_text(event, 'at')::bigint, 'run.started'`,
).replace(
  'referenced as (',
  `copied as (
  insert into run_events (run_id, seq, at, type, step_key, round, attempt, data)
  select run_id, seq, at, type, step_key, round, attempt, data
  from unnest($19::uuid[], $20::int[], $21::bigint[], $22::text[], $23::text[], $24::int[], $25::int[], $26::json[])
  as c (run_id, seq, at, type, step_key, round, attempt, data)
  where run_id in (select id from begun)
),
referenced as (`,
)

const HOLDERS = `
select k.workspace, k.route, k.key, k.body_hash, k.run_id
from unnest($1::text[], $2::text[], $3::text[]) as s (workspace, route, key)
join idempotency_keys k using (workspace, route, key)
where k.run_id is not null`

/**
 * Measured on two shared cores, 200 submits at once, fsync on: 25,000–34,000 runs/s with one, two or four commits in
 * flight alike; one at a time 1,500–1,750/s. Two, so that one slow commit does not hold up those who come after it.
 */
const ROWS_PER_COMMIT = 200
const COMMITS_IN_FLIGHT = 2

export function beginInGroups(pool: Pool): GroupCommit<NewRun, BeginOutcome> {
  return groupCommit({
    commit: (rows) => beginBatch(pool, rows),
    rowsPerCommit: ROWS_PER_COMMIT,
    commitsInFlight: COMMITS_IN_FLIGHT,
  })
}

async function beginBatch(pool: Pool, batch: readonly NewRun[]): Promise<(BeginOutcome | Error)[]> {
  try {
    return await beginAll(pool, batch)
  } catch (error) {
    const failure = translate(error)
    if (!(failure instanceof RowRefused)) throw failure
    if (batch.length === 1) return [failure]
    // One submit must not fail its neighbours (R16).
    const middle = batch.length >> 1
    const first = await beginBatch(pool, batch.slice(0, middle))
    return [...first, ...(await beginBatch(pool, batch.slice(middle)))]
  }
}

async function beginAll(pool: Pool, batch: readonly NewRun[]): Promise<BeginOutcome[]> {
  const byId = new Map<string, NewRun>()
  for (const run of batch) if (!byId.has(run.id)) byId.set(run.id, run)
  const runs = [...byId.values()]
  const begun = await insert(pool, runs)
  const late = runs.filter((run) => run.idempotency !== undefined && !begun.has(run.id))
  const holders = late.length > 0 ? await holdersOf(pool, late) : null
  return batch.map((run) => {
    // Of several submits of one id in one batch the first has begun it.
    if (begun.delete(run.id)) return { kind: 'begun' }
    const holder = run.idempotency && holders?.get(nameOfKey(run.workspace, run.idempotency))
    if (!holder) return { kind: 'exists', runId: run.id }
    if (holder.bodyHash !== run.idempotency?.bodyHash) return { kind: 'key_reused' }
    return { kind: 'exists', runId: holder.runId }
  })
}

/** Ids of the runs that this call has begun. */
async function insert(pool: Pool, runs: readonly NewRun[]): Promise<Set<string>> {
  const copies = runs.flatMap(copiesOf)
  const query =
    copies.length === 0
      ? { name: 'begin', text: BEGIN, values: parametersOf(runs) }
      : { name: 'begin_forks', text: BEGIN_FORKS, values: [...parametersOf(runs), ...copyColumns(copies)] }
  try {
    return idsOf(await pool.query<{ id: string }>(query))
  } catch (error) {
    // A deadlock, say: nothing was written, and the other side is through by now.
    if (isBusy(error)) return idsOf(await pool.query<{ id: string }>(query))
    if (!isConnectionLost(error)) throw error
    // Unknown whether it was committed. Sent again, it begins what is missing; then whatever exists is ours.
    await pool.query(query)
    return idsOf(await pool.query('select id from runs where id = any($1::uuid[])', [query.values[0]]))
  }
}

const idsOf = (result: { rows: { id: string }[] }): Set<string> => new Set(result.rows.map((row) => row.id))

function isBusy(error: unknown): boolean {
  const failure = translate(error)
  return failure instanceof StoreError && failure.code === 'database_busy'
}

interface KeyName {
  readonly route: string
  readonly key: string
}

const nameOfKey = (workspace: string, { route, key }: KeyName): string =>
  JSON.stringify([workspace, route, key])

async function holdersOf(
  pool: Pool,
  runs: readonly NewRun[],
): Promise<Map<string, { bodyHash: string; runId: string }>> {
  const { rows } = await pool.query<KeyName & { workspace: string; body_hash: string; run_id: string }>({
    text: HOLDERS,
    values: [
      textArray(runs.map((run) => run.workspace)),
      textArray(runs.map((run) => run.idempotency?.route ?? null)),
      textArray(runs.map((run) => run.idempotency?.key ?? null)),
    ],
  })
  return new Map(
    rows.map((row) => [nameOfKey(row.workspace, row), { bodyHash: row.body_hash, runId: row.run_id }]),
  )
}

function parametersOf(runs: readonly NewRun[]): Buffer[] {
  const events: string[] = []
  const references: { runId: string; workspace: string; hash: string }[] = []
  for (const { id: runId, workspace, started, copied } of runs) {
    const text = JSON.stringify(started)
    events.push(text)
    for (const hash of blobHashes(started, text)) references.push({ runId, workspace, hash })
    if (!copied) continue
    for (const hash of blobHashes(copied, JSON.stringify(copied))) references.push({ runId, workspace, hash })
  }
  return [
    uuidArray(runs.map((run) => run.id)),
    textArray(runs.map((run) => run.workspace)),
    textArray(runs.map((run) => columnText(run.workflow))),
    integerArray(runs.map((run) => run.version)),
    textArray(runs.map((run) => run.graph)),
    textArray(runs.map((run) => JSON.stringify(run.started.labels))),
    bigintArray(runs.map((run) => run.started.forkedFrom?.at ?? run.started.at)),
    jsonArray(runs.map((run) => JSON.stringify(run.started.input))),
    jsonArray(events),
    jsonArray(runs.map((run) => (run.started.parent ? JSON.stringify(run.started.parent) : null))),
    uuidArray(runs.map((run) => run.started.parent?.runId ?? null)),
    uuidArray(runs.map((run) => run.started.parent?.rootId ?? null)),
    textArray(runs.map((run) => run.idempotency?.route ?? null)),
    textArray(runs.map((run) => run.idempotency?.key ?? null)),
    textArray(runs.map((run) => run.idempotency?.bodyHash ?? null)),
    uuidArray(references.map((reference) => reference.runId)),
    textArray(references.map((reference) => reference.workspace)),
    textArray(references.map((reference) => reference.hash)),
  ]
}

interface Copy {
  readonly runId: string
  readonly seq: number
  readonly event: RunEvent
}

const copiesOf = ({ id, copied }: NewRun): Copy[] =>
  (copied ?? []).map((event, index) => ({ runId: id, seq: index + 2, event }))

const copyColumns = (copies: readonly Copy[]): Buffer[] => [
  uuidArray(copies.map(({ runId }) => runId)),
  integerArray(copies.map(({ seq }) => seq)),
  bigintArray(copies.map(({ event }) => event.at)),
  textArray(copies.map(({ event }) => event.type)),
  textArray(copies.map(({ event }) => ('key' in event ? event.key : null))),
  integerArray(copies.map(({ event }) => ('round' in event ? event.round : null))),
  integerArray(copies.map(({ event }) => ('attempt' in event ? event.attempt : null))),
  jsonArray(copies.map(({ event }) => JSON.stringify(event))),
]
