import type { Json } from '@weft/engine'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { result } from '../../src/nodes/define-node.ts'
import { NodeError } from '../../src/nodes/errors.ts'
import { mapStore, nodeOf, openWorker, RUN } from './harness.ts'

const value = (output: unknown) => nodeOf('value', async () => output)
const echo = nodeOf('echo', async (config) => config)

describe('worker: configs', () => {
  it('evaluates expressions with the scope that came along', async () => {
    const { completed } = await openWorker({ types: [echo] })
    const { output, worker, startedAt } = await completed({
      type: 'echo',
      workflow: 'triage',
      config: {
        text: 'Order ${{ input.id }} of ${{ workflow.name }} in ${{ run.id }}',
        total: '${{ steps.fetch.output.total }}',
        item: '${{ item.n }} at ${{ index }}',
        region: '${{ vars.region }}',
        label: '${{ run.labels.team }} since ${{ run.startedAt }}',
      },
      scope: {
        input: { id: 7 },
        steps: { fetch: { output: { total: 12.5 }, status: 'completed', error: null } },
        item: { n: 1 },
        index: 4,
        vars: { region: 'eu' },
        labels: { team: 'a' },
        startedAt: 0,
      },
    })
    expect(output).toEqual({
      text: `Order 7 of triage in ${RUN}`,
      total: 12.5,
      item: '1 at 4',
      region: 'eu',
      label: 'a since 1970-01-01T00:00:00.000Z',
    })
    expect(worker).toBe('w1')
    expect(startedAt).toBeGreaterThan(0)
  })

  it('reads values that were moved to the blob store', async () => {
    const { completed, store } = await openWorker({ types: [echo] })
    const large = { rows: Array.from({ length: 10_000 }, (_, n) => n) }
    const reference = await store.blobs.put({
      workspace: 'default',
      bytes: Buffer.from(JSON.stringify(large)),
      contentType: 'application/json',
      at: 0,
    })
    const { output } = await completed({
      type: 'echo',
      config: { count: '${{ size(steps.fetch.output.rows) }}', fromInput: '${{ input.rows[3] }}' },
      scope: {
        input: { ...reference },
        steps: { fetch: { output: { ...reference }, status: 'completed', error: null } },
      },
    })
    expect(output).toEqual({ count: 10_000, fromInput: 3 })
  })

  it('fails for good when a value that it reads is gone', async () => {
    const { failed } = await openWorker({ types: [echo] })
    const gone = { $blob: `sha256:${'0'.repeat(64)}`, bytes: 9, contentType: 'application/json' }
    const { error } = await failed({ type: 'echo', config: { a: '${{ input.x }}' }, scope: { input: gone } })
    expect(error).toMatchObject({ code: 'blob_missing', retryable: false })
  })

  it('points at an expression that cannot be evaluated', async () => {
    const { failed } = await openWorker({ types: [echo] })
    const { error } = await failed({
      type: 'echo',
      node: 'notify',
      config: { text: 'Hi ${{ input.nmae }}' },
      scope: { input: { name: 'x' } },
    })
    expect(error).toMatchObject({
      code: 'expression_failed',
      retryable: false,
      pointer: '/nodes/notify/with/text',
    })
    expect(error.message).toContain('name')
    expect(error.column).toBeGreaterThan(3)
  })

  it('points at a value that the type does not accept', async () => {
    const strict = nodeOf('strict', async () => null, {
      config: z.strictObject({ list: z.array(z.object({ n: z.number() })) }),
    })
    const { failed } = await openWorker({ types: [strict] })
    const { error } = await failed({
      type: 'strict',
      node: 'sum',
      config: { list: [{ n: 1 }, { n: '${{ input }}' }] },
      scope: { input: 'two' },
    })
    expect(error).toMatchObject({
      code: 'invalid_config',
      retryable: false,
      pointer: '/nodes/sum/with/list/1/n',
    })
  })

  it('lets no node change what others see: neither the template, nor the scope, nor a cached blob', async () => {
    const spoil = nodeOf('spoil', async (config) => {
      const { list, fixed, big } = config as { list: number[]; fixed: number[]; big: number[] }
      const seen = [list.length, fixed.length, big.length]
      for (const values of [list, fixed, big]) values.push(0)
      return seen
    })
    const { completed, store } = await openWorker({ types: [spoil] })
    const reference = await store.blobs.put({
      workspace: 'default',
      bytes: Buffer.from('[1,2,3]'),
      contentType: 'application/json',
      at: 0,
    })
    const scope = { input: [1, 2], item: { ...reference } }
    const task = { type: 'spoil', config: { list: '${{ input }}', fixed: [1], big: '${{ item }}' }, scope }
    expect((await completed({ ...task, key: 'a' })).output).toEqual([2, 1, 3])
    expect((await completed({ ...task, key: 'b', node: 'a' })).output).toEqual([2, 1, 3])
    expect(scope.input).toEqual([1, 2])
  })
})

