/**
 * Clients of the live streams behind a proxy that cuts them in the middle of frames, over two kills of the server:
 * every list of events is the database's. `npm run chaos:live` does the same with 200 clients.
 */
import { expect, onTestFinished, test } from 'vitest'
import { testDatabase } from '../../postgres.ts'
import { redisUrl } from '../../redis.ts'
import { differences } from './checks.ts'
import type { SeenEvent } from './followers.ts'
import { runLiveTrial } from './trial.ts'

async function smallTrial(redisUrl: string | null): Promise<void> {
  const database = await testDatabase()
  onTestFinished(() => database.drop())
  const report = await runLiveTrial({
    seed: 20_261_121,
    runs: 30,
    clients: 10,
    restarts: 2,
    databaseUrl: database.url,
    redisUrl,
    report: () => {},
  })
  expect(report.problems).toEqual([])
  expect(report.wrongOnPurpose).toEqual([
    expect.stringContaining('the forgetful stream has event 4'),
    expect.stringContaining('the stammering socket has event 3'),
  ])
  expect(report.eventsSeen).toBe(2 * report.events)
  expect(report.cuts).toBeGreaterThan(report.runs)
  expect(report.cutsMidFrame).toBeGreaterThan(report.cuts / 2)
}

test('every client has every event once and in order, over cuts and kills', { timeout: 120_000 }, () =>
  smallTrial(null),
)

test.skipIf(redisUrl === null)(
  'the same when the API is a process of its own, and hears the coordinator through Redis',
  { timeout: 120_000 },
  () => smallTrial(redisUrl),
)

test('the comparison notices an event that is left out, twice, in the wrong place, another, or too many', () => {
  const log: SeenEvent[] = [1, 2, 3].map((seq) => ({ seq, type: 'step.completed', output: { n: seq } }))
  const [first, second, third] = log as [SeenEvent, SeenEvent, SeenEvent]
  const found = (seen: SeenEvent[]) =>
    differences({ name: 'c', seen: new Map([['r', seen]]) }, new Map([['r', log]]))
  expect(found([first, second, third])).toEqual([])
  const wrong: SeenEvent[][] = [
    [],
    [first, third],
    [first, second],
    [first, first, second, third],
    [first, third, second],
    [first, second, { ...third, output: { n: 4 } }],
    [first, second, third, { seq: 4, type: 'run.completed' }],
  ]
  for (const seen of wrong) expect([seen, found(seen).length]).toEqual([seen, 1])
})
