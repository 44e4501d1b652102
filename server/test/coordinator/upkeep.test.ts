import { describe, expect, test } from 'vitest'
import { ENGINE } from '../../src/coordinator/engine.ts'
import type { SignalEnvelope } from '../../src/transport/transport.ts'
import { isOnRedis } from '../stack.ts'
import { CHAIN, killAndTakeOver, world } from './world.ts'

describe('timers', () => {
  test('a delay ends when its time has come, not before', async () => {
    const w = await world()
    const runId = await w.begin({
      nodes: {
        pause: { type: 'delay', with: { for: '90s' } },
        after: { type: 'log', needs: 'pause', with: { message: 'x' } },
      },
    })
    await w.event(runId, 'step.waiting')
    await w.pass(89_000)
    expect(await w.queued()).toBe(0)
    await w.pass(2_000)
    const [after] = await w.take()
    expect(after?.key).toBe('after')
  })

  test('a delay that is over before its beginning is committed rings by itself, too', async () => {
    const held = Promise.withResolvers<void>()
    const isHolding = Promise.withResolvers<void>()
    const isDecided = Promise.withResolvers<void>()
    let other = ''
    const w = await world({
      engine: {
        ...ENGINE,
        decide(state, signal, context) {
          if (signal.kind === 'completed' && signal.key === 'first') isDecided.resolve()
          return ENGINE.decide(state, signal, context)
        },
      },
      hook: {
        async before(batch) {
          if (!batch.some(({ runId, events }) => runId === other && events.length > 0)) return
          isHolding.resolve()
          await held.promise
        },
      },
    })
    const definition = {
      nodes: {
        first: { type: 'log', with: { message: 'x' } },
        pause: { type: 'delay', needs: 'first', with: { for: '300ms' } },
        after: { type: 'log', needs: 'pause', with: { message: 'x' } },
      },
    }
    const runId = await w.begin(definition)
    other = await w.begin(CHAIN)
    const tasks = await w.take(2)
    await w.complete(tasks.find((task) => task.runId === other)!)
    await isHolding.promise
    // Decided while the commit of the other run takes long, and gathered for the next one.
    await w.complete(tasks.find((task) => task.runId === runId)!)
    await isDecided.promise
    w.clock.advance(1_000)
    held.resolve()
    await w.event(runId, 'step.waiting')
    await w.coordinator.idle()
    w.clock.advance(0)
    expect(await w.take(2)).toContainEqual(expect.objectContaining({ runId, key: 'after' }))
  })

  test('a short delay rings by itself, without the sweep', async () => {
    const w = await world()
    const runId = await w.begin({ nodes: { pause: { type: 'delay', with: { for: '300ms' } } } })
    await w.event(runId, 'step.waiting')
    await w.coordinator.idle()
    w.clock.advance(300)
    await w.event(runId, 'run.completed')
  })

  test('a failed attempt is made again after its pause, with the next number', async () => {
    const w = await world()
    const runId = await w.begin({ nodes: { a: { type: 'act', with: { message: 'a' } } } })
    const [first] = await w.take()
    await w.fail(first!, true)
    await w.event(runId, 'attempt.failed')
    await w.coordinator.idle()
    expect(await w.queued()).toBe(0)
    await w.pass(4_000)
    const [second] = await w.take()
    expect(second).toMatchObject({ key: 'a', attempt: 2 })
    await w.complete(second!)
    await w.event(runId, 'run.completed')
  })

  test('a delay survives a kill', async () => {
    const killed = await world()
    const runId = await killed.begin({ nodes: { pause: { type: 'delay', with: { for: '1h' } } } })
    await killed.event(runId, 'step.waiting')
    await killed.coordinator.idle()
    const w = await killAndTakeOver(killed)
    await w.pass(3_600_000)
    await w.event(runId, 'run.completed')
  })

  test('a run that waits for a person has no wake-up, and is not in anybody’s way', async () => {
    const w = await world()
    const runId = await w.begin({ nodes: { ask: { type: 'approval', with: { title: 'ok?' } } } })
    await w.event(runId, 'step.waiting')
    await w.coordinator.idle()
    expect(await w.row(runId)).toMatchObject({ status: 'waiting', waitingFor: ['approval'], wakeAt: null })
  })
})