describe('worker: outputs', () => {
  it('keeps odd texts, digits and keys', async () => {
    const odd = JSON.parse('{"__proto__":{"admin":true},"constructor":{"prototype":1}}') as object
    const { completed } = await openWorker({
      types: [
        value({
          nul: 'a\u0000b',
          lone: '\ud800',
          big: 2n ** 53n + 1n,
          digits: 9007199254740993n,
          none: undefined,
          nan: Number.NaN,
          at: new Date(0),
          odd,
        }),
      ],
    })
    const { output } = await completed({ type: 'value' })
    const text = JSON.stringify(output)
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(output)))
    expect(output).toMatchObject({
      nul: 'a\u0000b',
      lone: '\ud800',
      big: '9007199254740993',
      digits: '9007199254740993',
      nan: null,
      at: '1970-01-01T00:00:00.000Z',
    })
    expect(text).toContain('{"__proto__":{"admin":true},"constructor":{"prototype":1}}')
    expect(({} as { admin?: boolean }).admin).toBeUndefined()
  })

  it('keeps 40 levels of nesting', async () => {
    let nested: Json = 'core'
    for (let level = 0; level < 40; level++) nested = level % 2 === 0 ? [nested] : { level: nested }
    const { completed } = await openWorker({ types: [value(nested)] })
    expect((await completed({ type: 'value' })).output).toEqual(nested)
  })

  it.each([
    [
      'a cycle',
      () => {
        const a: Record<string, unknown> = {}
        a.list = [a]
        return a
      },
      /contains itself/,
    ],
    [
      'endless nesting',
      () => {
        let a: unknown = 1
        for (let i = 0; i < 1_000; i++) a = [a]
        return a
      },
      /nested deeper/,
    ],
    [
      'a getter that throws',
      () => ({
        get x() {
          throw new Error('no x today')
        },
      }),
      /no x today/,
    ],
  ])('refuses %s for good and says where', async (_, make, message) => {
    const { failed } = await openWorker({ types: [nodeOf('make', async () => make())] })
    const { error } = await failed({ type: 'make' })
    expect(error).toMatchObject({ code: 'invalid_output', retryable: false })
    expect(error.message).toMatch(message)
  })

  it('answers any value as JSON writes it', async () => {
    let next: unknown
    const { perform } = await openWorker({ types: [nodeOf('next', async () => next)] })
    let count = 0
    await fc.assert(
      fc.asyncProperty(
        fc.anything({ withDate: true, withNullPrototype: true, withSparseArray: true }),
        async (made) => {
          next = made
          const signal = await perform({ type: 'next', key: `k${count++}` })
          if (signal.kind === 'completed') {
            expect(JSON.parse(JSON.stringify(signal.output))).toEqual(
              JSON.parse(JSON.stringify(structuredClone(signal.output))),
            )
          } else expect(signal).toMatchObject({ kind: 'failed', error: { code: 'invalid_output' } })
        },
      ),
      { numRuns: 300 },
    )
  })

  it('moves what is large to the blob store before it says so', async () => {
    const large = { text: 'ü'.repeat(20_000) }
    const { completed, store } = await openWorker({ types: [value(large)] })
    const { output } = await completed({ type: 'value' })
    expect(output).toMatchObject({
      $blob: expect.stringMatching(/^sha256:/),
      bytes: 40_011,
      contentType: 'application/json',
    })
    const bytes = store.blobTexts.get(`default ${(output as { $blob: string }).$blob}`)!
    expect(JSON.parse(Buffer.from(bytes).toString())).toEqual(large)
  })

  it('keeps in the log what has 32 KiB, and moves what has one byte more', async () => {
    const text = 'x'.repeat(32 * 1024 - 2)
    const fits = await openWorker({ types: [value(text)] })
    expect((await fits.completed({ type: 'value' })).output).toBe(text)
    const over = await openWorker({ types: [value(`${text}x`)] })
    expect((await over.completed({ type: 'value' })).output).toHaveProperty('$blob')
  })

  it('refuses more than 16 MiB for good', async () => {
    const { failed } = await openWorker({ types: [value('x'.repeat(16 * 1024 * 1024))] })
    expect((await failed({ type: 'value' })).error).toMatchObject({
      code: 'output_too_large',
      retryable: false,
    })
  })

  it('carries a label that the type declares, and refuses any other', async () => {
    const labels = { labels: ['found', 'missing'], success: ['found'] }
    const good = nodeOf('good', async () => result(1, 'missing'), labels)
    const bad = nodeOf('bad', async () => result(1, 'fuond'), labels)
    const { completed, failed } = await openWorker({ types: [good, bad] })
    expect(await completed({ type: 'good' })).toMatchObject({ output: 1, label: 'missing' })
    expect((await failed({ type: 'bad', key: 'b' })).error).toMatchObject({ code: 'invalid_output' })
  })

  it('tries the store again when it is away for a moment', async () => {
    const store = mapStore()
    let failures = 2
    const { put } = store.blobs
    const flaky = {
      ...store,
      blobs: {
        ...store.blobs,
        put: (request: Parameters<typeof put>[0]) =>
          failures-- > 0 ? Promise.reject(new Error('away')) : put(request),
      },
    }
    const { completed } = await openWorker({ types: [value('x'.repeat(40_000))], store: flaky })
    expect((await completed({ type: 'value' })).output).toHaveProperty('$blob')
  })
})

