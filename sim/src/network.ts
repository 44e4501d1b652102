/**
 * The transport as many processes share it: the memory lanes behind connections on which messages are lost, repeated and
 * late. It can be wiped at any moment; whoever waits in it goes on waiting in the empty one.
 */
import type { Clock } from '../../server/src/clock.ts'
import { memoryTransport } from '../../server/src/transport/memory.ts'
import type { LiveMessage, Transport } from '../../server/src/transport/transport.ts'
import type { Checks } from './checks.ts'
import type { FaultKind, Faults } from './faults.ts'
import type { SimProcess } from './process.ts'
import { Line, type Seam } from './seam.ts'
import type { VirtualTime } from './time.ts'

const MESSAGE_FAULTS: readonly FaultKind[] = ['error before', 'error after', 'delayed', 'dropped', 'repeated']
/**
 * Tasks are published in the order of their calls, on one connection. Nobody sends one twice: what was not answered is
 * asked for (R5). One that lies in the network until somebody else owns its run is beyond what is promised.
 */
const TASK_FAULTS: readonly FaultKind[] = ['error before', 'error after', 'dropped']
const CALL_FAULTS: readonly FaultKind[] = ['error before', 'error after', 'delayed']
const LEASE_MS = 15_000
/** After this long a wipe is noticed. */
const NOTICED_MS = 300

const unreachable = (kind: FaultKind): Error => new Error(`the transport did not answer (${kind})`)

export interface NetworkParts {
  readonly time: VirtualTime
  readonly seam: Seam
  readonly faults: Faults
  readonly checks: Checks
}

export class Network {
  readonly #parts: NetworkParts
  /** The clock of the machine on which the lanes are. */
  readonly #clock: Clock
  #lanes: Transport
  readonly #waits = new Set<() => void>()
  readonly #listeners = new Set<{ process: SimProcess; hear: (message: LiveMessage) => void }>()

  readonly #wipeListeners = new Set<{ process: SimProcess; hear: () => void }>()

  constructor(parts: NetworkParts, clock: Clock) {
    this.#parts = parts
    this.#clock = clock
    this.#lanes = this.#newLanes()
  }