describe('the dead-man’s switch', () => {
  test('publishes again what the lane has forgotten', async () => {
    const w = await world()
    const runId = await w.begin(CHAIN)
    const [a] = await w.take()
    // The task is gone from the lane, and nobody reports it.
    await w.transport.tasks.report('hands', [{ taskId: a!.id, runId, signal: { kind: 'look' } }])
    await w.coordinator.idle()
    expect(await w.queued()).toBe(0)
    await w.pass(11_000)
    const [again] = await w.take()
    expect(again?.id).toBe(a?.id)
  })

  test('leaves alone what a worker holds, and looks less and less often', async () => {
    const w = await world()
    const runId = await w.begin(CHAIN)
    const [a] = await w.take()
    const gaps: number[] = []
    for (let turn = 0; turn < 5; turn++) {
      const { wakeAt } = await w.row(runId)
      const waitMs = Number(wakeAt) - w.clock.now()
      gaps.push(waitMs)
      await w.transport.tasks.heartbeat('hands', [a!])
      await w.pass(waitMs + 1)
    }
    expect(await w.queued()).toBe(0)
    expect(gaps.at(-1)).toBeGreaterThan(60_000)
  })

  test('does not call a step again whose result is on its way', async () => {
    const w = await world()
    const _runId = await w.begin(CHAIN)
    const [a] = await w.take()
    await w.coordinator.idle()
    w.clock.advance(9_500)
    // The report and the switch meet.
    const reported = w.complete(a!)
    w.clock.advance(1_000)
    await Promise.all([reported, w.coordinator.tick()])
    const [b] = await w.take()
    expect(b?.key).toBe('b')
    expect(await w.queued()).toBe(0)
  })

  test('takes no marker for its own that was sent before the result which it asks about', async () => {
    const w = await world()
    const runId = await w.begin(CHAIN)
    const [a] = await w.take()
    const { send } = w.transport.signals
    const held: SignalEnvelope[] = []
    w.transport.signals.send = async (signals) => {
      held.push(...signals.filter(({ signal }) => signal.kind === 'marker'))
      await send(signals.filter(({ signal }) => signal.kind !== 'marker'))
    }
    // The task has left the lane, its result is far behind in a backlog, and the switch fires.
    await w.transport.tasks.report('hands', [{ taskId: a!.id, runId, signal: { kind: 'look' } }])
    await w.pass(11_000)
    expect(held).not.toEqual([])
    await send([{ runId, signal: { kind: 'marker', token: 'of an owner before' } }])
    await w.coordinator.idle()
    expect(await w.queued()).toBe(0)
    await w.complete(a!)
    await send(held)
    const [b] = await w.take()
    expect(b?.key).toBe('b')
    expect(await w.queued()).toBe(0)
  })
})

test('states beyond the cache’s size leave the memory, and their runs go on all the same', async () => {
  const w = await world({ cacheBytes: 20_000 })
  const runIds = await Promise.all(Array.from({ length: 30 }, () => w.begin(CHAIN)))
  for (const task of await w.take(30)) await w.complete(task)
  await Promise.all(runIds.map((runId) => w.finish(runId)))
  for (const runId of runIds) expect((await w.types(runId)).length).toBe(5)
})

// A Redis judges leases by its own clock, which no test moves; its conformance suite has the same.
test.skipIf(isOnRedis)(
  'a worker that dies gives its task back to the next one, under the next attempt',
  async () => {
    const w = await world()
    const runId = await w.begin({ nodes: { a: { type: 'act', with: { message: 'a' } } } })
    await w.take()
    for (let turn = 0; turn < 4; turn++) await w.pass(6_000)
    const [again] = await w.take()
    expect(again).toMatchObject({ key: 'a', attempt: 2 })
    await w.complete(again!)
    await w.event(runId, 'run.completed')
  },
)
