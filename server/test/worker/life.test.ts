import type { Signal, Task } from '@weft/engine'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { logNode } from '../../src/nodes/log.ts'
import { memoryTransport } from '../../src/transport/memory.ts'
import { manualClock } from '../coordinator/manual-clock.ts'
import { gate } from './gate.ts'
import { mapStore, nodeOf, openWorker, RUN, taskOf } from './harness.ts'

const never = new Promise<never>(() => {})
const forever = new AbortController().signal

const echo = nodeOf('echo', async (config) => config)

describe('worker: what may have been done already', () => {
  it('does not begin a task that was published again once its completion is in the log', async () => {
    const store = mapStore()
    store.completed.add(`${RUN}/done/1`)
    const { perform } = await openWorker({ types: [echo], store })
    expect(await perform({ type: 'echo', key: 'done', again: true })).toMatchObject({ kind: 'dropped' })
    expect(await perform({ type: 'echo', key: 'open', again: true })).toMatchObject({ kind: 'completed' })
  })

  it('begins at once what nobody can have done, however long it takes to ask about the rest', async () => {
    const store = mapStore()
    const answer = gate()
    const { completion } = store.records
    store.records.completion = async (asked) => {
      await answer.passed
      return completion(asked)
    }
    const { transport, nextSignal } = await openWorker({ types: [echo], store })
    await transport.tasks.publish([
      taskOf({ type: 'echo', key: 'doubtful', again: true }),
      taskOf({ type: 'echo', key: 'new' }),
    ])
    expect(await nextSignal()).toMatchObject({ kind: 'completed', key: 'new' })
    answer.open()
    expect(await nextSignal()).toMatchObject({ kind: 'completed', key: 'doubtful' })
  })

  it('leaves a task that was given to somebody else while the log took long to answer', async () => {
    const clock = manualClock()
    const transport = memoryTransport({ clock, leaseMs: 15_000 })
    const store = mapStore()
    const asked = gate()
    const answer = gate()
    store.records.completion = async () => {
      asked.open()
      await answer.passed
      return null
    }
    const { nextSignal } = await openWorker({ types: [echo], store, clock, transport })
    await transport.tasks.publish([taskOf({ type: 'echo', key: 'doubtful', again: true })])
    await asked.passed
    for (let waitedMs = 0; waitedMs < 16_000; waitedMs += 1_000) {
      clock.advance(1_000)
      await transport.tasks.reap()
    }
    expect(await nextSignal()).toMatchObject({ kind: 'lost', key: 'doubtful', attempt: 1 })
    answer.open()
    await transport.tasks.publish([taskOf({ type: 'echo', key: 'next' })])
    expect(await nextSignal()).toMatchObject({ kind: 'completed', key: 'next' })
  })

  it('leaves a task that was taken before the process stood still, and done by somebody else since', async () => {
    const clock = manualClock()
    const lanes = memoryTransport({ clock, leaseMs: 15_000 })
    const store = mapStore()
    const waiting = gate()
    const take: typeof lanes.tasks.take = async (...given) => {
      const taken = await lanes.tasks.take(...given)
      await waiting.passed
      return taken
    }
    const { transport, nextSignal } = await openWorker({
      types: [echo],
      store,
      clock,
      transport: { ...lanes, tasks: { ...lanes.tasks, take } },
    })
    await transport.tasks.publish([taskOf({ type: 'echo', key: 'done' })])
    store.completed.add(`${RUN}/done/1`)
    clock.freeze(60_000)
    waiting.open()
    expect(await nextSignal()).toMatchObject({ kind: 'dropped', key: 'done' })
  })

  it('does not act for good when it stood still since it wrote that it would, and somebody has answered for it', async () => {
    const clock = manualClock()
    const transport = memoryTransport({ clock, leaseMs: 15_000 })
    const store = mapStore()
    const written = gate()
    const answer = gate()
    const { once } = store.records
    store.records.once = async (request) => {
      const outcome = await once(request)
      written.open()
      await answer.passed
      return outcome
    }
    let acts = 0
    const pay = nodeOf('pay', async () => ++acts, { effect: 'irreversible' })
    const { nextSignal } = await openWorker({ types: [pay, echo], store, clock, transport })
    await transport.tasks.publish([taskOf({ type: 'pay', key: 'pay' })])
    await written.passed
    store.completed.add(`${RUN}/pay/1`)
    clock.freeze(60_000)
    answer.open()
    expect(await nextSignal()).toMatchObject({ kind: 'dropped', key: 'pay' })
    await transport.tasks.publish([taskOf({ type: 'echo', key: 'next' })])
    expect(await nextSignal()).toMatchObject({ kind: 'completed', key: 'next' })
    expect(acts).toBe(0)
  })
})

