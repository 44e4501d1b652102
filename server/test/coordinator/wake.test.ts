import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Alarm, planWake } from '../../src/coordinator/wake.ts'
import { manualClock } from './manual-clock.ts'

describe('wake_at (R6)', () => {
  const time = fc.integer({ min: 0, max: 1_000_000 })
  const question = fc.record({
    current: fc.option(time),
    next: fc.option(time),
    owes: fc.boolean(),
    finished: fc.constant(false),
    now: time,
    deadmanMs: fc.integer({ min: 10_000, max: 300_000 }),
  })

  test('is never null, and never later than the next timer, while something is owed', () => {
    fc.assert(
      fc.property(question, (asked) => {
        // A timer that has passed is owed work, not a timer.
        fc.pre(asked.next === null || asked.next > asked.now)
        const planned = planWake(asked)
        const wakeAt = planned === undefined ? asked.current : planned
        if (asked.owes || asked.next !== null) expect(wakeAt).not.toBeNull()
        else expect(wakeAt).toBeNull()
        if (asked.next !== null && wakeAt !== null) expect(wakeAt).toBeLessThanOrEqual(asked.next)
        if (asked.owes && wakeAt !== null)
          expect(wakeAt - asked.now).toBeLessThanOrEqual(
            Math.max(asked.deadmanMs, (asked.current ?? 0) - asked.now),
          )
        if (wakeAt !== null) expect(wakeAt).toBeGreaterThan(asked.now)
      }),
    )
  })

  test('of a finished run is null', () => {
    expect(
      planWake({ current: 5, next: null, owes: false, finished: true, now: 1, deadmanMs: 10_000 }),
    ).toBeNull()
  })

  test('is left alone by an append that sets no earlier timer', () => {
    expect(
      planWake({ current: 9_000, next: 20_000, owes: true, finished: false, now: 1_000, deadmanMs: 10_000 }),
    ).toBeUndefined()
  })
})

test('the alarm rings for each run at the earliest time it was set to, in order, once', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ run: fc.integer({ min: 0, max: 9 }), delay: fc.integer({ min: 1, max: 500 }) }), {
        maxLength: 60,
      }),
      (settings) => {
        const clock = manualClock()
        const startedAt = clock.now()
        const rung: { run: string; at: number }[] = []
        const alarm = new Alarm(clock, (run) => rung.push({ run, at: clock.now() - startedAt }))
        const earliest = new Map<string, number>()
        for (const { run, delay } of settings) {
          alarm.set(String(run), startedAt + delay)
          earliest.set(String(run), Math.min(earliest.get(String(run)) ?? delay, delay))
        }
        clock.advance(1_000)
        expect(rung.map(({ at }) => at)).toEqual(rung.map(({ at }) => at).toSorted((a, b) => a - b))
        expect(new Map(rung.map(({ run, at }) => [run, at]))).toEqual(earliest)
        expect(rung).toHaveLength(earliest.size)
      },
    ),
  )
})
