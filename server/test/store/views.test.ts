/** People who ask with SQL see steps, dead letters and figures, also where a value holds what SQL's json refuses. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { openStore } from '../../src/store/postgres.ts'
import type { NewRun, Store } from '../../src/store/store.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { appendOf, ending, newRun, START_MS, stepCompleted, whileOwning } from '../suites/store-fixture.ts'

describe('views', () => {
  let database: TestDatabase
  let store: Store
  let client: pg.Client
  beforeAll(async () => {
    database = await testDatabase()
    store = await openStore({
      url: database.url,
      clock: systemClock(),
      applicationName: 'views',
      poolSize: 2,
    })
    client = new pg.Client({ connectionString: database.url })
    await client.connect()
  })
  afterAll(async () => {
    await client.end()
    await store.close()
    await database.drop()
  })

  const failed = (message: string) => ({
    type: 'step.failed' as const,
    at: START_MS + 3,
    key: 'charge',
    round: 1,
    attempt: 3,
    error: { code: 'http_status', message, retryable: true },
    handled: false,
    startedAt: START_MS + 2,
    worker: 'w1',
  })

  async function failedRun(message: string): Promise<NewRun> {
    const run = newRun()
    await store.runs.begin(run)
    const error = { code: 'step_failed', message: 'charge failed', retryable: false }
    await whileOwning(store, (session) =>
      session.append([
        appendOf(run, {
          events: [
            stepCompleted('\0 and \ud800'),
            failed(message),
            { type: 'run.failed', at: START_MS + 4, error },
          ],
          status: 'failed',
          waitingFor: [],
          wakeAt: null,
          finished: { at: START_MS + 4, output: null, error },
        }),
      ]),
    )
    return run
  }

  it('show how each step ended', async () => {
    const run = await failedRun('answered \0 \udead 500')
    const { rows } = await client.query(
      'select step_key, status, attempt, error_code, error_message, worker, started_at from run_steps where run_id = $1 order by step_key',
      [run.id],
    )
    expect(rows).toEqual([
      {
        step_key: 'charge',
        status: 'failed',
        attempt: 3,
        error_code: 'http_status',
        error_message: 'answered \ufffd \ufffd 500',
        worker: 'w1',
        started_at: new Date(START_MS + 2),
      },
      {
        step_key: 'fetch',
        status: 'completed',
        attempt: 1,
        error_code: null,
        error_message: null,
        worker: null,
        started_at: null,
      },
    ])
  })

  it('list a dead letter until its run is retried', async () => {
    const run = await failedRun('500')
    const letters = async () => {
      const text = 'select step_key, error_code from dead_letters where run_id = $1'
      return (await client.query(text, [run.id])).rows
    }
    expect(await letters()).toEqual([{ step_key: 'charge', error_code: 'http_status' }])
    const retried = { type: 'run.retried' as const, at: START_MS + 5, actor: 'ann' }
    await whileOwning(store, (session) => session.append([appendOf(run, { firstSeq: 5, events: [retried] })]))
    expect(await letters()).toEqual([])
  })

  it('list the dead letters that the API lists: the items that failed, not the step that they joined into', async () => {
    const run = newRun()
    await store.runs.begin(run)
    const item = { ...failed('500'), key: 'charge[1]', handled: true }
    const joined = { type: 'step.joined' as const, at: START_MS + 4, key: 'charge', round: 1 }
    const error = { code: 'items_failed', message: '1 of 2 items failed', retryable: false }
    await whileOwning(store, (session) =>
      session.append([
        appendOf(run, { events: [item, { ...joined, outcome: 'failed', error, handled: false }] }),
      ]),
    )
    const { rows } = await client.query('select step_key from dead_letters where run_id = $1', [run.id])
    const listed = await store.deadLetters.list({ workspace: run.workspace, runId: run.id, limit: 10 })
    expect(rows.map(({ step_key }) => step_key)).toEqual(['charge[1]'])
    expect(listed.items.map(({ key }) => key)).toEqual(['charge[1]'])
  })

  it('count how runs of a workflow ended and how long they took', async () => {
    for (const tookMs of [100, 200, 600]) {
      const run = newRun({ workflow: 'timed' })
      await store.runs.begin(run)
      await whileOwning(store, (session) => session.append([ending(run, START_MS + tookMs)]))
    }
    const { rows } = await client.query(
      `select status, runs::int, mean_ms::int, p50_ms::int from run_metrics where workflow = 'timed'`,
    )
    expect(rows).toEqual([{ status: 'completed', runs: 3, mean_ms: 300, p50_ms: 200 }])
  })
})