describe('worker: time', () => {
  it('says at once that the time is up, even to code that does not listen, and goes on with the next', async () => {
    const { failed, completed } = await openWorker({
      types: [nodeOf('deaf', () => never), echo],
      concurrency: { deaf: 1, '*': 4 },
    })
    const { error } = await failed({ type: 'deaf', timeoutMs: 20 })
    expect(error).toMatchObject({
      code: 'timeout',
      retryable: true,
      message: expect.stringContaining('20 ms'),
    })
    expect((await failed({ type: 'deaf', key: 'b', timeoutMs: 20 })).error.code).toBe('timeout')
    await completed({ type: 'echo', key: 'c' })
  })

  it('lets deaf code take no more than twice its share of the process', async () => {
    let running = 0
    const { failed, transport } = await openWorker({
      types: [
        nodeOf('deaf', () => {
          running++
          return never
        }),
      ],
      concurrency: { deaf: 2 },
    })
    for (const key of ['a', 'b', 'c', 'd']) await failed({ type: 'deaf', key, timeoutMs: 5 })
    await transport.tasks.publish([taskOf({ type: 'deaf', key: 'e', timeoutMs: 5 })])
    await new Promise((resolve) => setImmediate(resolve))
    expect(running).toBe(4)
    expect((await transport.tasks.depth())[0]).toMatchObject({ waiting: 1, active: 0 })
  })

  it('aborts the code whose time is up', async () => {
    const reason = gate<unknown>()
    const listening = nodeOf('listens', async (_, { abortSignal }) => {
      abortSignal.addEventListener('abort', () => reason.open(abortSignal.reason))
      await never
    })
    const { failed } = await openWorker({ types: [listening] })
    await failed({ type: 'listens', timeoutMs: 5 })
    expect(await reason.passed).toMatchObject({ code: 'timeout' })
  })

  it('ignores what late code answers', async () => {
    const late = gate()
    const { failed, perform } = await openWorker({
      types: [nodeOf('late', () => late.passed.then(() => 'late')), echo],
    })
    await failed({ type: 'late', timeoutMs: 5 })
    late.open()
    await late.passed
    const next = await perform({ type: 'echo', key: 'next' })
    expect(next).toMatchObject({ kind: 'completed', key: 'next' })
  })

  it('uses the error that the type has for it', async () => {
    const slow = nodeOf('slow', () => never, {
      timedOut: { code: 'too_slow', retryable: false, advice: 'Hurry.' },
    })
    const { failed } = await openWorker({ types: [slow] })
    expect((await failed({ type: 'slow', timeoutMs: 5 })).error).toMatchObject({
      code: 'too_slow',
      retryable: false,
      message: expect.stringContaining('Hurry.'),
    })
  })
})

