import type { Task } from '@weft/engine'
import { describe, expect, test } from 'vitest'
import { ENGINE } from '../../src/coordinator/engine.ts'
import { AppendConflict, RowRefused, type RunAppend, SessionLost, StoreError } from '../../src/store/store.ts'
import { CHAIN, world } from './world.ts'

const completes = (batch: readonly RunAppend[], runId: string, key: string): boolean =>
  batch.some(
    (run) =>
      run.runId === runId && run.events.some((event) => event.type === 'step.completed' && event.key === key),
  )

describe('one run cannot hurt another (R16)', () => {
  test('a run whose row Postgres refuses is set aside; the others of its batch go on', async () => {
    let poison = ''
    let healed = false
    const w = await world({
      hook: {
        before(batch) {
          if (!healed && completes(batch, poison, 'a'))
            throw new RowRefused('22P05', 'unsupported escape sequence')
        },
      },
    })
    const runIds = await Promise.all(Array.from({ length: 9 }, () => w.begin(CHAIN)))
    poison = runIds[4]!
    const stuck = waitForStuck(w, poison)
    for (const task of await w.take(9)) await w.complete(task)
    await stuck
    expect((await w.row(poison)).stuckReason).toContain('unsupported escape sequence')
    for (const runId of runIds) if (runId !== poison) await w.finish(runId)

    // The cause is gone: the result that was parked counts, and the step is not called again.
    healed = true
    await w.store.runs.recover({ workspace: 'default', id: poison })
    await w.transport.signals.send([{ runId: poison, signal: { kind: 'look' } }])
    const [b] = await w.take()
    expect(b?.key).toBe('b')
    await w.complete(b!)
    await w.finish(poison)
  })

  test('a run that makes the engine throw is set aside, and says why', async () => {
    let poison = ''
    const w = await world({
      engine: {
        ...ENGINE,
        decide(state, signal, context) {
          if (state.id === poison && signal.kind === 'completed') throw new Error('the engine has a bug')
          return ENGINE.decide(state, signal, context)
        },
      },
    })
    poison = await w.begin(CHAIN)
    const healthy = await w.begin(CHAIN)
    const stuck = waitForStuck(w, poison)
    for (const task of await w.take(2)) await w.complete(task)
    await w.finish(healthy)
    await stuck
    expect((await w.row(poison)).stuckReason).toContain('the engine has a bug')
  })

  test('of one run at most 50 signals enter a batch, so that a wide run leaves room for others', async () => {
    const sizes: number[] = []
    const w = await world({
      hook: { before: (batch) => void sizes.push(Math.max(...batch.map((run) => run.events.length))) },
    })
    const runId = await w.begin(
      {
        nodes: {
          each: {
            type: 'log',
            forEach: { items: 'input.list', maxConcurrency: 300 },
            with: { message: 'x' },
          },
        },
      },
      { list: Array.from({ length: 300 }, () => 0) },
    )
    const tasks = await w.take(300)
    await w.transport.tasks.report(
      'hands',
      tasks.map((task) => ({
        taskId: task.id,
        runId,
        signal: {
          kind: 'completed',
          key: task.key,
          round: 1,
          attempt: 1,
          output: 0,
          startedAt: w.clock.now(),
          worker: 'hands',
        },
      })),
    )
    await w.event(runId, 'run.completed')
    expect(Math.max(...sizes)).toBeLessThanOrEqual(52)
  })
})

describe('a conflict over an event number', () => {
  test('once: the run is loaded again, and goes on', async () => {
    let runId = ''
    let failures = 1
    const w = await world({
      hook: {
        before(batch) {
          if (completes(batch, runId, 'a') && failures-- > 0)
            throw new AppendConflict(runId, 'event 2 is there')
        },
      },
    })
    runId = await w.begin(CHAIN)
    await w.finish(runId)
    expect(await w.types(runId)).toEqual([
      'run.started',
      'step.completed a',
      'step.completed b',
      'step.completed c',
      'run.completed',
    ])
  })

  test('twice: the run is set aside', async () => {
    let runId = ''
    const w = await world({
      hook: {
        before(batch) {
          if (completes(batch, runId, 'a')) throw new AppendConflict(runId, 'event 2 is there')
        },
      },
    })
    runId = await w.begin(CHAIN)
    const stuck = waitForStuck(w, runId)
    const [a] = await w.take()
    await w.complete(a!)
    await stuck
    expect((await w.row(runId)).stuckReason).toContain('numbers that are taken')
  })
})

