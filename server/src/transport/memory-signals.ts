/**
 * The signal lane in memory: one ordered queue per partition, and beside it what was handed out and not deleted yet.
 */
import { type Linked, LinkedList } from './linked-list.ts'
import {
  PARTITIONS,
  partitionOf,
  type ReceivedSignal,
  type SignalEnvelope,
  type SignalLane,
} from './transport.ts'
import { Waiters } from './waiters.ts'

interface Message extends Linked {
  readonly envelope: SignalEnvelope
  readonly receipt: string
  deliveries: number
}

interface Partition {
  readonly ready: LinkedList<Message>
  /** Handed out, by receipt, in the order of the lane. */
  readonly received: Map<string, Message>
}

export interface MemorySignals extends SignalLane {
  /** The same as `send`, for the task lane, which puts signals in within its own step. */
  put(signals: readonly SignalEnvelope[]): void
  close(): void
}

export function memorySignals(): MemorySignals {
  const partitions = Array.from(
    { length: PARTITIONS },
    (): Partition => ({ ready: new LinkedList(), received: new Map() }),
  )
  const waiters = new Waiters<ReceivedSignal>()
  let receipts = 0
  /** Where the next collection begins, so that a busy partition cannot starve the others. */
  let turn = 0

  function put(signals: readonly SignalEnvelope[]): void {
    if (signals.length === 0) return
    for (const envelope of signals) {
      const number = partitionOf(envelope.runId)
      const partition = partitions[number]
      if (partition === undefined)
        throw new Error(`\`${envelope.runId}\` is not the id of a run: it has no partition.`)
      const receipt = `${number}-${++receipts}`
      partition.ready.append({ envelope, receipt, deliveries: 0, previous: null, next: null })
    }
    waiters.wake()
  }

  function collect(wanted: ReadonlySet<number>, limit: number): ReceivedSignal[] {
    const found: ReceivedSignal[] = []
    turn = (turn + 1) % PARTITIONS
    for (let step = 0; step < PARTITIONS && found.length < limit; step++) {
      const number = (turn + step) % PARTITIONS
      if (!wanted.has(number)) continue
      const { ready, received } = partitions[number]!
      while (found.length < limit) {
        const message = ready.shift()
        if (message === null) break
        message.deliveries++
        received.set(message.receipt, message)
        const { envelope, receipt, deliveries } = message
        found.push({ runId: envelope.runId, signal: envelope.signal, receipt, deliveries })
      }
    }
    return found
  }

  return {
    put,
    async send(signals) {
      put(signals)
    },
    receive: (wanted, limit, signal) => waiters.wait(() => collect(wanted, limit), signal),
    async delete(deleted) {
      for (const receipt of deleted) {
        const partition = partitions[Number.parseInt(receipt, 10)]
        partition?.received.delete(receipt)
      }
    },
    async reset(numbers) {
      for (const number of numbers) {
        const { ready, received } = partitions[number]!
        // What was received is older than what is ready: last first, it goes back in front in its order.
        for (const message of [...received.values()].reverse()) ready.prepend(message)
        received.clear()
      }
      waiters.wake()
    },
    lag: async () => partitions.reduce((sum, { ready, received }) => sum + ready.size + received.size, 0),
    close: () => waiters.dismiss(),
  }
}