describe('worker: abort', () => {
  const waiting = (begun: () => void) =>
    nodeOf('waits', (_, { abortSignal }) => {
      begun()
      return new Promise((_, reject) =>
        abortSignal.addEventListener('abort', () => reject(abortSignal.reason)),
      )
    })

  it('reaches the code of a halted run at once, and no other run', async () => {
    const begun = gate()
    let count = 0
    const { transport, nextSignal, completed } = await openWorker({
      types: [waiting(() => ++count === 2 && begun.open()), echo],
    })
    const other = '01990000-0000-7000-8000-000000000004'
    await transport.tasks.publish([taskOf({ type: 'waits' }), taskOf({ type: 'waits', runId: other })])
    await begun.passed
    await transport.tasks.halt(RUN, true)
    expect(await nextSignal()).toMatchObject({
      kind: 'failed',
      key: 'step',
      error: { code: 'aborted', retryable: false },
    })
    await completed({ type: 'echo', key: 'still', runId: other })
    expect(await transport.tasks.inspect([`${other}/step/1/1`])).toEqual(
      new Map([[`${other}/step/1/1`, 'taken']]),
    )
  })

  it('reaches the code by the next heartbeat when the live message was lost', async () => {
    const begun = gate()
    const whole = memoryTransport({ clock: systemClock() })
    const mute = { ...whole, live: { publish() {}, subscribe: () => () => {} } }
    const { transport, worker, nextSignal } = await openWorker({
      types: [waiting(begun.open)],
      transport: mute,
    })
    await transport.tasks.publish([taskOf({ type: 'waits' })])
    await begun.passed
    await transport.tasks.halt(RUN, true)
    await worker.tick()
    expect(await nextSignal()).toMatchObject({ kind: 'failed', error: { code: 'aborted' } })
  })

  it('keeps a result that came in spite of the abort', async () => {
    const begun = gate()
    const stubborn = nodeOf('stubborn', (_, { abortSignal }) => {
      begun.open()
      return new Promise((resolve) => abortSignal.addEventListener('abort', () => resolve('done anyway')))
    })
    const { transport, nextSignal } = await openWorker({ types: [stubborn] })
    await transport.tasks.publish([taskOf({ type: 'stubborn' })])
    await begun.passed
    await transport.tasks.halt(RUN, true)
    expect(await nextSignal()).toMatchObject({ kind: 'completed', output: 'done anyway' })
  })

  it('does not begin what was halted while its config was resolved', async () => {
    const reading = gate()
    const answer = gate()
    let ran = false
    const store = mapStore()
    const slow = {
      ...store,
      blobs: {
        ...store.blobs,
        get: async (request: { workspace: string; hash: string }) => {
          reading.open()
          await answer.passed
          return store.blobs.get(request)
        },
      },
    }
    const reference = await store.blobs.put({
      workspace: 'default',
      bytes: Buffer.from('1'),
      contentType: 'application/json',
      at: 0,
    })
    const { transport, nextSignal } = await openWorker({
      types: [
        nodeOf('act', async () => {
          ran = true
        }),
      ],
      store: slow,
    })
    await transport.tasks.publish([
      taskOf({ type: 'act', config: { a: '${{ input }}' }, scope: { input: { ...reference } } }),
    ])
    await reading.passed
    await transport.tasks.halt(RUN, true)
    answer.open()
    expect(await nextSignal()).toMatchObject({ kind: 'failed', error: { code: 'aborted' } })
    expect(ran).toBe(false)
  })

  it('reports nothing of an attempt that somebody else has', async () => {
    const begun = gate()
    const whole = memoryTransport({ clock: systemClock() })
    const task = taskOf({ type: 'waits' })
    const stolen = {
      ...whole,
      tasks: {
        ...whole.tasks,
        heartbeat: async (_: string, tasks: readonly Task[]) => ({
          abort: [],
          lost: tasks.map(({ id }) => id),
        }),
      },
    }
    const { transport, worker, completed } = await openWorker({
      types: [waiting(begun.open), echo],
      transport: stolen,
    })
    await transport.tasks.publish([task])
    await begun.passed
    await worker.tick()
    expect(await completed({ type: 'echo', key: 'next' })).toMatchObject({ key: 'next' })
  })
})

