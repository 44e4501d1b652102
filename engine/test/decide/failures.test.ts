import { expect, test } from 'vitest'
import { outstanding } from '../../src/index.ts'
import { Harness } from './harness.ts'

test('a retryable failure is tried again after a growing, jittered pause, then fails for good', () => {
  const run = new Harness({ a: { type: 'work' } })
  run.failing('a')
  const first = run.log.at(-1)
  expect(first).toMatchObject({ type: 'attempt.failed', attempt: 1 })
  const pause = (first as { retryAt: number }).retryAt - run.now
  expect(pause).toBeGreaterThanOrEqual(1600)
  expect(pause).toBeLessThanOrEqual(2400)
  expect(run.waits()).toEqual(['a:timer'])
  run.after(pause)
  expect(run.dispatched).toEqual(['a'])
  expect(run.effects).toMatchObject([{ task: { attempt: 2 } }])
  run.failing('a').after(5000).failing('a')
  run.expectEnd('failed')
  expect(run.phase).toMatchObject({ error: { code: 'http_status', details: { step: 'a' } } })
})

test('Retry-After is honoured', () => {
  const run = new Harness({ a: { type: 'work' } }).failing('a', { retryAfterMs: 30_000 })
  expect(run.log.at(-1)).toMatchObject({ retryAt: run.now + 30_000 })
})

test('an error that is not retryable fails at once; `retry: off` too', () => {
  new Harness({ a: { type: 'work' } }).failing('a', { retryable: false }).expectEnd('failed')
  new Harness({ a: { type: 'work', retry: 'off' } }).failing('a').expectEnd('failed')
})

test('a result of an attempt that is no longer current is ignored (R7)', () => {
  const run = new Harness({ a: { type: 'work' } }).failing('a').after(3000)
  const before = run.log.length
  run.signal({
    kind: 'completed',
    key: 'a',
    round: 1,
    attempt: 1,
    output: 1,
    startedAt: run.now,
    worker: 'zombie',
  })
  expect(run.log.length).toBe(before)
})

test('the same result twice is recorded once (R2)', () => {
  const run = new Harness({ a: { type: 'work' }, b: { type: 'work', needs: 'a' } })
  const signal = {
    kind: 'completed',
    key: 'a',
    round: 1,
    attempt: 1,
    output: 1,
    startedAt: run.now,
    worker: 'w',
  } as const
  run.signal(signal)
  const before = run.log.length
  run.signal(signal)
  expect(run.log.length).toBe(before)
})

test('a lost attempt is made again at once under a new number; two losses in a row fail the step', () => {
  const run = new Harness({ a: { type: 'work', retry: 'off' } }).lost('a')
  expect(run.effects).toMatchObject([{ kind: 'dispatch', task: { attempt: 2 } }])
  run.lost('a').expectEnd('failed')
  expect(run.phase).toMatchObject({ error: { code: 'worker_lost' } })
})

test('a loss does not use up the retry policy', () => {
  const run = new Harness({ a: { type: 'work', retry: 2 } }).lost('a').failing('a').after(5000)
  expect(run.effects).toMatchObject([{ task: { attempt: 3 } }])
})

test('an irreversible attempt without an answer is never repeated by itself', () => {
  for (const end of [
    (run: Harness) => run.lost('a'),
    (run: Harness) => run.failing('a', { code: 'timeout' }),
    (run: Harness) => run.failing('a', { code: 'node_failed' }),
  ]) {
    const run = end(new Harness({ a: { type: 'pay' }, b: { type: 'work', needs: 'a' } }))
    run.expectEnd('failed')
    expect(run.phase).toMatchObject({ error: { code: 'outcome_unknown' } })
  }
})

test('a person says that the unknown outcome happened, and the run goes on behind it', () => {
  const run = new Harness({ a: { type: 'pay' }, b: { type: 'work', needs: 'a' } }).lost('a')
  run.command({ kind: 'resolve', key: 'a', outcome: 'done', output: { paid: true } })
  expect(run.dispatched).toEqual(['b'])
  expect(run.state.steps.get('a')!.output).toEqual({ paid: true })
})

test('a failure edge handles a failure; the run completes', () => {
  const run = new Harness({
    a: { type: 'work', retry: 'off' },
    next: { type: 'work', needs: 'a' },
    clean: { type: 'work', needs: { a: 'failure' } },
  }).failing('a')
  expect(run.dispatched).toEqual(['clean'])
  expect(run.status('next')).toBe('skipped')
  run.complete('clean').expectEnd('completed')
})

test('`always` is taken after a failure but does not handle it', () => {
  const run = new Harness({
    a: { type: 'work', retry: 'off' },
    b: { type: 'work', needs: { a: 'always' } },
  }).failing('a')
  run.expectEnd('failed')
  expect(run.status('b')).toBe('pending')
})

test('`onError: continue` goes on with null', () => {
  const run = new Harness({
    a: { type: 'work', retry: 'off', onError: 'continue' },
    b: { type: 'set', needs: 'a', with: { got: '${{ steps.a.output }}', status: '${{ steps.a.status }}' } },
  }).failing('a')
  run.expectEnd('completed')
  expect(run.state.steps.get('b')!.output).toEqual({ got: null, status: 'failed' })
})

