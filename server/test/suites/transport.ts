/**
 * What every transport owes its users, whatever carries it. Run by one test file per implementation.
 */
import type { Signal, Task } from '@weft/engine'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type LiveMessage,
  PARTITIONS,
  partitionOf,
  type ReceivedSignal,
  type Transport,
} from '../../src/transport/transport.ts'

export interface OpenedTransport {
  readonly transport: Transport
  /** Lets every current lease run out and reaps, as often as the implementation needs to notice. */
  lapse(): Promise<void>
  close(): Promise<void>
}

const EVERY_PARTITION: ReadonlySet<number> = new Set(
  Array.from({ length: PARTITIONS }, (_, number) => number),
)
const forever = new AbortController().signal

/** The id of a run in the given partition. */
const runIn = (partition: number, name = '0'): string =>
  `0199-${name.padStart(8, '0')}-${partition.toString(16)}`

export function taskOf(runId: string, key: string, changes: Partial<Task> = {}): Task {
  const { round = 1, attempt = 1 } = changes
  return {
    id: `${runId}/${key}/${round}/${attempt}`,
    runId,
    workspace: 'default',
    key,
    node: key,
    round,
    attempt,
    type: 'log',
    workflow: 'test',
    graph: 'sha256:0',
    config: {},
    credentials: {},
    timeoutMs: null,
    scope: {},
    ...changes,
  }
}

const look: Signal = { kind: 'look' }
const completed = (task: Task): Signal => ({
  kind: 'completed',
  key: task.key,
  round: task.round,
  attempt: task.attempt,
  output: null,
  startedAt: 0,
  worker: 'w1',
})
const resultOf = (task: Task) => ({ taskId: task.id, runId: task.runId, signal: completed(task) })

/** An operation whose outcome is looked at before it is awaited. */
function pending<T>(promise: Promise<T>): { settled: boolean; promise: Promise<T> } {
  const state = { settled: false, promise }
  const settle = (): void => {
    state.settled = true
  }
  promise.then(settle, settle)
  return state
}