describe('worker: slots', () => {
  it('performs no more of a type at once than it may, and everything in the end', async () => {
    let running = 0
    let most = 0
    const counts = nodeOf('counts', async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      return null
    })
    const { transport, nextSignal, worker } = await openWorker({
      types: [counts, echo],
      concurrency: { counts: 3, '*': 2 },
    })
    await transport.tasks.publish(
      Array.from({ length: 40 }, (_, n) => taskOf({ type: 'counts', key: `k${n}` })),
    )
    const kinds = new Set<Signal['kind']>()
    for (let n = 0; n < 40; n++) kinds.add((await nextSignal()).kind)
    expect([...kinds]).toEqual(['completed'])
    expect(most).toBe(3)
    expect(worker.load()).toEqual([
      { type: 'counts', active: 0, limit: 3 },
      { type: 'echo', active: 0, limit: 2 },
    ])
  })

  it('lets no full type keep the others waiting', async () => {
    const hangs = nodeOf(
      'hangs',
      (_, { abortSignal }) => new Promise((_, reject) => abortSignal.addEventListener('abort', reject)),
    )
    const { completed, transport } = await openWorker({
      types: [hangs, echo],
      concurrency: { hangs: 1, echo: 1 },
      graceMs: 1,
    })
    await transport.tasks.publish([taskOf({ type: 'hangs', key: 'a' }), taskOf({ type: 'hangs', key: 'b' })])
    await completed({ type: 'echo', key: 'c' })
  })

  it('lets timers in while a long queue is worked off', async () => {
    const { transport, nextSignal } = await openWorker({ types: [logNode] })
    let signals = 0
    let signalsAtTimer = -1
    setImmediate(() => {
      signalsAtTimer = signals
    })
    await transport.tasks.publish(
      Array.from({ length: 2_000 }, (_, n) =>
        taskOf({ type: 'log', key: `k${n}`, graph: 'g', config: { message: 'x' } }),
      ),
    )
    for (; signals < 2_000; signals++) await nextSignal()
    expect(signalsAtTimer).toBeGreaterThanOrEqual(0)
    expect(signalsAtTimer).toBeLessThan(2_000)
  })

  it('sends what ends in one turn in one report', async () => {
    const whole = memoryTransport({ clock: systemClock() })
    const sizes: number[] = []
    const counted = {
      ...whole,
      tasks: {
        ...whole.tasks,
        report: (worker: string, results: Parameters<typeof whole.tasks.report>[1]) => {
          sizes.push(results.length)
          return whole.tasks.report(worker, results)
        },
      },
    }
    const { transport, nextSignal } = await openWorker({ types: [logNode], transport: counted })
    await transport.tasks.publish(
      Array.from({ length: 16 }, (_, n) => taskOf({ type: 'log', key: `k${n}`, config: { message: 'x' } })),
    )
    for (let n = 0; n < 16; n++) await nextSignal()
    expect(sizes.length).toBeLessThan(4)
  })

  it('repeats a report that the transport did not take', async () => {
    const whole = memoryTransport({ clock: systemClock() })
    let failures = 1
    const flaky = {
      ...whole,
      tasks: {
        ...whole.tasks,
        report: async (worker: string, results: Parameters<typeof whole.tasks.report>[1]) => {
          if (failures-- > 0) throw new Error('away')
          await whole.tasks.report(worker, results)
        },
      },
    }
    const { completed } = await openWorker({ types: [echo], transport: flaky })
    await completed({ type: 'echo' })
  })
})

describe('worker: stop', () => {
  it('lets attempts finish that do so within the grace, and reports them', async () => {
    const begun = gate()
    const finish = gate()
    const { worker, transport, nextSignal } = await openWorker({
      types: [
        nodeOf('slow', async () => {
          begun.open()
          await finish.passed
          return 1
        }),
      ],
    })
    await transport.tasks.publish([taskOf({ type: 'slow' })])
    await begun.passed
    const stopped = worker.stop()
    finish.open()
    await stopped
    expect(await nextSignal()).toMatchObject({ kind: 'completed', output: 1 })
  })

  it('aborts the others after it, and says that they are lost', async () => {
    const begun = gate()
    const aborted = gate()
    const slow = nodeOf('slow', async (_, { abortSignal }) => {
      begun.open()
      abortSignal.addEventListener('abort', () => aborted.open())
      await aborted.passed
      throw abortSignal.reason
    })
    const { worker, transport, nextSignal } = await openWorker({ types: [slow], graceMs: 5 })
    await transport.tasks.publish([taskOf({ type: 'slow', attempt: 2 })])
    await begun.passed
    await worker.stop()
    expect(await nextSignal()).toEqual({ kind: 'lost', key: 'step', round: 1, attempt: 2 })
  })

  it('takes nothing more, and leaves what waits to others', async () => {
    const { worker, transport } = await openWorker({ types: [echo] })
    await worker.stop()
    await worker.stop()
    const task = taskOf({ type: 'echo' })
    await transport.tasks.publish([task])
    const taken = await transport.tasks.take('other', new Map([['echo', 1]]), forever)
    expect(taken.map(({ task }) => task.id)).toEqual([task.id])
  })

  it('may start again', async () => {
    const { worker, completed } = await openWorker({ types: [echo] })
    await worker.stop()
    await worker.start()
    await worker.start()
    await completed({ type: 'echo' })
  })
})