describe('when the session is lost', () => {
  for (const committed of [true, false]) {
    test(`and the commit in flight ${committed ? 'took' : 'did not take'} effect, every step completes once`, async () => {
      // One more, and a run that happened to be alone each time would rightly be set aside (R16).
      let losses = 2
      const lose = async (batch: readonly RunAppend[]): Promise<void> => {
        if (
          !batch.some(({ events }) => events.some(({ type }) => type === 'step.completed')) ||
          losses-- <= 0
        )
          return
        throw new SessionLost('the session broke')
      }
      const w = await world({ hook: committed ? { after: lose } : { before: lose } })
      const runIds = await Promise.all(Array.from({ length: 5 }, () => w.begin(CHAIN)))
      const ended = Promise.all(runIds.map((runId) => w.finish(runId)))
      let isOver = false
      void ended.then(() => {
        isOver = true
      })
      // The session is opened again after a moment.
      while (!isOver) {
        await new Promise((resolve) => setImmediate(resolve))
        w.clock.advance(5)
      }
      expect(losses).toBeLessThanOrEqual(0)
      for (const runId of runIds) {
        expect(await w.types(runId)).toEqual([
          'run.started',
          'step.completed a',
          'step.completed b',
          'step.completed c',
          'run.completed',
        ])
      }
    })
  }
})

test('that a run has begun, told once more after the session was lost, is held against its log', async () => {
  let isLosing = false
  const w = await world({
    hook: {
      after() {
        if (!isLosing) return
        isLosing = false
        throw new SessionLost('the session broke')
      },
    },
  })
  const ended = await w.begin(CHAIN)
  await w.finish(ended)
  const [started] = await w.events(ended)
  if (started?.type !== 'run.started') throw new Error('the log begins with run.started')
  const other = await w.begin(CHAIN)
  const [a] = await w.take()
  isLosing = true
  await w.complete(a!)
  let next: Task | undefined
  void w.take().then(([task]) => {
    next = task
  })
  while (!next) {
    await w.store.ping()
    w.clock.advance(1)
  }
  expect(next).toMatchObject({ runId: other, key: 'b' })
  await w.transport.signals.send([{ runId: ended, signal: { kind: 'begun', workspace: 'default', started } }])
  // Behind it in the lane: when it is answered, the one before has been, too.
  await w.command(other, { kind: 'pause' })
  await w.coordinator.idle()
  expect(await w.queued()).toBe(0)
})

test('a full disk is waited out: nothing is lost, one sentence says so meanwhile', async () => {
  let full = false
  let tried = (): void => {}
  const w = await world({
    hook: {
      before() {
        if (!full) return
        tried()
        throw new StoreError('database_disk_full', 'The disk of the database is full.')
      },
    },
  })
  const runId = await w.begin(CHAIN)
  const [a] = await w.take()
  full = true
  for (let attempt = 0; attempt < 3; attempt++) {
    const again = new Promise<void>((resolve) => {
      tried = resolve
    })
    if (attempt === 0) await w.complete(a!)
    else w.clock.advance(5_000)
    await again
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(w.coordinator.trouble()).toContain('disk')
  expect(await w.status(runId)).toBe('queued')
  full = false
  const next = w.take()
  w.clock.advance(5_000)
  const [b] = await next
  expect(w.coordinator.trouble()).toBeNull()
  await w.complete(b!)
  await w.finish(runId)
  expect(await w.status(runId)).toBe('completed')
})

test('a transport that does not answer delays tasks, and loses none', async () => {
  const w = await world()
  const { publish } = w.transport.tasks
  let failed = (): void => {}
  const refused = new Promise<void>((resolve) => {
    failed = resolve
  })
  w.transport.tasks.publish = async () => {
    failed()
    throw new Error('the transport is away')
  }
  const runId = await w.begin(CHAIN)
  await refused
  w.transport.tasks.publish = publish
  await w.coordinator.idle()
  await w.pass(1_000)
  const [a] = await w.take()
  expect(a).toMatchObject({ key: 'a', attempt: 1 })
  await w.complete(a!)
  await w.finish(runId)
})

test('a late announcement of a run that has gone on builds no second life of it', async () => {
  const w = await world()
  const runId = await w.begin(CHAIN)
  await w.finish(runId)
  await w.coordinator.idle()
  const [started] = await w.events(runId)
  if (started?.type !== 'run.started') throw new Error('the log begins with run.started')
  await w.transport.signals.send([{ runId, signal: { kind: 'begun', workspace: 'default', started } }])
  const other = await w.begin(CHAIN)
  await w.finish(other)
  expect(await w.queued()).toBe(0)
  expect(await w.events(runId)).toHaveLength(5)
})

/** Resolves once the quarantine stands in the database. */
async function waitForStuck(w: Awaited<ReturnType<typeof world>>, runId: string): Promise<void> {
  while ((await w.row(runId)).stuckReason === null);
}

test('what follows from a commit whose answer was late may have been done by another owner: its task says so', async () => {
  let waitMs = 0
  const w = await world({
    isSharing: true,
    hook: { after: () => w.clock.advance(waitMs) },
  })
  const runId = await w.begin(CHAIN)
  const [a] = await w.take()
  await w.complete(a!)
  const [b] = await w.take()
  expect(b?.again).toBeUndefined()
  waitMs = 1_000
  await w.complete(b!)
  const [c] = await w.take()
  expect(c).toMatchObject({ key: 'c', again: true })
  await w.complete(c!)
  waitMs = 0
  await w.finish(runId)
})
