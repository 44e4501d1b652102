/**
 * The truth, read by SQL on a connection of the bench's own: how durable commits are, and whether the log holds every
 * step that was measured.
 */
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'

const DURABLE = ['fsync', 'synchronous_commit', 'full_page_writes'] as const
const SHOWN = [...DURABLE, 'wal_level', 'shared_buffers', 'max_wal_size', 'server_version'] as const

export type DatabaseSettings = Record<(typeof SHOWN)[number], string>

async function query<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: unknown[],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(text, values)).rows
  } finally {
    await client.end()
  }
}

/** Throws when a commit could be lost: figures from such a database are worth nothing. */
export async function durableSettings(url: string): Promise<DatabaseSettings> {
  const rows = await query<{ name: string; setting: string }>(
    url,
    'select name, current_setting(name) as setting from pg_settings where name = any($1)',
    [SHOWN],
  )
  const settings = Object.fromEntries(rows.map(({ name, setting }) => [name, setting])) as DatabaseSettings
  for (const name of DURABLE) {
    if (settings[name] !== 'on')
      throw new Error(`${name} is ${settings[name]}: commits are not durable, nothing is measured`)
  }
  return settings
}

interface Counted {
  readonly runs: number
  readonly unfinished: number
  readonly completed: number
  /** Runs with exactly the steps that they should have. */
  readonly exact: number
  readonly events: number
}

async function count(url: string, workflow: string, stepsPerRun: number): Promise<Counted> {
  const [counted] = await query<{ [Key in keyof Counted]: number }>(
    url,
    `select count(*)::int as runs,
       (count(*) filter (where finished_at is null))::int as unfinished,
       (count(*) filter (where status = 'completed'))::int as completed,
       (count(*) filter (where steps = $2))::int as exact,
       coalesce(sum(events), 0)::int as events
     from (
       select r.status, r.finished_at, count(*) filter (where e.type = 'step.completed') as steps, count(*) as events
       from runs r join run_events e on e.run_id = r.id where r.workflow = $1 group by r.id
     ) logs`,
    [workflow, stepsPerRun],
  )
  return counted as Counted
}

/** Throws unless exactly these runs are in the log, completed, with every one of their steps. */
export async function expectRuns(
  url: string,
  expected: { readonly workflow: string; readonly runs: number; readonly stepsPerRun: number },
): Promise<Counted> {
  const { workflow, runs, stepsPerRun } = expected
  const found = await count(url, workflow, stepsPerRun)
  if (found.runs === runs && found.completed === runs && found.exact === runs) return found
  throw new Error(
    `of ${runs} runs of ${workflow} the database has ${found.runs}, ${found.completed} of them completed, ${found.exact} with exactly ${stepsPerRun} steps in the log`,
  )
}

const FINISH_WITHIN_MS = 60_000

/** Waits until no run of the workflow is unfinished; then as `expectRuns`, for however many there are. */
export async function expectFinished(url: string, workflow: string, stepsPerRun: number): Promise<Counted> {
  const deadline = performance.now() + FINISH_WITHIN_MS
  for (;;) {
    const found = await count(url, workflow, stepsPerRun)
    if (found.unfinished === 0) return expectRuns(url, { workflow, runs: found.runs, stepsPerRun })
    if (performance.now() > deadline)
      throw new Error(`${found.unfinished} runs of ${workflow} have not ended`)
    await pause(200)
  }
}

/** Which of these runs the database does not have. */
export async function missingRuns(url: string, ids: readonly string[]): Promise<string[]> {
  const rows = await query<{ id: string }>(
    url,
    'select id::text from unnest($1::uuid[]) as accepted (id) where not exists (select from runs r where r.id = accepted.id)',
    [ids],
  )
  return rows.map(({ id }) => id)
}

/** From the start of an attempt to the decision on its result, in milliseconds, of the completed steps of a workflow. */
export async function stepLatencies(
  url: string,
  workflow: string,
): Promise<{ p50: number; p95: number; p99: number }> {
  const [row] = await query<{ p50: number; p95: number; p99: number }>(
    url,
    `select percentile_cont(0.5) within group (order by ms) as p50, percentile_cont(0.95) within group (order by ms) as p95,
       percentile_cont(0.99) within group (order by ms) as p99
     from (
       select (e.at - (e.data->>'startedAt')::numeric)::float8 as ms
       from run_events e join runs r on r.id = e.run_id
       where r.workflow = $1 and e.type = 'step.completed' and e.data->>'startedAt' is not null
     ) steps`,
    [workflow],
  )
  return row ?? { p50: Number.NaN, p95: Number.NaN, p99: Number.NaN }
}

export async function countRuns(url: string, workflow: string, status: string): Promise<number> {
  const [row] = await query<{ count: number }>(
    url,
    'select count(*)::int as count from runs where workflow = $1 and status = $2',
    [workflow, status],
  )
  return row?.count ?? 0
}
