/**
 * What must be true after the kills, read from three places that cannot agree by accident: the API, the database, and
 * the ledger of the outside world.
 */
import { isDeepStrictEqual } from 'node:util'
import {
  compile,
  type Definition,
  fold,
  type Graph,
  type NodeTypeInfo,
  type RunEvent,
  type RunState,
  viewRun,
} from '@weft/engine'
import pg from 'pg'
import type { LedgerEntry } from '../../../examples/service/ledger.ts'
import type { ApiClient } from './client.ts'
import type { AcceptedRun } from './driver.ts'

/** An event, and when the transaction that wrote it was committed, in milliseconds since 1970. */
export type LoggedEvent = RunEvent & { readonly committedAt: number }

/** What the ledger is held against. */
export interface LoggedRun {
  readonly id: string
  readonly events: readonly LoggedEvent[]
}

export interface CheckedRun extends LoggedRun {
  readonly state: RunState
}

interface StoredRun {
  readonly id: string
  readonly status: string
  readonly output: unknown
  readonly error: unknown
  readonly finished_at: string | null
  readonly stuck_reason: string | null
}

/** Every run, children included, as `eachRun` reads it. */
export async function readRuns(
  databaseUrl: string,
  client: ApiClient,
  problems: string[],
): Promise<CheckedRun[]> {
  const runs: CheckedRun[] = []
  for await (const run of eachRun(databaseUrl, client, problems)) runs.push(run)
  return runs
}

const RUNS_AT_A_TIME = 1_000
const BEFORE_ALL = '00000000-0000-0000-0000-000000000000'

/** Reads every run, children included, with its log, and folds it. Says what is wrong with the logs themselves. */
export async function* eachRun(
  databaseUrl: string,
  client: ApiClient,
  problems: string[],
): AsyncGenerator<CheckedRun> {
  const database = new pg.Client({ connectionString: databaseUrl })
  await database.connect()
  try {
    const graphs = await graphsOf(database, client)
    for (let after = BEFORE_ALL; ; ) {
      const { rows: runs } = await database.query<StoredRun>(
        'select id, status, output, error, finished_at, stuck_reason from runs where id > $1 order by id limit $2',
        [after, RUNS_AT_A_TIME],
      )
      const last = runs.at(-1)
      if (last === undefined) return
      after = last.id
      const logs = await logsOf(
        database,
        runs.map(({ id }) => id),
      )
      for (const run of runs) yield checkedRun(run, logs.get(run.id) ?? [], graphs, problems)
    }
  } finally {
    await database.end()
  }
}

interface LogRow {
  readonly seq: number
  readonly event: RunEvent
  readonly committedAt: number
}

function checkedRun(
  run: StoredRun,
  log: readonly LogRow[],
  graphs: ReadonlyMap<string, Graph>,
  problems: string[],
): CheckedRun {
  if (run.finished_at === null) problems.push(`run ${run.id} has not ended: ${run.status}`)
  if (run.stuck_reason !== null) problems.push(`run ${run.id} is stuck: ${run.stuck_reason}`)
  log.forEach(({ seq }, index) => {
    if (seq !== index + 1) problems.push(`run ${run.id}: event ${seq} stands at place ${index + 1}`)
  })
  const events = log.map(({ event }) => event)
  const state = fold(run.id, events, (hash) => graphs.get(hash) as Graph)
  checkRow(run, state, problems)
  checkLog(run.id, events, problems)
  return { id: run.id, state, events: log.map(({ event, committedAt }) => ({ ...event, committedAt })) }
}

async function logsOf(database: pg.Client, ids: readonly string[]): Promise<Map<string, LogRow[]>> {
  const logs = new Map<string, LogRow[]>()
  const { rows } = await database.query<LogRow & { runId: string; committedAt: number | null }>(LOGS, [ids])
  for (const { runId, seq, event, committedAt } of rows) {
    if (committedAt === null)
      throw new Error(`the database has not kept when event ${seq} of run ${runId} was committed`)
    const log = logs.get(runId) ?? []
    log.push({ seq, event, committedAt })
    logs.set(runId, log)
  }
  return logs
}

/** Rows of the log are written once, so the transaction that made a row is the one that recorded the event. */
const LOGS = `
  select run_id as "runId", seq, data as event,
    (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000)::float8 as "committedAt"
  from run_events where run_id = any($1) order by run_id, seq`

async function graphsOf(database: pg.Client, client: ApiClient): Promise<Map<string, Graph>> {
  const { items } = await client.get<{ items: NodeTypeInfo[] }>('/node-types')
  const types = new Map(items.map((info) => [info.type, info]))
  const { rows } = await database.query<{ hash: string; definition: Definition }>(
    'select hash, definition from graphs',
  )
  return new Map(
    rows.map(({ hash, definition }) => {
      const compiled = compile(definition, types, { onUnknownType: 'skip' })
      if (!compiled.ok)
        throw new Error(`the stored graph ${hash} does not compile: ${JSON.stringify(compiled.problems)}`)
      return [hash, compiled.graph]
    }),
  )
}

/** The row is what lists show; the log is the truth. */
function checkRow(run: StoredRun, state: RunState, problems: string[]): void {
  const { phase } = state
  if (run.status !== phase.kind)
    problems.push(`run ${run.id} is ${phase.kind} by its log and ${run.status} by its row`)
  if (phase.kind === 'completed' && !isDeepStrictEqual(run.output, phase.output)) {
    problems.push(`run ${run.id} has another output in its row than in its log`)
  }
  if (phase.kind === 'failed' && !isDeepStrictEqual(run.error, plain(phase.error))) {
    problems.push(`run ${run.id} has another error in its row than in its log`)
  }
}