  /** Everything in the lanes is gone. */
  wipe(): void {
    this.#lanes = this.#newLanes()
    for (const again of [...this.#waits]) again()
    for (const { process, hear } of this.#wipeListeners)
      this.#parts.time.after(NOTICED_MS, `${process.name} notices the wipe`, () => process.deliver(hear))
  }

  #newLanes(): Transport {
    const lanes = memoryTransport({ clock: this.#clock, leaseMs: LEASE_MS })
    lanes.live.subscribe((message) => this.#broadcast([message]))
    return lanes
  }

  #broadcast(messages: readonly LiveMessage[]): void {
    const { time, faults } = this.#parts
    for (const { process, hear } of this.#listeners) {
      if (faults.draw(['dropped'])) continue
      time.after(0, `${process.name} hears`, () => {
        process.deliver(() => {
          for (const message of messages) hear(message)
        })
      })
    }
  }

  /** Waits in the lanes until something comes, the caller gives up, or its connection ends with it. */
  async #wait<Item>(
    process: SimProcess,
    signal: AbortSignal,
    look: (lanes: Transport, signal: AbortSignal) => Promise<Item[]>,
  ): Promise<Item[]> {
    let isOver = signal.aborted || process.isDead
    let controller = new AbortController()
    const again = (): void => controller.abort()
    const leave = (): void => {
      isOver = true
      controller.abort()
    }
    signal.addEventListener('abort', leave)
    const withdraw = process.onDeath(leave)
    this.#waits.add(again)
    try {
      while (!isOver) {
        controller = new AbortController()
        const found = await look(this.#lanes, controller.signal)
        if (found.length > 0) return found
      }
      return []
    } finally {
      this.#waits.delete(again)
      withdraw()
      signal.removeEventListener('abort', leave)
    }
  }

  /** The transport as this process sees it. */
  connect(process: SimProcess): Transport {
    const { seam } = this.#parts
    const call = <Result>(name: string, perform: (lanes: Transport) => Promise<Result>) =>
      seam.call({
        name,
        process,
        faults: CALL_FAULTS,
        failure: unreachable,
        perform: () => perform(this.#lanes),
      })
    const line = new Line()
    const inOrder = <Result>(
      name: string,
      nothing: Result,
      perform: (lanes: Transport) => Promise<Result>,
    ): Promise<Result> =>
      seam.call({
        name,
        process,
        faults: TASK_FAULTS,
        failure: unreachable,
        line,
        nothing,
        perform: () => perform(this.#lanes),
      })
    // A message that is repeated comes to the lanes as they were: what is wiped meanwhile takes it along.
    const send = (name: string, perform: (lanes: Transport) => Promise<void>) => {
      let lanes: Transport | null = null
      return seam.call<void>({
        name,
        process,
        faults: MESSAGE_FAULTS,
        failure: unreachable,
        nothing: undefined,
        perform: () => {
          lanes ??= this.#lanes
          return perform(lanes)
        },
      })
    }
    const wait = <Item>(
      name: string,
      signal: AbortSignal,
      look: (lanes: Transport, signal: AbortSignal) => Promise<Item[]>,
    ) =>
      seam.call({
        name,
        process,
        faults: ['error before', 'error after'],
        failure: unreachable,
        isWait: true,
        perform: () => this.#wait(process, signal, look),
      })

    return {
      kind: 'memory',
      tasks: {
        publish(tasks) {
          const sent = text(tasks)
          const label = `tasks.publish ${names(tasks.map(({ id }) => id))}`
          return inOrder(label, undefined, (lanes) => lanes.tasks.publish(sent))
        },
        take: (worker, capacity, signal) =>
          wait('tasks.take', signal, (lanes, stop) => lanes.tasks.take(worker, capacity, stop)),
        heartbeat(worker, tasks) {
          const sent = text(tasks)
          return call('tasks.heartbeat', (lanes) => lanes.tasks.heartbeat(worker, sent))
        },
        report(worker, results) {
          const sent = text(results)
          return send(`tasks.report ${names(results.map(({ taskId }) => taskId))}`, (lanes) =>
            lanes.tasks.report(worker, sent),
          )
        },
        reportedBy: (taskId) => call('tasks.reportedBy', (lanes) => lanes.tasks.reportedBy(taskId)),
        handBack: (taskIds) => call('tasks.handBack', (lanes) => lanes.tasks.handBack(taskIds)),
        halt: (runId, abort) => inOrder('tasks.halt', undefined, (lanes) => lanes.tasks.halt(runId, abort)),
        unhalt: (runId) => inOrder('tasks.unhalt', undefined, (lanes) => lanes.tasks.unhalt(runId)),
        reap: () => call('tasks.reap', (lanes) => lanes.tasks.reap()),
        held: (worker, taskIds) => call('tasks.held', (lanes) => lanes.tasks.held(worker, taskIds)),
        missing: (taskIds) =>
          inOrder(`tasks.missing ${names(taskIds)}`, [], (lanes) => lanes.tasks.missing(taskIds)),
        inspect: (taskIds) =>
          inOrder(`tasks.inspect ${names(taskIds)}`, new Map(), (lanes) => lanes.tasks.inspect(taskIds)),
        depth: () => call('tasks.depth', (lanes) => lanes.tasks.depth()),
      },
      signals: {
        send(signals) {
          const sent = text(signals)
          return send('signals.send', (lanes) => lanes.signals.send(sent))
        },
        receive: (partitions, limit, signal) =>
          wait('signals.receive', signal, (lanes, stop) => lanes.signals.receive(partitions, limit, stop)),
        delete: (receipts) => send('signals.delete', (lanes) => lanes.signals.delete(receipts)),
        reset: (partitions) => call('signals.reset', (lanes) => lanes.signals.reset(partitions)),
        lag: () => call('signals.lag', (lanes) => lanes.signals.lag()),
      },
      live: {
        publish: (messages) => this.#broadcast(text(messages)),
        subscribe: (hear) => {
          const listener = { process, hear }
          this.#listeners.add(listener)
          process.onDeath(() => void this.#listeners.delete(listener))
          return () => void this.#listeners.delete(listener)
        },
      },
      onWiped: (hear) => {
        const listener = { process, hear }
        this.#wipeListeners.add(listener)
        process.onDeath(() => void this.#wipeListeners.delete(listener))
        return () => void this.#wipeListeners.delete(listener)
      },
      async close() {},
    }
  }
}

/** Tasks as the trace names them: the end of the run's id, step, round and attempt. */
const names = (taskIds: readonly string[]): string => taskIds.map((id) => id.slice(32)).join(' ')

/** What travels is text: nobody shares an object with a message. */
const text = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value)) as Value
