/** What the trial of the split deployment leans on; the trial itself is `npm run chaos -- --split`. */
import { expect, test } from 'vitest'
import { randomFrom } from '../../random.ts'
import { FAULT_KINDS, planStorms } from './faults.ts'
import { StallClock } from './stalls.ts'

const run = (seq: number, isOwed = true) => ({ id: 'r', seq, waiting: 'running worker', isOwed })

test('a run that is owed something and stands still while nothing is broken is noticed', () => {
  const clock = new StallClock(0)
  clock.look([run(3)], 0)
  clock.look([run(3)], 40_000)
  expect(clock.longest).toEqual({ ms: 40_000, run: 'r', waitingFor: 'running worker' })
})

test('time counts from the last event, and from the healing of the last fault', () => {
  const clock = new StallClock(0)
  clock.look([run(3)], 0)
  clock.look([run(4)], 5_000)
  clock.faultBegins()
  clock.faultBegins()
  clock.look([run(4)], 30_000)
  clock.faultHealed(31_000)
  clock.look([run(4)], 32_000)
  expect(clock.longest.ms).toBe(0)
  clock.faultHealed(33_000)
  clock.look([run(4)], 35_000)
  expect(clock.longest.ms).toBe(2_000)
})

test('a run that waits for people does not stall, and is owed something from their answer on', () => {
  const clock = new StallClock(0)
  clock.look([run(3, false)], 0)
  clock.look([run(3, false)], 90_000)
  expect(clock.longest.ms).toBe(0)
  clock.look([run(3)], 91_000)
  expect(clock.longest.ms).toBe(1_000)
})

test('a seed draws the same storms again, with each kind of fault as often as there are minutes', () => {
  const targets = { members: ['api-1', 'worker-1'], behindProxies: ['api-1'] }
  const storms = planStorms(10, randomFrom(7), targets)
  expect(planStorms(10, randomFrom(7), targets)).toEqual(storms)
  const faults = storms.flatMap((storm) => storm.faults)
  for (const kind of FAULT_KINDS)
    expect(faults.filter((fault) => fault.kind === kind).length).toBeGreaterThanOrEqual(10)
  for (const { faults: planned, lastsMs } of storms)
    for (const fault of planned) expect(fault.startsAt + fault.lastsMs).toBeLessThanOrEqual(lastsMs)
  expect(storms.reduce((sum, { lastsMs, calmMs }) => sum + lastsMs + calmMs, 0)).toBeCloseTo(600_000)
})
