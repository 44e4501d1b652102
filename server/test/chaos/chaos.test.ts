/**
 * A few kills of a real server, two of them with its PostgreSQL: nothing that was accepted is lost, and no finished step
 * is called again. `npm run chaos` does the same for longer.
 */
import { expect, test } from 'vitest'
import { LEAST_IN_FLIGHT, LEAST_UNFINISHED, runChaos } from './chaos.ts'

test('every accepted run survives SIGKILLs of the server and of its PostgreSQL', {
  timeout: 180_000,
}, async () => {
  const report = await runChaos({
    seed: 20_260_401,
    kills: 4,
    limitMs: null,
    runsAtOnce: 40,
    report: () => {},
  })

  expect(report.problems).toEqual([])
  expect(report.callsAfterCommit).toBe(0)
  expect(report.kills).toHaveLength(4)
  expect(report.kills.filter(({ withPostgres }) => withPostgres)).toHaveLength(2)
  for (const { unfinished, inFlight } of report.kills) {
    expect(unfinished).toBeGreaterThanOrEqual(LEAST_UNFINISHED)
    expect(inFlight).toBeGreaterThanOrEqual(LEAST_IN_FLIGHT)
  }
  // The kills interrupted real work, or the trial has shown nothing.
  expect(report.repeatedAttempts).toBeGreaterThan(0)
})
