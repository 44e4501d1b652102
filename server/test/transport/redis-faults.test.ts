/** What becomes of a transport whose Redis is killed, emptied, replaced, or cut off. */
import type { Task } from '@weft/engine'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { redisTransport } from '../../src/transport/redis.ts'
import {
  LEASE_MS,
  type LiveMessage,
  type Transport,
  TransportUnavailable,
} from '../../src/transport/transport.ts'
import { redisUrl } from '../redis.ts'
import { findRedis } from '../servers/programs.ts'
import { RedisServer } from '../servers/redis.ts'
import { type TcpProxy, tcpProxy } from '../servers/tcp-proxy.ts'
import { taskOf } from '../suites/transport.ts'

const log = pino({ level: 'silent' })
const forever = new AbortController().signal
const PREFIX = 'weft:faults:'

async function server(...settings: string[]): Promise<RedisServer> {
  const redis = await RedisServer.start({ settings })
  onTestFinished(() => redis.stop())
  return redis
}

async function open(url: string): Promise<Transport> {
  const transport = await redisTransport({
    url,
    prefix: PREFIX,
    clock: systemClock(),
    log,
    leaseMs: LEASE_MS,
  })
  onTestFinished(() => transport.close())
  return transport
}

/** A transport over a line that can be dead: it stands, and nothing passes. */
async function openOnLine(redis: RedisServer) {
  const line = { isDead: false, proxy: null as unknown as TcpProxy }
  line.proxy = await tcpProxy(redis.port, () => ({
    request: () => (line.isDead ? 'drop' : undefined),
    answer: () => (line.isDead ? 'drop' : 'pass'),
  }))
  onTestFinished(() => line.proxy.close())
  return { transport: await open(`redis://127.0.0.1:${line.proxy.port}`), line }
}

/** The same partition, a run of its own for each name. */
const taskNamed = (name: string): Task => taskOf(`0199-${name}-5`, 'a')

const take = async (transport: Transport, worker = 'w1') =>
  transport.tasks.take(worker, new Map([['log', 100]]), forever)

const wiped = (transport: Transport): Promise<void> =>
  new Promise((resolve) => {
    const end = transport.onWiped(() => {
      end()
      resolve()
    })
  })

/** Tries until the transport answers. */
async function answered<Answer>(call: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof TransportUnavailable)) throw error
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

describe.skipIf(findRedis() === null)('a Redis of its own', () => {
  test('that is killed: every call says so at once; when it is back, empty, that is told and all goes on', async () => {
    const redis = await server()
    const transport = await open(redis.url)
    await transport.tasks.publish([taskNamed('a')])
    const waiting = [
      transport.signals.receive(new Set([1]), 1, forever),
      transport.tasks.take('w2', new Map([['other', 1]]), forever),
    ].map((call) => expect(call).rejects.toThrow(TransportUnavailable))
    const told = wiped(transport)
    await redis.kill()
    for (const call of [
      () => transport.tasks.publish([taskNamed('b')]),
      () => transport.tasks.heartbeat('w1', [taskNamed('a')]),
      () => transport.tasks.report('w1', [{ taskId: 'x', runId: '0199-1', signal: { kind: 'look' } }]),
      () => transport.tasks.reap(),
      () => transport.tasks.missing(['x']),
      () => transport.tasks.inspect(['x']),
      () => transport.tasks.depth(),
      () => transport.signals.send([{ runId: '0199-1', signal: { kind: 'look' } }]),
      () => transport.signals.delete(['1/1-0']),
    ])
      await expect(call()).rejects.toThrow(/^The transport does not answer: Redis at 127.0.0.1:/)
    await Promise.all(waiting)
    await redis.start()
    await told
    expect(await answered(() => transport.tasks.inspect([taskNamed('a').id]))).toEqual(new Map())
    await answered(() => transport.tasks.publish([taskNamed('c')]))
    expect((await answered(() => take(transport))).map(({ task }) => task)).toEqual([taskNamed('c')])
    const received = answered(() => transport.signals.receive(new Set([5]), 1, forever))
    await answered(() => transport.signals.send([{ runId: taskNamed('c').runId, signal: { kind: 'look' } }]))
    expect(await received).toHaveLength(1)
  })

  test('that is emptied: everybody is told; what a worker holds it registers, signals come again', async () => {
    const redis = await server()
    const [transport, other] = [await open(redis.url), await open(redis.url)]
    const task = taskNamed('a')
    await transport.tasks.publish([task])
    await take(transport)
    await transport.signals.send([{ runId: task.runId, signal: { kind: 'look' } }])
    await transport.signals.receive(new Set([5]), 10, forever)
    const told = Promise.all([wiped(transport), wiped(other)])
    await redis.command('FLUSHALL')
    await told
    await transport.tasks.heartbeat('w1', [task])
    await other.tasks.publish([task])
    expect(await other.tasks.inspect([task.id])).toEqual(new Map([[task.id, 'taken']]))
    await other.signals.send([{ runId: task.runId, signal: { kind: 'tick' } }])
    expect(await transport.signals.receive(new Set([5]), 10, forever)).toMatchObject([
      { signal: { kind: 'tick' } },
    ])
  })

  test('whose place another server takes: owners are told, for it may lack what was written last', async () => {
    const redis = await server('--enable-debug-command', 'local')
    const transport = await open(redis.url)
    await transport.tasks.publish([taskNamed('a')])
    const told = wiped(transport)
    await redis.command('DEBUG', 'CHANGE-REPL-ID')
    await told
    expect((await take(transport)).map(({ task }) => task)).toEqual([taskNamed('a')])
  })

  test('that is cut off while it hands out tasks: they come again under the same attempt, and nothing is lost', async () => {
    const redis = await server()
    let cuts = 1
    const proxy = await tcpProxy(redis.port, () => {
      let isTake = false
      return {
        request(bytes) {
          isTake ||= bytes.includes('$2\r\nw1\r\n')
        },
        answer: () => (isTake && cuts-- > 0 ? 'cut' : 'pass'),
      }
    })
    onTestFinished(() => proxy.close())
    const [direct, transport] = [await open(redis.url), await open(`redis://127.0.0.1:${proxy.port}`)]
    // From here on the server knows the script.
    await direct.tasks.publish([taskNamed('z')])
    await take(direct)
    await direct.tasks.publish([taskNamed('a'), taskNamed('b')])
    await expect(take(transport)).rejects.toThrow(TransportUnavailable)
    expect([...(await direct.tasks.inspect([taskNamed('a').id, taskNamed('b').id])).values()]).toEqual([
      'taken',
      'taken',
    ])
    const taken = await answered(() => take(transport))
    expect(taken.map(({ task }) => task)).toEqual([taskNamed('a'), taskNamed('b')])
    expect(await direct.tasks.heartbeat('w1', [taskNamed('a'), taskNamed('b')])).toEqual({
      abort: [],
      lost: [],
    })
  })

  test('that says nothing any more, although the connection stands: it is given up, and made anew', async () => {
    const redis = await server()
    const { transport, line } = await openOnLine(redis)
    line.isDead = true
    await expect(transport.tasks.publish([taskNamed('a')])).rejects.toThrow(TransportUnavailable)
    line.isDead = false
    await answered(() => transport.tasks.publish([taskNamed('a')]))
    expect(await answered(() => take(transport))).toHaveLength(1)
  })

  test('deletes later what it could not delete while Redis was away', async () => {
    const redis = await server()
    const { transport, line } = await openOnLine(redis)
    const send = () => transport.signals.send([{ runId: '0199-1', signal: { kind: 'look' } }])
    const receive = () => transport.signals.receive(new Set([1]), 1, forever)
    await send()
    const [first] = await receive()
    line.isDead = true
    line.proxy.cutAll()
    await expect(transport.signals.delete([first!.receipt])).rejects.toThrow(TransportUnavailable)
    line.isDead = false
    await answered(send)
    const [second] = await answered(receive)
    await answered(() => transport.signals.delete([second!.receipt]))
    expect(await transport.signals.lag()).toBe(0)
  })
})

