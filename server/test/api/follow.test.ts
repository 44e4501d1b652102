/** The stream of a run against a log and a live lane that the test holds: gaps, repeats, losses, slow readers. */
import type { RunEvent } from '@weft/engine'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Followed, followRun } from '../../src/api/follow.ts'
import type { Pace } from '../../src/api/outlet.ts'
import { Watch } from '../../src/api/watch.ts'
import { type Store, StoreError } from '../../src/store/store.ts'
import type { LiveMessage, Transport } from '../../src/transport/transport.ts'
import { type ManualClock, manualClock } from '../coordinator/manual-clock.ts'
import { ACTS, apiWorld } from './world.ts'

/** A run's log that grows, and a live lane that the test may drop, repeat and reorder. */
class Scene {
  readonly clock: ManualClock = manualClock()
  readonly log: RunEvent[] = []
  readonly #listeners = new Set<(message: LiveMessage) => void>()
  readonly controller = new AbortController()
  reads = 0
  /** How often the log still fails to answer. */
  failures = 0

  append(type: string): number {
    this.log.push({ type, at: this.log.length } as unknown as RunEvent)
    return this.log.length
  }

  tell(seq: number): void {
    const event = this.log[seq - 1]
    for (const listener of this.#listeners)
      listener({ kind: 'event', runId: 'r', workspace: 'w', seq, event })
  }

  /** The reader has more on its way than it may have. */
  isBehind = false

  follow(afterSeq = 0): AsyncGenerator<Followed> {
    const scene = this
    const pace: Pace = {
      get isBehind() {
        return scene.isBehind
      },
      turn: async () => () => {},
    }
    const live = {
      publish: () => {},
      subscribe: (listener: (message: LiveMessage) => void) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
    }
    const runs = {
      events: async (request: { afterSeq: number; limit: number }) => {
        this.reads++
        if (this.failures > 0) {
          this.failures--
          throw new StoreError('database_unavailable', 'gone')
        }
        return this.log
          .slice(request.afterSeq, request.afterSeq + request.limit)
          .map((event, index) => ({ seq: request.afterSeq + index + 1, event }))
      },
      get: async () => ({
        status: this.log.at(-1)?.type === 'run.completed' ? 'completed' : 'running',
        seq: this.log.length,
      }),
    }
    const parts = {
      store: { runs } as unknown as Store,
      watch: new Watch({ live } as unknown as Transport),
      clock: this.clock,
    }
    return followRun(parts, { workspace: 'w', runId: 'r', afterSeq, pace, signal: this.controller.signal })
  }
}

const seqsOf = async (items: AsyncGenerator<Followed>): Promise<number[]> => {
  const seqs: number[] = []
  for await (const item of items) if (item.kind === 'event') seqs.push(item.seq)
  return seqs
}

/** Time passes until the promise has its value. */
async function advanceUntil<Value>(clock: ManualClock, promise: Promise<Value>): Promise<Value> {
  let isOver = false
  void promise.finally(() => {
    isOver = true
  })
  while (!isOver) {
    clock.advance(5_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return promise
}

test('every event arrives once and in order, whatever the live lane loses, repeats or reorders', async () => {
  const happenings = fc.array(
    fc.oneof(fc.record({ told: fc.nat(40) }), fc.constant({ append: true }), fc.constant({ quiet: true })),
    { maxLength: 60 },
  )
  await fc.assert(
    fc.asyncProperty(happenings, fc.nat(5), async (steps, before) => {
      const scene = new Scene()
      for (let index = 0; index < before; index++) scene.append('step.completed')
      const seqs = seqsOf(scene.follow())
      for (const step of steps) {
        if ('append' in step) scene.append('step.completed')
        else if ('quiet' in step) scene.clock.advance(5_000)
        else if (step.told >= 1 && step.told <= scene.log.length) scene.tell(step.told)
        await new Promise((resolve) => setImmediate(resolve))
      }
      scene.append('run.completed')
      // The message about the end is lost too: the log is compared after a while.
      const told = await advanceUntil(scene.clock, seqs)
      expect(told).toEqual(scene.log.map((_event, index) => index + 1))
    }),
    { numRuns: 200 },
  )
})

test('an event that follows the last one directly costs no read of the log', async () => {
  const scene = new Scene()
  const items = scene.follow()
  scene.append('run.started')
  expect((await items.next()).value).toMatchObject({ seq: 1 })
  const next = items.next()
  await new Promise((resolve) => setImmediate(resolve))
  const reads = scene.reads
  scene.tell(scene.append('step.completed'))
  expect((await next).value).toMatchObject({ seq: 2 })
  expect(scene.reads).toBe(reads)
  await items.return(undefined)
})

test('a reader who does not read costs bounded memory, and misses nothing', async () => {
  const scene = new Scene()
  const items = scene.follow()
  scene.append('run.started')
  await items.next()
  for (let index = 0; index < 10_000; index++) scene.tell(scene.append('step.completed'))
  scene.tell(scene.append('run.completed'))
  const seqs = await seqsOf(items)
  expect(seqs).toHaveLength(10_001)
  expect(seqs.at(-1)).toBe(10_002)
})

test('a reader who is behind is told from where the log is read, once, and misses nothing', async () => {
  const scene = new Scene()
  const items = scene.follow()
  scene.append('run.started')
  await items.next()
  scene.tell(scene.append('step.completed'))
  expect((await items.next()).value).toMatchObject({ kind: 'event', seq: 2 })
  scene.isBehind = true
  for (let index = 0; index < 500; index++) scene.tell(scene.append('step.completed'))
  scene.isBehind = false
  expect((await items.next()).value).toEqual({ kind: 'missed', fromSeq: 3 })
  scene.tell(scene.append('run.completed'))
  const seqs = await seqsOf(items)
  expect(seqs).toEqual(Array.from({ length: 501 }, (_, index) => index + 3))
})

test('a database that does not answer for a while ends no stream', async () => {
  const scene = new Scene()
  scene.append('run.started')
  scene.append('run.completed')
  scene.failures = 3
  expect(await advanceUntil(scene.clock, seqsOf(scene.follow()))).toEqual([1, 2])
  expect(scene.failures).toBe(0)
})

test('a reader who comes back after the end gets the end', async () => {
  const scene = new Scene()
  scene.append('run.started')
  scene.append('run.completed')
  expect(await seqsOf(scene.follow(1))).toEqual([2])
  expect(await seqsOf(scene.follow(2))).toEqual([])
})

test('over the wire: ids are numbers of the log, a reader resumes by the last one, the end ends the stream', async () => {
  const world = await apiWorld()
  await world.api.start()
  const id = await world.run(ACTS)
  const key = await world.key()
  const open = (headers: Record<string, string> = {}) =>
    fetch(`${world.api.url()}/runs/${id}/events`, {
      headers: { authorization: `Bearer ${key}`, accept: 'text/event-stream', ...headers },
    })
  const response = await open()
  expect(response.headers.get('content-type')).toContain('text/event-stream')
  const text = response.text()
  const task = await world.take()
  world.transport.live.publish([
    {
      kind: 'attempt',
      runId: id,
      workspace: world.workspace,
      key: 'act',
      attempt: 1,
      state: 'progress',
      percent: 50,
      at: 1,
    },
  ])
  await world.complete(task, 'done')
  const blocks = (await text).trim().split('\n\n')
  expect(
    blocks.filter((block) => block.startsWith('id:')).map((block) => block.split('\n').slice(0, 2)),
  ).toEqual([
    ['id: 1', 'event: run.started'],
    ['id: 2', 'event: step.completed'],
    ['id: 3', 'event: run.completed'],
  ])
  expect((await (await open({ 'last-event-id': '2' })).text()).trim().split('\n')[0]).toBe('id: 3')
  expect((await open({ 'last-event-id': '3' })).status).toBe(204)
  expect((await open({ 'last-event-id': 'x' })).status).toBe(422)
})

test('a stream ends when the server stops', async () => {
  const world = await apiWorld()
  await world.api.start()
  const id = await world.run({ ask: { type: 'approval', with: { title: 'x' } } })
  await world.waits(id)
  const response = await fetch(`${world.api.url()}/runs/${id}/events`, {
    headers: { authorization: `Bearer ${await world.key()}`, accept: 'text/event-stream' },
  })
  let text = ''
  let stopped: Promise<void> | undefined
  for await (const chunk of response.body ?? []) {
    text += new TextDecoder().decode(chunk)
    if (text.includes('event: step.waiting')) stopped ??= world.api.stop()
  }
  expect(stopped).toBeDefined()
  await stopped
})

test('a stream ends when its key is revoked', async () => {
  const clock = manualClock()
  const world = await apiWorld({ clock, coordinator: false })
  await world.api.start()
  const id = await world.run(ACTS)
  const { body: made } = await world.post('/api/v1/keys', { name: 'reader', role: 'viewer' })
  const open = () =>
    fetch(`${world.api.url()}/runs/${id}/events`, {
      headers: { authorization: `Bearer ${made.key}`, accept: 'text/event-stream' },
    })
  const response = await open()
  clock.advance(15_000)
  await world.ask('DELETE', `/api/v1/keys/${made.id}`)
  clock.advance(15_000)
  expect(await response.text()).toContain('event: run.started')
  expect((await open()).status).toBe(401)
})

test('the log in pages', async () => {
  const world = await apiWorld()
  const id = await world.run({ stop: { type: 'stop' } })
  await world.ended(id)
  const all = (await world.get(`/runs/${id}/events`)).body
  expect(all.nextCursor).toBeNull()
  const first = (await world.get(`/runs/${id}/events?limit=1`)).body
  expect([first.items, first.nextCursor]).toEqual([[all.items[0]], '1'])
  expect((await world.get(`/runs/${id}/events?after=1`)).body.items).toEqual(all.items.slice(1))
})
