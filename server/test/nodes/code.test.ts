import { describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { codeNode } from '../../src/nodes/code/code.ts'
import { createSandbox } from '../../src/nodes/code/sandbox.ts'
import { type Bench, openWorker, RUN, taskOf } from '../worker/harness.ts'

async function openCode(threads = 1): Promise<Bench> {
  const sandbox = createSandbox({ clock: systemClock(), threads })
  const bench = await openWorker({ types: [codeNode(sandbox)] })
  onTestFinished(() => sandbox.close())
  return bench
}

const step = (code: string, input?: unknown, more: object = {}) => ({
  type: 'code',
  config: { code, ...(input !== undefined && { input: input as string }) },
  timeoutMs: 20_000,
  ...more,
})

describe('code', () => {
  it('gives the code its input and keeps what it returns', async () => {
    const { completed } = await openCode()
    const { output } = await completed({
      ...step(
        'return { total: input.rows.reduce((sum, row) => sum + row.n, 0), when: await Promise.resolve("now") }',
        {
          rows: '${{ steps.fetch.output }}',
        },
      ),
      scope: { steps: { fetch: { output: [{ n: 1 }, { n: 2 }], status: 'completed', error: null } } },
    })
    expect(output).toEqual({ total: 3, when: 'now' })
  })

  it('never interpolates the code itself', async () => {
    const { completed } = await openCode()
    expect((await completed(step('return "${{ input.x }}"'))).output).toBe('${{ input.x }}')
  })

  it('keeps what JSON can say: no value is null, a large bigint its digits, a date its text', async () => {
    const { completed } = await openCode()
    expect((await completed(step('const a = 1'))).output).toBeNull()
    const { output } = await completed({
      ...step('return { big: 9007199254740993n, small: 7n, at: new Date(0), nan: NaN, f() {} }'),
      key: 'b',
    })
    expect(output).toEqual({ big: '9007199254740993', small: 7, at: '1970-01-01T00:00:00.000Z', nan: null })
  })

  it('has no way out: no require, no process, no fetch, no timers', async () => {
    const { completed } = await openCode()
    const names = [
      'require',
      'process',
      'fetch',
      'setTimeout',
      'WebAssembly',
      'Worker',
      'Deno',
      'XMLHttpRequest',
    ]
    const { output } = await completed(
      step(`return ${JSON.stringify(names)}.filter((name) => name in globalThis)`),
    )
    expect(output).toEqual([])
    const imported = await openCode()
    const { error } = await imported.failed(step('return await import("node:fs")'))
    expect(error).toMatchObject({ code: 'code_failed', retryable: false })
  })

  it('starts each call afresh, on a thread that stays warm', async () => {
    const { completed } = await openCode()
    await completed(
      step('globalThis.left = 1; Array.prototype.map = null; JSON.stringify = () => "spoiled"; return 1'),
    )
    const { output } = await completed({
      ...step('return [typeof left, [1].map((n) => n + 1)]'),
      key: 'next',
    })
    expect(output).toEqual(['undefined', [2]])
  })

  it('shows lines of the console live', async () => {
    const { completed, live } = await openCode()
    await completed(step('console.log("rows", [1, 2]); console.warn(new TypeError("odd")); return null'))
    const texts = live.flatMap((message) =>
      message.kind === 'attempt' && message.state === 'log' ? [message.text] : [],
    )
    expect(texts).toEqual(['rows [1,2]', 'TypeError: odd'])
  })

  it.each([
    ['a thrown error', 'const a = 1\nconst b = null\nreturn b.x', 'code_failed', /TypeError.*null.*\(line 3/],
    ['text that is no JavaScript', 'const a = 1\nconst b = }', 'code_failed', /SyntaxError.*\(line 2/],
    ['a thrown value', 'throw { odd: 1 }', 'code_failed', /no Error: \{"odd":1\}/],
    ['a promise that nothing settles', 'await new Promise(() => {})', 'code_failed', /no timers and no I\/O/],
    ['a cycle', 'const a = {}; a.a = a; return a', 'invalid_output', /cycle/],
    [
      'a rejected promise',
      'return Promise.reject(new RangeError("too far"))',
      'code_failed',
      /RangeError: too far/,
    ],
  ])('says what went wrong: %s', async (_, code, expected, message) => {
    const { failed } = await openCode()
    const { error } = await failed(step(code))
    expect(error).toMatchObject({ code: expected, retryable: false })
    expect(error.message).toMatch(message)
  })

  it.each([
    ['a loop', 'while (true) {}'],
    ['a loop of promises', 'while (true) await null'],
    ['a loop that catches everything', 'while (true) { try { while (true) {} } catch {} }'],
    ['a regular expression that explodes', 'return /^(a+)+$/.test("a".repeat(50) + "b")'],
    [
      'a long sort',
      'return Array.from({ length: 3e6 }, (_, n) => -n).sort((a, b) => { for (let i = 0; i < 1e3; i++); return a - b }).length',
    ],
  ])('ends %s when the time is up, and the next call works', async (_, code) => {
    const { failed, completed } = await openCode()
    const { error } = await failed(step(code, undefined, { timeoutMs: 300 }))
    expect(error).toMatchObject({ code: 'code_timeout', retryable: false })
    expect(error.message).toContain('300 ms')
    expect((await completed({ ...step('return 7'), key: 'next' })).output).toBe(7)
  })

  it.each([
    ['arrays', 'const all = []; while (true) all.push(new Array(100000).fill(7))'],
    ['text', 'const all = []; let text = "x".repeat(1e6); while (true) all.push((text += "y"))'],
    ['one array', 'return new Array(1e8).fill({}).length'],
  ])('ends code that allocates %s for ever, and the next call works', async (_, code) => {
    const { failed, completed } = await openCode()
    const { error } = await failed(step(code, undefined, { timeoutMs: 50_000 }))
    expect(error).toMatchObject({ code: 'code_out_of_memory', retryable: false })
    expect((await completed({ ...step('return 7'), key: 'next' })).output).toBe(7)
  })

  it.each([
    ['calls', 'const f = (n) => f(n + 1) + 1; return f(0)'],
    ['data', 'let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a'],
    ['text', 'return JSON.parse("[".repeat(1e5))'],
  ])('survives endless nesting of %s', async (_, code) => {
    const { failed, completed } = await openCode()
    const { error } = await failed(step(code))
    expect(error.code).toMatch(/^code_(failed|crashed)$/)
    expect((await completed({ ...step('return 7'), key: 'next' })).output).toBe(7)
  })

  it('keeps a flood of lines from the process', async () => {
    const { completed, live } = await openCode()
    await completed(step('for (let i = 0; i < 100000; i++) console.log(i); return null'))
    expect(live.length).toBeLessThan(1_100)
  })

  it('lets calls wait for a thread', async () => {
    const { completed } = await openCode(1)
    const outputs = await Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        completed({ ...step('return input', n), key: `step${n}`, runId: `0199-${n}-${n}` }),
      ),
    )
    expect(outputs.map(({ output }) => output).sort()).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('ends when its run is cancelled', async () => {
    const { transport, nextSignal, live } = await openCode()
    await transport.tasks.publish([taskOf(step('console.log("here"); while (true) {}'))])
    while (!live.some((message) => message.kind === 'attempt' && message.text === 'here')) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    await transport.tasks.halt(RUN, true)
    expect(await nextSignal()).toMatchObject({ kind: 'failed', error: { code: 'aborted', retryable: false } })
  })
})
