import { describe, expect, it } from 'vitest'
import { NodeError } from '../../src/nodes/errors.ts'
import { logNode } from '../../src/nodes/log.ts'
import { mapStore, nodeOf, openWorker, RUN } from './harness.ts'

describe('worker: once', () => {
  it('does an act once, over calls and attempts of a round', async () => {
    let acts = 0
    const acting = nodeOf('acts', async (_, { once, attempt }) => {
      const first = await once('pay', async () => ({ receipt: ++acts }))
      const second = await once('pay', async () => ({ receipt: ++acts }))
      expect(second).toEqual(first)
      if (attempt === 1) throw new NodeError('broke', 'After the act.', { retryable: true })
      return first
    })
    const { failed, completed } = await openWorker({ types: [acting] })
    await failed({ type: 'acts' })
    expect((await completed({ type: 'acts', attempt: 2 })).output).toEqual({ receipt: 1 })
    expect((await completed({ type: 'acts', attempt: 2, round: 2 })).output).toEqual({ receipt: 2 })
  })

  it('tells an attempt that a newer one has taken over', async () => {
    const store = mapStore()
    const acting = nodeOf('acts', async (_, { once }) =>
      once('pay', async () => {
        await store.records.once({
          runId: RUN,
          key: 'step',
          round: 1,
          attempt: 5,
          name: 'pay',
          value: 'newer',
          at: 0,
        })
        return 'older'
      }),
    )
    const { failed } = await openWorker({ types: [acting], store })
    expect((await failed({ type: 'acts' })).error).toMatchObject({ code: 'superseded', retryable: false })
  })

  it('tries an act again that failed', async () => {
    let acts = 0
    const acting = nodeOf('acts', async (_, { once }) => {
      const act = () =>
        once('pay', async () => {
          if (++acts === 1) throw new Error('no')
          return acts
        })
      await act().catch(() => {})
      return act()
    })
    const { completed } = await openWorker({ types: [acting] })
    expect((await completed({ type: 'acts' })).output).toBe(2)
  })
})

describe('worker: credentials', () => {
  const uses = nodeOf('uses', async (_, { credential, log, progress }) => {
    const used = await credential('shop')
    log(`using ${used?.token}`, { token: used?.token ?? null })
    progress(50, `with ${used?.token}`)
    return { token: used?.token ?? null, [`key ${used?.token}`]: 1, none: await credential() }
  })

  it('come by role, and their values leave the attempt in no form', async () => {
    const { completed, live, lines } = await openWorker({
      types: [uses],
      credentials: { SHOP_API: '{"token":"tok-123456789","nested":{"deep":"deep-secret-9"}}' },
    })
    const { output } = await completed({ type: 'uses', credentials: { shop: 'shop-api' } })
    expect(output).toEqual({ token: '[redacted]', 'key [redacted]': 1, none: null })
    expect(live.some((message) => message.kind === 'attempt' && message.text?.includes('[redacted]'))).toBe(
      true,
    )
    expect(JSON.stringify([live, lines])).not.toContain('tok-123456789')
  })

  it('say which variable to set when they are missing', async () => {
    const { failed } = await openWorker({ types: [uses] })
    const { error } = await failed({ type: 'uses', credentials: { shop: 'shop-api' } })
    expect(error).toMatchObject({
      code: 'credential_missing',
      retryable: false,
      message: expect.stringContaining('WEFT_CREDENTIAL_SHOP_API'),
    })
  })

  it('stay out of errors', async () => {
    const leaks = nodeOf('leaks', async (_, { credential }) => {
      const { token } = (await credential())!
      throw new NodeError('refused', `The service said no to ${token}.`, {
        details: { header: `Bearer ${token}` },
      })
    })
    const { failed } = await openWorker({ types: [leaks], credentials: { A: '{"token":"tok-123456789"}' } })
    expect((await failed({ type: 'leaks', credentials: { default: 'a' } })).error).toMatchObject({
      message: 'The service said no to [redacted].',
      details: { header: 'Bearer [redacted]' },
    })
  })
})

describe('worker: lines', () => {
  it('are live, and a flood is cut and says so', async () => {
    const floods = nodeOf('floods', async (_, { log, progress }) => {
      for (let n = 0; n < 5_000; n++) {
        log(`line ${n}`)
        progress(n / 50)
      }
      return null
    })
    const { completed, live } = await openWorker({ types: [floods] })
    await completed({ type: 'floods' })
    const states = live.flatMap((message) => (message.kind === 'attempt' ? [message] : []))
    const texts = states.filter(({ state }) => state === 'log').map(({ text }) => text)
    expect(texts.length).toBeLessThan(400)
    expect(texts[0]).toBe('line 0')
    expect(texts.at(-1)).toMatch(/more lines were left out/)
    expect(states[0]).toMatchObject({ state: 'started', key: 'step', attempt: 1, runId: RUN })
    expect(states.filter(({ state }) => state === 'progress').length).toBeLessThan(50)
    expect(states.filter(({ state }) => state === 'progress').at(-1)).toMatchObject({ percent: 4_999 / 50 })
  })

  it('log passes its message on and shows its data', async () => {
    const { completed, live } = await openWorker({ types: [logNode] })
    const { output } = await completed({
      type: 'log',
      config: { message: 'Order ${{ input }}', data: { n: 1 } },
      scope: { input: 7 },
    })
    expect(output).toEqual({ message: 'Order 7', level: 'info', data: { n: 1 } })
    expect(live).toContainEqual(expect.objectContaining({ state: 'log', text: 'Order 7 {"n":1}' }))
    expect(
      (
        await completed({
          type: 'log',
          key: 'b',
          config: { message: '${{ input }}' },
          scope: { input: [1, 2] },
        })
      ).output,
    ).toMatchObject({ message: '[1,2]' })
  })
})

describe('worker: acts that cannot be undone', () => {
  it('does not begin an attempt that a dead worker had begun', async () => {
    let acts = 0
    const pay = nodeOf('pay', async () => ++acts, { effect: 'irreversible' })
    const store = mapStore()
    const first = await openWorker({ types: [pay], store })
    await first.completed({ type: 'pay' })
    // The process dies before the result is in the log; the next one is handed the same attempt.
    const second = await openWorker({ types: [pay], store })
    const { error } = await second.failed({ type: 'pay' })
    expect(error).toMatchObject({ code: 'outcome_unknown', retryable: false })
    expect(acts).toBe(1)
  })
})