/** Time never goes back, and each round of a step ends once; answers how many ended once more. */
export function checkLog(id: string, events: readonly RunEvent[], problems: string[]): number {
  let repeatedEnds = 0
  const ended = new Set<string>()
  let at = 0
  for (const event of events) {
    if (event.at < at) problems.push(`run ${id}: the time of ${event.type} goes back`)
    at = event.at
    if (event.type !== 'step.completed' && event.type !== 'step.failed' && event.type !== 'step.repeated')
      continue
    const name = `${event.key}/${event.round}`
    if (ended.has(name)) {
      repeatedEnds++
      problems.push(`run ${id}: round ${name} has ended twice`)
    }
    ended.add(name)
  }
  return repeatedEnds
}

/** The API's view of every run is the fold of its log. */
export async function checkViews(
  client: ApiClient,
  runs: readonly CheckedRun[],
  problems: string[],
): Promise<void> {
  for (const { id, state } of runs) {
    const shown = await client.get<Record<string, unknown>>(`/runs/${id}`)
    const folded = plain(viewRun(state)) as Record<string, unknown>
    for (const key of [
      'status',
      'waitingFor',
      'graph',
      'seq',
      'input',
      'output',
      'error',
      'warnings',
      'steps',
    ]) {
      if (isDeepStrictEqual(shown[key], folded[key])) continue
      problems.push(`run ${id}: the API shows another \`${key}\` than the fold of its log`)
    }
  }
}

export async function checkEndings(
  client: ApiClient,
  accepted: readonly AcceptedRun[],
  problems: string[],
): Promise<void> {
  for (const { id, load, input } of accepted) {
    const ending = load.ending(input)
    const shown = await client.get<{ status: string; output: unknown; error: unknown }>(`/runs/${id}`)
    if (shown.status !== ending.status || !isDeepStrictEqual(shown.output, ending.output)) {
      problems.push(
        `run ${id} (${load.name}) should have ended ${JSON.stringify(ending)} and is ${JSON.stringify({ status: shown.status, output: shown.output, error: shown.error })}`,
      )
    }
  }
}

export interface LedgerFindings {
  /** Calls of an attempt that had been called before. */
  readonly repeatedAttempts: number
  readonly callsAfterCommit: number
  /** Calls that began before the commit, and after the decision that it committed: allowed. */
  readonly callsAfterDecision: number
  /** How late the service was found to stamp, by the engine's clock, in milliseconds. */
  readonly clockSkewMs: number
  readonly completedSteps: number
}

/** Clocks of one machine; more than this apart, comparing them proves nothing. */
const MOST_SKEW_MS = 20

/**
 * No call began after the commit of its step's completion.
 *
 * The ledger's `startedAt` is when the call had arrived, hence after it began, and PostgreSQL stamps a commit before it
 * is on disk and anybody can see it: so `startedAt <= committedAt` shows more than is promised. That all stamps come from
 * one clock is checked, not assumed: the ledger stamps an answer a moment after it is out, and the completion is decided
 * (`at`) when it has come in, so the largest `answeredAt - at` says by how much the service's stamps can be late. That
 * much is allowed for.
 */
export function checkLedger(
  entries: readonly LedgerEntry[],
  runs: readonly LoggedRun[],
  problems: string[],
  mostSkewMs = MOST_SKEW_MS,
): LedgerFindings {
  const calls = new Map<string, LedgerEntry[]>()
  const attempts = new Set<string>()
  let repeatedAttempts = 0
  for (const entry of entries) {
    const name = `${entry.run} ${entry.step} ${entry.round}`
    const group = calls.get(name) ?? []
    group.push(entry)
    calls.set(name, group)
    const attempt = `${name} ${entry.attempt}`
    if (attempts.has(attempt)) repeatedAttempts++
    attempts.add(attempt)
  }

  const completions = runs.flatMap(({ id, events }) =>
    events.flatMap((event) => {
      if (event.type !== 'step.completed' && event.type !== 'step.repeated') return []
      const { key, round, at, committedAt } = event
      const which = 'attempt' in event ? `of attempt ${event.attempt}` : 'of the round'
      const group = calls.get(`${id} ${key} ${round}`)
      return group === undefined ? [] : [{ id, key, round, at, committedAt, which, group }]
    }),
  )
  let clockSkewMs = 0
  for (const { at, group } of completions) {
    // The answer that the completion came from is the earliest one.
    const answers = group.flatMap(({ answeredAt }) => (answeredAt === null ? [] : [answeredAt]))
    if (answers.length > 0) clockSkewMs = Math.max(clockSkewMs, Math.min(...answers) - at)
  }
  if (clockSkewMs > mostSkewMs) problems.push(`the clocks of engine and service are ${clockSkewMs} ms apart`)

  let callsAfterCommit = 0
  let callsAfterDecision = 0
  for (const { id, key, round, at, committedAt, which, group } of completions) {
    if (!group.some(({ answeredAt }) => answeredAt !== null)) {
      problems.push(`run ${id}: ${key} round ${round} completed, and no call of it was ever answered`)
    }
    for (const { n, startedAt, attempt } of group) {
      if (startedAt > committedAt + clockSkewMs) {
        callsAfterCommit++
        problems.push(
          `run ${id}: call ${n} (${key}, round ${round}, attempt ${attempt}) began ${Math.ceil(startedAt - committedAt)} ms after the completion ${which} was committed, which was ${Math.round(committedAt - at)} ms after it was decided`,
        )
      } else if (startedAt > at + clockSkewMs) callsAfterDecision++
    }
  }
  return {
    repeatedAttempts,
    callsAfterCommit,
    callsAfterDecision,
    clockSkewMs,
    completedSteps: completions.length,
  }
}

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