describe.skipIf(redisUrl === null)('two processes', () => {
  const both = async (): Promise<[Transport, Transport]> => {
    const prefix = `weft-test-${systemClock().token(6)}:`
    const options = { url: redisUrl!, prefix, clock: systemClock(), log, leaseMs: LEASE_MS }
    const transports = [await redisTransport(options), await redisTransport(options)] as [
      Transport,
      Transport,
    ]
    for (const transport of transports) onTestFinished(() => transport.close())
    return transports
  }

  test('a worker that waits in one is woken by what the other publishes, and each task is taken once', async () => {
    const [one, other] = await both()
    const names = Array.from({ length: 60 }, (_, index) => `${index}`.padStart(4, '0'))
    const seen: string[] = []
    const work = async (transport: Transport, worker: string): Promise<void> => {
      const ended = new AbortController()
      while (seen.length < names.length) {
        for (const { task } of await transport.tasks.take(worker, new Map([['log', 3]]), ended.signal)) {
          seen.push(task.id)
          await transport.tasks.report(worker, [
            { taskId: task.id, runId: task.runId, signal: { kind: 'look' } },
          ])
          if (seen.length === names.length) stop.abort()
        }
      }
    }
    const stop = new AbortController()
    void work(one, 'w1')
    void work(other, 'w2')
    const done = new Promise((resolve) => stop.signal.addEventListener('abort', resolve))
    for (const name of names) await one.tasks.publish([taskNamed(name)])
    await done
    expect(seen.sort()).toEqual(names.map((name) => taskNamed(name).id))
  })

  test('live messages reach the listeners of both once, also those who came late', async () => {
    const [one, other] = await both()
    const heard: string[] = []
    const next = (transport: Transport): Promise<LiveMessage> =>
      new Promise((resolve) => {
        const end = transport.live.subscribe((message) => {
          heard.push(message.kind)
          end()
          resolve(message)
        })
      })
    const first = next(one)
    other.live.publish([{ kind: 'halted', runId: '0199-1' }])
    expect(await first).toEqual({ kind: 'halted', runId: '0199-1' })
    const told = Promise.all([next(one), next(other)])
    one.live.publish([{ kind: 'verdict', commandId: '1' }])
    expect(await told).toEqual([
      { kind: 'verdict', commandId: '1' },
      { kind: 'verdict', commandId: '1' },
    ])
    expect(heard).toHaveLength(3)
  })

  test('who owns a partition next gets what the last one was handed and did not delete, counted', async () => {
    const [one, other] = await both()
    await one.signals.send([
      { runId: '0199-a-3', signal: { kind: 'look' } },
      { runId: '0199-b-3', signal: { kind: 'look' } },
    ])
    expect(await one.signals.receive(new Set([3]), 1, forever)).toHaveLength(1)
    await other.signals.reset(new Set([3]))
    const received = await other.signals.receive(new Set([3]), 10, forever)
    expect(received.map(({ runId, deliveries }) => [runId, deliveries])).toEqual([
      ['0199-a-3', 2],
      ['0199-b-3', 1],
    ])
  })
})
