import { expect, test } from 'vitest'
import { Harness } from './harness.ts'

test('a chain runs one step after the other and yields the last output', () => {
  const run = new Harness({ a: { type: 'work' }, b: { type: 'work', needs: 'a' } })
  expect(run.dispatched).toEqual(['a'])
  run.complete('a')
  expect(run.dispatched).toEqual(['b'])
  run.complete('b', { done: 1 }).expectEnd('completed')
  expect(run.types).toEqual(['run.started', 'step.completed', 'step.completed', 'run.completed'])
  expect(run.phase).toMatchObject({ output: { done: 1 } })
})

test('a diamond closes after a branch: the dead arm is skipped and the join starts once', () => {
  const run = new Harness(
    {
      choose: { type: 'branch', with: { cases: { high: 'input.risk > 5' } } },
      left: { type: 'work', needs: { choose: 'high' } },
      right: { type: 'work', needs: { choose: 'default' } },
      join: { type: 'work', needs: ['left', 'right'] },
    },
    { runInput: { risk: 9 } },
  )
  expect(run.dispatched).toEqual(['left'])
  expect(run.status('right')).toBe('skipped')
  run.complete('left')
  expect(run.dispatched).toEqual(['join'])
  run.complete('join').expectEnd('completed')
})

test('a join of `all` waits for every live edge', () => {
  const run = new Harness({
    a: { type: 'work' },
    b: { type: 'work' },
    join: { type: 'work', needs: ['a', 'b'] },
  })
  run.complete('b')
  expect(run.dispatched).toEqual([])
  run.complete('a')
  expect(run.dispatched).toEqual(['join'])
})

test('a join of `any` starts with the first and never twice; the loser runs on', () => {
  const run = new Harness({
    a: { type: 'work' },
    b: { type: 'work' },
    join: { type: 'work', needs: ['a', 'b'], join: 'any' },
  })
  run.complete('b')
  expect(run.dispatched).toEqual(['join'])
  run.complete('join')
  expect(run.phase.kind).toBe('active')
  run.complete('a')
  expect(run.dispatched).toEqual([])
  run.expectEnd('completed')
})

test('skipping spreads along every edge, `always` and `skipped` included', () => {
  const run = new Harness({
    choose: { type: 'branch', with: { cases: { yes: 'false' } } },
    a: { type: 'work', needs: { choose: 'yes' } },
    b: { type: 'work', needs: { a: 'always' } },
    c: { type: 'work', needs: { b: 'skipped' } },
    other: { type: 'work', needs: { choose: 'default' } },
  })
  for (const id of ['a', 'b', 'c']) expect(run.status(id)).toBe('skipped')
  run.complete('other').expectEnd('completed')
})

test('a node skipped by its own `when` kills its success edges and takes `skipped` and `always`', () => {
  const run = new Harness(
    {
      a: { type: 'work', when: 'input.go' },
      next: { type: 'work', needs: 'a' },
      instead: { type: 'work', needs: { a: 'skipped' } },
      both: { type: 'work', needs: { a: 'always' } },
    },
    { runInput: { go: false } },
  )
  expect(run.dispatched.toSorted()).toEqual(['both', 'instead'])
  expect(run.status('next')).toBe('skipped')
})

test('`else` is taken only when no other conditional edge of that source was', () => {
  const nodes = {
    a: { type: 'work' },
    big: { type: 'work', needs: { a: { when: 'steps.a.output.n > 10' } } },
    rest: { type: 'work', needs: { a: { when: 'else' } } },
  }
  expect(new Harness(nodes).complete('a', { n: 11 }).dispatched).toEqual(['big'])
  expect(new Harness(nodes).complete('a', { n: 1 }).dispatched).toEqual(['rest'])
})

test('a completed step none of whose edges was taken says so with each condition and its values', () => {
  const run = new Harness({
    a: { type: 'work' },
    big: { type: 'work', needs: { a: { when: 'steps.a.output.n > 10' } } },
  })
  run.complete('a', { n: 3 }).expectEnd('completed')
  expect(run.state.warnings).toMatchObject([
    {
      code: 'no_path_taken',
      step: 'a',
      details: {
        conditions: [{ to: 'big', when: 'steps.a.output.n > 10', values: { 'steps.a.output.n': 3 } }],
      },
    },
  ])
})

test('an expression that fails on an edge fails the step behind it, with pointer and column', () => {
  const run = new Harness({
    a: { type: 'work' },
    b: { type: 'work', needs: { a: { when: 'steps.a.output.missing > 1' } } },
  })
  run.complete('a', { n: 1 })
  expect(run.status('b')).toBe('failed')
  expect(run.error).toMatchObject({ code: 'expression_failed', pointer: '/nodes/b/needs/a/when' })
  run.expectEnd('failed')
})

test('the run output that cannot be evaluated fails the run', () => {
  const run = new Harness({ a: { type: 'work' } }, { output: { x: '${{ steps.a.output.nope }}' } })
  run.complete('a').expectEnd('failed')
  expect(run.phase).toMatchObject({ error: { code: 'expression_failed', pointer: '/output/x' } })
})

test('what did not run reads as null', () => {
  const run = new Harness({
    choose: { type: 'branch', with: { cases: { yes: 'false' } } },
    a: { type: 'work', needs: { choose: 'yes' } },
    b: { type: 'set', needs: { choose: 'default', a: 'success' }, with: { got: '${{ steps.a.output }}' } },
  })
  run.expectEnd('completed')
  expect(run.state.steps.get('b')!.output).toEqual({ got: null })
})

test('a label outside of success that no edge takes leaves a warning; one with an edge goes there', () => {
  const nodes = {
    a: { type: 'sort' },
    l: { type: 'work', needs: 'a' },
    r: { type: 'work', needs: { a: 'right' } },
  }
  expect(new Harness(nodes).complete('a', 1, 'left').dispatched).toEqual(['l'])
  expect(new Harness(nodes).complete('a', 1, 'right').dispatched).toEqual(['r'])
})

test('an unknown type under `unknownTypes: skip` completes with null, a warning, and its success edges', () => {
  const run = new Harness({ a: { type: 'wrok' }, b: { type: 'work', needs: 'a' } }, { unknownTypes: 'skip' })
  expect(run.dispatched).toEqual(['b'])
  expect(run.state.warnings).toMatchObject([{ code: 'unknown_type', step: 'a' }])
})

test('`stop` ends the run completed with its output while others are in flight', () => {
  const run = new Harness({ a: { type: 'work' }, b: { type: 'stop', with: { output: { early: true } } } })
  expect(run.phase.kind).toBe('stopping')
  expect(run.effects).toMatchObject([{ kind: 'halt', abort: true, attempts: [{ key: 'a' }] }])
  run.dropped('a').expectEnd('completed')
  expect(run.phase).toMatchObject({ output: { early: true } })
})

test('`fail` ends the run failed with its own code', () => {
  const run = new Harness({ a: { type: 'fail', with: { code: 'too_risky', message: 'No.' } } })
  run.expectEnd('failed')
  expect(run.phase).toMatchObject({ error: { code: 'too_risky', message: 'No.' } })
})