describe('worker: failures', () => {
  it.each([
    [
      'an error',
      new TypeError('x is not a function'),
      { code: 'node_failed', message: 'TypeError: x is not a function', retryable: true },
    ],
    ['a text', 'oops', { code: 'node_failed', message: expect.stringContaining('"oops"'), retryable: true }],
    ['nothing', undefined, { code: 'node_failed', retryable: true }],
    [
      'a node error',
      new NodeError('shop_closed', 'The shop is closed.', {
        retryable: true,
        retryAfterMs: 1500.2,
        details: { until: 9 },
      }),
      {
        code: 'shop_closed',
        message: 'The shop is closed.',
        retryable: true,
        retryAfterMs: 1501,
        details: { until: 9 },
      },
    ],
    [
      'a node error that is final',
      new NodeError('no_such_order', 'No.'),
      { code: 'no_such_order', retryable: false },
    ],
    [
      'an error with endless details',
      new NodeError('big', 'Big.', { details: 'x'.repeat(100_000) }),
      { code: 'big', details: { leftOut: expect.stringContaining('100002 bytes') } },
    ],
  ])('tells what was thrown: %s', async (_, thrown, expected) => {
    const { failed } = await openWorker({ types: [nodeOf('throws', () => Promise.reject(thrown))] })
    expect((await failed({ type: 'throws' })).error).toMatchObject(expected)
  })

  it('catches what a node throws before its first await', async () => {
    const { failed } = await openWorker({
      types: [
        nodeOf('throws', () => {
          throw new Error('at once')
        }),
      ],
    })
    expect((await failed({ type: 'throws' })).error).toMatchObject({ code: 'node_failed' })
  })
})