export function transportSuite(name: string, open: () => Promise<OpenedTransport>): void {
  describe(`transport: ${name}`, () => {
    let opened: OpenedTransport
    let transport: Transport

    beforeEach(async () => {
      opened = await open()
      transport = opened.transport
    })
    afterEach(() => opened.close())

    const take = async (worker: string, capacity: Record<string, number> = { log: 100 }): Promise<Task[]> =>
      (await transport.tasks.take(worker, new Map(Object.entries(capacity)), forever)).map(({ task }) => task)
    const received = (limit = 100): Promise<ReceivedSignal[]> =>
      transport.signals.receive(EVERY_PARTITION, limit, forever)
    const signalsOf = async (limit = 100): Promise<unknown[]> =>
      (await received(limit)).map(({ signal }) => signal)
    /** The lane's answer when nothing is expected: a marker that was published afterwards comes first. */
    const nothingToTake = async (): Promise<void> => {
      const marker = taskOf(runIn(15, 'ffff'), 'marker', { type: 'marker' })
      await transport.tasks.publish([marker])
      expect(await take('marker', { log: 100, marker: 1 })).toEqual([marker])
      await transport.tasks.report('marker', [resultOf(marker)])
    }

    describe('tasks', () => {
      it('hands tasks out in the order in which they were published, each once', async () => {
        const tasks = Array.from({ length: 50 }, (_, index) => taskOf(runIn(index % 16), `step${index}`))
        await transport.tasks.publish(tasks.slice(0, 20))
        await transport.tasks.publish(tasks.slice(20))
        const first = await take('w1', { log: 30 })
        const second = await take('w2', { log: 30 })
        expect(first).toEqual(tasks.slice(0, 30))
        expect(second).toEqual(tasks.slice(30))
      })

      it('carries a task whole', async () => {
        const task = taskOf(runIn(3), 'shape[7]', {
          config: {
            text: '\u0000 \ud800 "quoted" \u2028',
            nested: [{ deep: [null, true, 9007199254740991, -0.5] }],
          },
          credentials: { default: 'shop' },
          timeoutMs: 1500,
          scope: {
            item: { id: 1 },
            index: 7,
            vars: { region: 'eu' },
            labels: { team: 'a' },
            steps: {
              fetch: { output: JSON.parse('{"__proto__":{"b":1},"a":2}'), status: 'completed', error: null },
            },
          },
        })
        await transport.tasks.publish([task])
        expect(JSON.stringify(await take('w1'))).toBe(JSON.stringify([task]))
      })

      it('tells what a worker has taken to whoever asks in its name, and nothing of others', async () => {
        const [ours, theirs, waiting] = [1, 2, 3].map((n) => taskOf(runIn(n), 'h', { timeoutMs: n })) as [
          Task,
          Task,
          Task,
        ]
        await transport.tasks.publish([ours])
        await take('w1')
        await transport.tasks.publish([theirs])
        await take('w2')
        await transport.tasks.publish([waiting])
        const ids = [ours.id, theirs.id, waiting.id, 'unknown']
        expect(await transport.tasks.held('w1', ids)).toEqual([ours])
        expect(await transport.tasks.held('w2', ids)).toEqual([theirs])
        expect(await transport.tasks.held('w3', ids)).toEqual([])
        await transport.tasks.handBack([ours.id])
        expect(await transport.tasks.held('w1', ids)).toEqual([])
      })

      it('gives no type more than its capacity, and leaves types without capacity alone', async () => {
        const http = [1, 2, 3].map((n) => taskOf(runIn(n), 'h', { type: 'http' }))
        const code = [1, 2].map((n) => taskOf(runIn(n), 'c', { type: 'code' }))
        await transport.tasks.publish([...http, ...code])
        expect(await take('w1', { http: 2, log: 5, code: 0 })).toEqual(http.slice(0, 2))
        expect(await take('w1', { code: 9 })).toEqual(code)
      })

      it('wakes one who waits, and nobody whose types did not come', async () => {
        const waitsForCode = pending(take('w1', { code: 1 }))
        const waitsForLog = pending(take('w2', { log: 1 }))
        const task = taskOf(runIn(1), 'a')
        await transport.tasks.publish([task])
        expect(await waitsForLog.promise).toEqual([task])
        expect(waitsForCode.settled).toBe(false)
        const code = taskOf(runIn(1), 'b', { type: 'code' })
        await transport.tasks.publish([code])
        expect(await waitsForCode.promise).toEqual([code])
      })

      it('ends a wait with nothing when its signal aborts, and the task stays for the next', async () => {
        const controller = new AbortController()
        const waiting = transport.tasks.take('w1', new Map([['log', 1]]), controller.signal)
        controller.abort()
        expect(await waiting).toEqual([])
        const task = taskOf(runIn(1), 'a')
        await transport.tasks.publish([task])
        expect(await transport.tasks.take('w1', new Map([['log', 1]]), controller.signal)).toEqual([])
        expect(await take('w2')).toEqual([task])
      })

      it('holds a task once, however often it is published, queued or taken', async () => {
        const task = taskOf(runIn(1), 'a')
        await transport.tasks.publish([task, task])
        await transport.tasks.publish([task])
        expect(await take('w1')).toEqual([task])
        await transport.tasks.publish([task])
        await nothingToTake()
      })

      it('takes a task again that was reported before: only what the lane holds is a repeat', async () => {
        const task = taskOf(runIn(1), 'a')
        await transport.tasks.publish([task])
        await take('w1')
        await transport.tasks.report('w1', [resultOf(task)])
        await transport.tasks.publish([task])
        expect(await take('w1')).toEqual([task])
      })

      it('does not queue a task that was reported after it had been missed', async () => {
        const [reported, lost, held] = ['a', 'b', 'c'].map((key) => taskOf(runIn(1), key)) as [
          Task,
          Task,
          Task,
        ]
        await transport.tasks.publish([held])
        expect(await transport.tasks.missing([reported.id, lost.id, held.id])).toEqual([reported.id, lost.id])
        await transport.tasks.report('w1', [resultOf(reported)])
        await transport.tasks.publish([reported, lost])
        expect(await take('w2')).toEqual([held, lost])
        expect(await signalsOf()).toEqual([completed(reported)])
        // Asked once more, it is still missing, and still on its way.
        expect(await transport.tasks.missing([reported.id])).toEqual([reported.id])
        await transport.tasks.publish([reported])
        await nothingToTake()
      })

      it('does not queue a missed task that was registered and reported before it is published', async () => {
        const task = taskOf(runIn(1), 'a')
        expect(await transport.tasks.missing([task.id])).toEqual([task.id])
        await transport.tasks.heartbeat('w1', [task])
        await transport.tasks.report('w1', [resultOf(task)])
        await transport.tasks.publish([task])
        await nothingToTake()
      })

      it('puts the result into the lane of the run and forgets the task', async () => {
        const task = taskOf(runIn(9), 'a')
        await transport.tasks.publish([task])
        await take('w1')
        expect(await transport.tasks.inspect([task.id])).toEqual(new Map([[task.id, 'taken']]))
        await transport.tasks.report('w1', [resultOf(task)])
        expect(await transport.tasks.inspect([task.id])).toEqual(new Map())
        const [message] = await transport.signals.receive(new Set([9]), 10, forever)
        expect(message).toMatchObject({ runId: task.runId, signal: completed(task), deliveries: 1 })
      })

      it('carries a result even of a task that it does not hold', async () => {
        const task = taskOf(runIn(2), 'a')
        await transport.tasks.report('w1', [resultOf(task)])
        expect(await signalsOf()).toEqual([completed(task)])
      })

      it('hands a task that was given back to the next one first, under the same attempt', async () => {
        const [a, b, c] = ['a', 'b', 'c'].map((key) => taskOf(runIn(1), key)) as [Task, Task, Task]
        await transport.tasks.publish([a, b, c])
        await take('w1', { log: 2 })
        await transport.tasks.handBack([a.id, b.id])
        const taken = await transport.tasks.take('w2', new Map([['log', 3]]), forever)
        expect(taken.map(({ task }) => task)).toEqual([a, b, c])
        expect(taken.map(({ deliveries }) => deliveries)).toEqual([2, 2, 1])
      })

      it('says what it holds and how much of it waits', async () => {
        const tasks = [1, 2, 3].map((n) => taskOf(runIn(n), 'a'))
        await transport.tasks.publish(tasks)
        await take('w1', { log: 1 })
        expect(await transport.tasks.inspect([...tasks.map(({ id }) => id), 'unknown'])).toEqual(
          new Map([
            [tasks[0]!.id, 'taken'],
            [tasks[1]!.id, 'queued'],
            [tasks[2]!.id, 'queued'],
          ]),
        )
        const [log] = (await transport.tasks.depth()).filter(({ type }) => type === 'log')
        expect(log).toMatchObject({ waiting: 2, active: 1 })
        expect(log!.oldestAgeMs).toBeGreaterThanOrEqual(0)
      })
    })

    describe('leases', () => {
      it('reports a taken task as lost when nobody prolongs its lease, and lets it go', async () => {
        const task = taskOf(runIn(4), 'a', { attempt: 3 })
        await transport.tasks.publish([task])
        await take('w1')
        await opened.lapse()
        expect(await signalsOf()).toEqual([{ kind: 'lost', key: 'a', round: 1, attempt: 3 }])
        expect((await transport.tasks.inspect([task.id])).size).toBe(0)
        await nothingToTake()
      })

      it('never reports a queued task as lost', async () => {
        const task = taskOf(runIn(4), 'a')
        await transport.tasks.publish([task])
        await opened.lapse()
        expect(await take('w1')).toEqual([task])
      })

      it('tells a worker that comes back after its task was lost to abort it', async () => {
        const task = taskOf(runIn(4), 'a')
        await transport.tasks.publish([task])
        await take('w1')
        await opened.lapse()
        expect(await transport.tasks.heartbeat('w1', [task])).toEqual({ abort: [], lost: [task.id] })
      })

      it('registers a task that it has forgotten, so that it is not handed out a second time', async () => {
        const task = taskOf(runIn(4), 'a')
        expect(await transport.tasks.heartbeat('w1', [task])).toEqual({ abort: [], lost: [] })
        expect(await transport.tasks.inspect([task.id])).toEqual(new Map([[task.id, 'taken']]))
        await transport.tasks.publish([task])
        await nothingToTake()
      })

      it('gives a task that was queued again to the worker that still performs it', async () => {
        const task = taskOf(runIn(4), 'a')
        await transport.tasks.publish([task])
        expect(await transport.tasks.heartbeat('w1', [task])).toEqual({ abort: [], lost: [] })
        await nothingToTake()
      })

      it('knows for a while who reported a task, where it may repeat that', async () => {
        const [task, other] = [taskOf(runIn(4), 'a'), taskOf(runIn(5), 'a')]
        await transport.tasks.publish([task, other])
        await take('w1')
        expect(await transport.tasks.reportedBy(task.id)).toBeNull()
        await transport.tasks.report('w1', [{ ...resultOf(task), mayRepeat: true }, resultOf(other)])
        expect(await transport.tasks.reportedBy(task.id)).toBe('w1')
        expect(await transport.tasks.reportedBy(other.id)).toBeNull()
      })

      it('takes no result of a task that another worker has: theirs is the one that counts', async () => {
        const [theirs, ours] = [taskOf(runIn(4), 'a'), taskOf(runIn(4), 'b')]
        await transport.tasks.publish([theirs])
        await take('w2')
        await transport.tasks.report('w1', [resultOf(theirs), resultOf(ours)])
        expect(await transport.tasks.inspect([theirs.id])).toEqual(new Map([[theirs.id, 'taken']]))
        expect(await signalsOf()).toEqual([completed(ours)])
        await transport.tasks.report('w2', [resultOf(theirs)])
        expect(await signalsOf()).toEqual([completed(theirs)])
      })

      it('takes the result of a task that nobody has taken since it was queued again', async () => {
        const task = taskOf(runIn(4), 'a')
        await transport.tasks.publish([task])
        await transport.tasks.report('w1', [resultOf(task)])
        expect(await signalsOf()).toEqual([completed(task)])
        await nothingToTake()
      })

      it('tells a worker to abort a task that another one has', async () => {
        const task = taskOf(runIn(4), 'a')
        await transport.tasks.publish([task])
        await take('w2')
        expect(await transport.tasks.heartbeat('w1', [task])).toEqual({ abort: [], lost: [task.id] })
        expect(await transport.tasks.heartbeat('w2', [task])).toEqual({ abort: [], lost: [] })
      })
    })

    describe('halts', () => {
      it('drops the queued tasks of the run and no others', async () => {
        const [ours, theirs] = [taskOf(runIn(1), 'a'), taskOf(runIn(2), 'a')]
        await transport.tasks.publish([ours, theirs])
        await transport.tasks.halt(ours.runId, false)
        expect(await take('w1')).toEqual([theirs])
        expect(await received()).toMatchObject([
          { runId: ours.runId, signal: { kind: 'dropped', key: 'a', round: 1, attempt: 1 } },
        ])
        expect((await transport.tasks.inspect([ours.id])).size).toBe(0)
      })

      it('hands out nothing of a halted run that is published later', async () => {
        const task = taskOf(runIn(1), 'a')
        await transport.tasks.halt(task.runId, false)
        await transport.tasks.publish([task])
        await nothingToTake()
        expect(await signalsOf()).toContainEqual({ kind: 'dropped', key: 'a', round: 1, attempt: 1 })
      })

      it('lets taken tasks go on without `abort`, and drops them when they are given back', async () => {
        const task = taskOf(runIn(1), 'a')
        await transport.tasks.publish([task])
        await take('w1')
        await transport.tasks.halt(task.runId, false)
        expect(await transport.tasks.heartbeat('w1', [task])).toEqual({ abort: [], lost: [] })
        await transport.tasks.handBack([task.id])
        await nothingToTake()
        expect(await signalsOf()).toContainEqual({ kind: 'dropped', key: 'a', round: 1, attempt: 1 })
      })

      it('carries the abort in the answer to each heartbeat, and at once to whoever listens', async () => {
        const heard = nextLive(transport, ({ kind }) => kind === 'halted')
        const [task, other] = [taskOf(runIn(1), 'a'), taskOf(runIn(2), 'a')]
        await transport.tasks.publish([task, other])
        await take('w1')
        await transport.tasks.halt(task.runId, true)
        expect(await heard).toEqual({ kind: 'halted', runId: task.runId })
        expect(await transport.tasks.heartbeat('w1', [task, other])).toEqual({ abort: [task.id], lost: [] })
        expect(await transport.tasks.heartbeat('w1', [task, other])).toEqual({ abort: [task.id], lost: [] })
      })

      it('aborts a task of a halted run that it had forgotten', async () => {
        const task = taskOf(runIn(1), 'a')
        await transport.tasks.halt(task.runId, true)
        expect(await transport.tasks.heartbeat('w1', [task])).toEqual({ abort: [task.id], lost: [] })
      })

      it('still carries the result of an attempt that was told to abort', async () => {
        const task = taskOf(runIn(1), 'a')
        await transport.tasks.publish([task])
        await take('w1')
        await transport.tasks.halt(task.runId, true)
        await transport.tasks.report('w1', [resultOf(task)])
        expect(await signalsOf()).toEqual([completed(task)])
      })

      it('hands tasks out again once the halt is taken back', async () => {
        const task = taskOf(runIn(1), 'a')
        await transport.tasks.publish([task])
        await transport.tasks.halt(task.runId, false)
        await transport.tasks.unhalt(task.runId)
        await transport.tasks.publish([task])
        expect(await take('w1')).toEqual([task])
      })
    })

    describe('signals', () => {
      const send = (...runs: string[]): Promise<void> =>
        transport.signals.send(runs.map((runId) => ({ runId, signal: look })))
      const runsOf = (messages: readonly ReceivedSignal[]): string[] => messages.map(({ runId }) => runId)

      it('keeps the order of each partition, whatever the size of a portion', async () => {
        const runs = Array.from({ length: 40 }, (_, index) => runIn(index % 2, `${index}`))
        await send(...runs)
        const messages: string[] = []
        while (messages.length < runs.length) messages.push(...runsOf(await received(7)))
        for (const partition of [0, 1]) {
          const inLane = (runId: string): boolean => partitionOf(runId) === partition
          expect(messages.filter(inLane)).toEqual(runs.filter(inLane))
        }
      })

      it('hands out only what lies in the partitions that were asked for', async () => {
        await send(runIn(1), runIn(2), runIn(3))
        const messages = await transport.signals.receive(new Set([2]), 10, forever)
        expect(runsOf(messages)).toEqual([runIn(2)])
      })

      it('wakes the owner of the partition, and ends a wait with nothing when its signal aborts', async () => {
        const controller = new AbortController()
        const one = transport.signals.receive(new Set([1]), 10, controller.signal)
        const two = transport.signals.receive(new Set([2]), 10, forever)
        await send(runIn(2))
        expect(runsOf(await two)).toEqual([runIn(2)])
        controller.abort()
        expect(await one).toEqual([])
      })

      it('lets no busy partition keep the others waiting', async () => {
        await send(...Array.from({ length: 50 }, () => runIn(1)), runIn(2))
        const messages = [...(await received(10)), ...(await received(10)), ...(await received(100))]
        expect(messages).toHaveLength(51)
        expect(runsOf(messages)).toContain(runIn(2))
      })

      it('hands out what was not deleted once more after a reset, in front and counted, and nothing that was', async () => {
        const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((n) => runIn(5, n)) as [string, string, string, string]
        await send(a, b, c)
        const first = await received()
        expect(first.map(({ deliveries }) => deliveries)).toEqual([1, 1, 1])
        await transport.signals.delete([first[1]!.receipt])
        await send(d)
        await transport.signals.reset(new Set([5]))
        const second = await received()
        expect(runsOf(second)).toEqual([a, c, d])
        expect(second.map(({ deliveries }) => deliveries)).toEqual([2, 2, 1])
        await transport.signals.delete(second.map(({ receipt }) => receipt))
        await transport.signals.reset(new Set([5]))
        await send(b)
        expect(runsOf(await received())).toEqual([b])
      })

      it('counts what is not deleted yet, handed out or not', async () => {
        await send(runIn(1), runIn(2), runIn(3))
        const [first] = await received(1)
        expect(await transport.signals.lag()).toBe(3)
        await transport.signals.delete([first!.receipt])
        expect(await transport.signals.lag()).toBe(2)
      })

      it('resets only the partitions that were named', async () => {
        await send(runIn(1), runIn(2))
        await received()
        await transport.signals.reset(new Set([2]))
        expect(runsOf(await received())).toEqual([runIn(2)])
      })
    })

    describe('live', () => {
      it('carries a message to everybody who listens, until they stop', async () => {
        const heard: string[] = []
        const first = nextLive(transport, () => true)
        const end = transport.live.subscribe((message) => heard.push(message.kind))
        transport.live.publish([{ kind: 'verdict', commandId: '1' }])
        expect(await first).toEqual({ kind: 'verdict', commandId: '1' })
        end()
        const second = nextLive(transport, () => true)
        transport.live.publish([{ kind: 'verdict', commandId: '2' }])
        expect(await second).toEqual({ kind: 'verdict', commandId: '2' })
        expect(heard).toEqual(['verdict'])
      })
    })
  })
}

function nextLive(transport: Transport, wanted: (message: LiveMessage) => boolean): Promise<LiveMessage> {
  return new Promise((resolve) => {
    const end = transport.live.subscribe((message) => {
      if (!wanted(message)) return
      end()
      resolve(message)
    })
  })
}