test('an unhandled failure stops the run in two events; what completes in between is recorded', () => {
  const run = new Harness({
    a: { type: 'work', retry: 'off' },
    b: { type: 'work' },
    c: { type: 'work', needs: 'b' },
  }).failing('a')
  expect(run.types.slice(-2)).toEqual(['step.failed', 'run.stopping'])
  expect(run.effects).toMatchObject([{ kind: 'halt', abort: true, attempts: [{ key: 'b' }] }])
  run.complete('b')
  expect(run.dispatched).toEqual([])
  run.expectEnd('failed')
  expect(run.status('b')).toBe('completed')
  expect(run.status('c')).toBe('cancelled')
})

test('a run that stops ends after its grace even if nobody reports', () => {
  const run = new Harness({ a: { type: 'work' } }).command({ kind: 'cancel' })
  expect(run.phase.kind).toBe('stopping')
  run.after(9999)
  expect(run.phase.kind).toBe('stopping')
  run.after(1).expectEnd('cancelled')
})

test('a retry whose time has come is at work: a run that stops waits for it, and records how it ended (R11)', () => {
  const retried = () => new Harness({ a: { type: 'work' } }).failing('a').after(5000)
  const stopped = retried().command({ kind: 'cancel' })
  expect(stopped.effects).toMatchObject([{ kind: 'halt', abort: true, attempts: [{ key: 'a', attempt: 2 }] }])
  expect(stopped.phase.kind).toBe('stopping')
  stopped.complete('a').expectEnd('cancelled')
  expect(stopped.status('a')).toBe('completed')

  // Nobody reported: the number may have been used all the same, and is not used again (R7).
  const silent = retried().command({ kind: 'cancel' }).after(10_000).expectEnd('cancelled')
  silent.command({ kind: 'retry' })
  expect(silent.effects).toMatchObject([{ kind: 'unhalt' }, { kind: 'dispatch', task: { attempt: 3 } }])
})

test('a round whose time has come is at work, too', () => {
  const run = new Harness({
    a: { type: 'work', repeat: { until: 'steps.a.output.ok', delay: '5s', maxIterations: 3 } },
  })
  run.complete('a', { ok: false }).after(5000).command({ kind: 'cancel' })
  expect(run.effects).toMatchObject([{ kind: 'halt', attempts: [{ key: 'a', round: 2, attempt: 1 }] }])
  run.dropped('a').expectEnd('cancelled')
})

test('a retry that waits for its time ends with the run at once, and keeps its number', () => {
  const run = new Harness({ a: { type: 'work' } }).failing('a').command({ kind: 'cancel' })
  run.expectEnd('cancelled').command({ kind: 'retry' })
  expect(run.effects).toMatchObject([{ kind: 'unhalt' }, { kind: 'dispatch', task: { attempt: 2 } }])
})

test('when an item fails for good, one that is at its retry still reports, and one that waits for its own does not', () => {
  const run = new Harness({ a: { type: 'work', forEach: '[0, 1, 2]' } }).failing('a[0]').after(5000)
  run.failing('a[1]').failing('a[2]', { retryable: false })
  expect(run.phase.kind).toBe('active')
  run.complete('a[0]').expectEnd('failed')
  expect(run.state.steps.get('a')!.items!.outputs.has(0)).toBe(true)
})

test('retry from failure runs what failed and what was cancelled, with fresh attempts under new numbers', () => {
  const run = new Harness({
    a: { type: 'work', retry: 2 },
    b: { type: 'work' },
    c: { type: 'work', needs: ['a', 'b'] },
  })
  run.failing('a').after(5000).failing('a').dropped('b').expectEnd('failed')
  run.command({ kind: 'retry' })
  expect(run.verdict).toEqual({ accepted: true })
  const attempts = run.effects.flatMap((effect) =>
    effect.kind === 'dispatch' ? [[effect.task.key, effect.task.attempt]] : [],
  )
  expect(attempts).toEqual([
    ['a', 3],
    ['b', 2],
  ])
  run.failing('a')
  expect(run.phase.kind).toBe('active')
  run.after(5000).complete('a').complete('b').complete('c').expectEnd('completed')
})

test('retry of a run that is not over, or went well, is refused', () => {
  const run = new Harness({ a: { type: 'work' } }).command({ kind: 'retry' })
  expect(run.verdict).toMatchObject({ accepted: false, code: 'not_retryable' })
  run.complete('a').command({ kind: 'retry' })
  expect(run.verdict).toMatchObject({ accepted: false, code: 'not_retryable' })
})

test('after a restart the run owes exactly what it owed (R5)', () => {
  const run = new Harness({
    a: { type: 'work' },
    b: { type: 'work' },
    c: { type: 'delay', with: { for: '1h' } },
  })
  run.failing('a')
  const before = outstanding(run.state, run.now)
  expect(before).toMatchObject([{ kind: 'dispatch', task: { key: 'b' } }])
  expect(outstanding(run.reload().state, run.now)).toEqual(before)
  expect(outstanding(run.state, run.now + 10_000)).toHaveLength(2)
})

test('limits end the run with the figure and the setting', () => {
  const nodes = { a: { type: 'work', forEach: '[1, 2, 3, 4]' } }
  const run = new Harness(nodes, { limits: { steps: 3 } })
  expect(run.error).toMatchObject({ code: 'too_many_steps' })
  const timed = new Harness({ a: { type: 'work' } }, { limits: { duration: '10m' } }).after(600_000)
  expect(timed.error).toMatchObject({ code: 'run_timeout' })
})
