/** The check of the ledger is what “no call begins after its step's completion was committed” rests on. */
import { expect, test } from 'vitest'
import type { LedgerEntry } from '../../../examples/service/ledger.ts'
import { checkLedger, type LoggedRun } from './checks.ts'

const DECIDED_AT = 1_000
const COMMITTED_AT = 1_030.5

const call = (n: number, startedAt: number, answeredAt: number | null, attempt = 1): LedgerEntry => ({
  n,
  method: 'POST',
  path: '/work/only',
  query: '',
  run: 'r',
  step: 'only',
  round: 1,
  attempt,
  idempotencyKey: 'r/only/1',
  startedAt,
  answeredAt,
  status: answeredAt === null ? null : 200,
})

const RUN: LoggedRun = {
  id: 'r',
  events: [
    {
      type: 'step.completed',
      key: 'only',
      round: 1,
      attempt: 1,
      output: null,
      at: DECIDED_AT,
      committedAt: COMMITTED_AT,
    },
  ],
}

function judged(...entries: readonly LedgerEntry[]) {
  const problems: string[] = []
  return { ...checkLedger(entries, [RUN], problems), problems }
}

test('a call that began before the completion was decided is as promised', () => {
  expect(judged(call(1, 900, 995), call(2, 999, null))).toMatchObject({
    callsAfterCommit: 0,
    callsAfterDecision: 0,
    problems: [],
  })
})

test('a call between decision and commit is told, and allowed', () => {
  expect(judged(call(1, 900, 995), call(2, 1_030, null))).toMatchObject({
    callsAfterCommit: 0,
    callsAfterDecision: 1,
    problems: [],
  })
})

test('a call that began a moment after the commit is not', () => {
  const { callsAfterCommit, problems } = judged(call(1, 900, 995), call(2, 1_031, null, 2))
  expect(callsAfterCommit).toBe(1)
  expect(problems).toEqual([
    'run r: call 2 (only, round 1, attempt 2) began 1 ms after the completion of attempt 1 was committed, which was 31 ms after it was decided',
  ])
})

test('as late as the service was found to stamp an answer, it may have stamped a call', () => {
  expect(judged(call(1, 900, 1_010), call(2, 1_040, null))).toMatchObject({
    clockSkewMs: 10,
    callsAfterCommit: 0,
    problems: [],
  })
  expect(judged(call(1, 900, 1_010), call(2, 1_041, null)).callsAfterCommit).toBe(1)
})

test('a completion whose call was never answered cannot be right', () => {
  expect(judged(call(1, 900, null)).problems).toEqual([
    'run r: only round 1 completed, and no call of it was ever answered',
  ])
})
