/**
 * The signal lane on Redis: one stream per partition, read by the partition's owner on a connection of its own that waits
 * in the server.
 *
 * Invariants
 * 1. What was read stays in its stream until it is deleted, so that the next owner finds it (R2).
 * 2. The server knows how far each partition was handed out before the signals leave here: after a reset those are
 *    counted once more, whoever died over them (R16).
 * 3. One read at a time, for everybody who waits. What it brings too much of is kept in front for the next.
 */
import type { Clock } from '../../clock.ts'
import {
  PARTITIONS,
  partitionOf,
  type ReceivedSignal,
  type SignalEnvelope,
  type SignalLane,
} from '../transport.ts'
import { Gathering } from './gathering.ts'
import type { Keys } from './keys.ts'
import type { Link } from './link.ts'
import { Script } from './script.ts'

const MAX_PER_CALL = 500
/** Of one partition, in one read. */
const MAX_PER_READ = 100
/** How long a read waits in the server; well below the silence after which a connection is given up. */
const WAIT_IN_SERVER_MS = 2_000
const UNBLOCK_AGAIN_MS = 2
/** Deletions that failed, kept to be tried again; beyond that the signals stay for the next owner, who knows them. */
const MAX_UNDELETED = 50_000
const BEGINNING = '0-0'

const SEND = new Script('send')
const DELETE = new Script('delete')
const RESET = new Script('reset')
const LAG = new Script('lag')

interface Partition {
  /** Id of the last signal that was read. */
  cursor: string
  /** Read, not handed out. */
  readonly ready: ReceivedSignal[]
  /** Grows when everything read before is void. */
  generation: number
  /** By id, of what was handed out before a reset: how often. */
  readonly again: Map<string, number>
}

interface Read {
  /** The partitions that it reads; `null` until it begins. */
  covered: ReadonlySet<number> | null
  readonly done: Promise<void>
}

/** Answer of XREAD: per stream its key and entries, each an id and its fields. */
type Streams = [string, [string, string[]][]][]

export interface RedisSignals extends SignalLane {
  /** What the server held is gone: streams are read from their beginning. */
  forget(): void
  close(): void
}

export function redisSignals(lane: {
  readonly link: Link
  readonly keys: Keys
  readonly clock: Clock
}): RedisSignals {
  const { link, keys, clock } = lane
  const partitions = Array.from(
    { length: PARTITIONS },
    (): Partition => ({ cursor: BEGINNING, ready: [], generation: 0, again: new Map() }),
  )
  const run = (script: Script, args: readonly (string | number)[]): Promise<unknown> =>
    link.call((redis) => script.run(redis, [keys.prefix, ...args]))
  const sending = new Gathering<SignalEnvelope>(
    (signals) =>
      run(
        SEND,
        signals.flatMap(({ runId, signal }) => [runId, JSON.stringify(signal)]),
      ),
    MAX_PER_CALL,
  )
  const deleting = new Gathering<string>(
    (receipts) =>
      run(
        DELETE,
        receipts.flatMap((receipt) => receipt.split('/')),
      ),
    MAX_PER_CALL,
  )
  /** Deletions that failed. */
  let undeleted: string[] = []
  /** What those who wait now want. */
  const wanted = new Set<ReadonlySet<number>>()
  let reading: Read | null = null
  /** Where the next collection begins, so that a busy partition cannot starve the others. */
  let turn = 0
  let isClosed = false

  function collect(of: ReadonlySet<number>, limit: number): ReceivedSignal[] {
    const found: ReceivedSignal[] = []
    const handedOut: string[] = []
    turn = (turn + 1) % PARTITIONS
    for (let step = 0; step < PARTITIONS && found.length < limit; step++) {
      const number = (turn + step) % PARTITIONS
      const { ready } = partitions[number]!
      if (!of.has(number) || ready.length === 0) continue
      const portion = ready.splice(0, limit - found.length)
      found.push(...portion)
      handedOut.push(`${number}`, portion.at(-1)!.receipt.split('/')[1] as string)
    }
    // Sent before anybody decides these, and not waited for: it only counts how often a signal kills its owner.
    if (handedOut.length > 0) link.call((redis) => redis.hset(keys.handedOut, ...handedOut)).catch(() => {})
    return found
  }

  async function read(numbers: readonly number[]): Promise<void> {
    const generations = numbers.map((number) => partitions[number]!.generation)
    const streams = (await link.wait((reader) =>
      reader.xread(
        'COUNT',
        MAX_PER_READ,
        'BLOCK',
        WAIT_IN_SERVER_MS,
        'STREAMS',
        ...numbers.map(keys.signals),
        ...numbers.map((number) => partitions[number]!.cursor),
      ),
    )) as Streams | null
    for (const [key, entries] of streams ?? []) {
      const index = numbers.findIndex((number) => keys.signals(number) === key)
      const number = numbers[index] as number
      const partition = partitions[number]!
      if (partition.generation !== generations[index]) continue
      for (const [id, [, runId, , signal]] of entries) {
        partition.cursor = id
        partition.ready.push({
          runId: runId as string,
          signal: JSON.parse(signal as string) as ReceivedSignal['signal'],
          receipt: `${number}/${id}`,
          deliveries: 1 + (partition.again.get(id) ?? 0),
        })
      }
    }
  }

  /** The read under way, begun for everybody who waits; one that lacks a partition is ended early. */
  function currentRead(): Promise<void> {
    if (reading === null) {
      // A turn later, so that those who begin to wait together wait in one read.
      const done = Promise.resolve().then(() => {
        const covered = new Set([...wanted].flatMap((of) => [...of]))
        begun.covered = covered
        return read([...covered].filter((number) => partitions[number]!.ready.length === 0))
      })
      const begun: Read = {
        covered: null,
        done: done.finally(() => {
          reading = null
        }),
      }
      reading = begun
    } else {
      const { covered } = reading
      const isCovered = (of: ReadonlySet<number>): boolean =>
        covered === null || [...of].every((number) => covered.has(number))
      if (![...wanted].every(isCovered)) void interrupt(reading)
    }
    return reading.done
  }

  async function interrupt(read: Read): Promise<void> {
    try {
      // It may be on its way to the server still, and not blocked yet.
      while (reading === read) {
        const id = link.readerId
        if (id !== null && (await link.commands.client('UNBLOCK', id)) === 1) return
        await new Promise<void>((resolve) => clock.after(UNBLOCK_AGAIN_MS, resolve))
      }
    } catch {
      // The connection is gone, and the read with it.
    }
  }

  function startAgain(number: number): void {
    const partition = partitions[number]!
    partition.cursor = BEGINNING
    partition.ready.length = 0
    partition.generation++
    partition.again.clear()
  }

  return {
    async send(signals) {
      const lost = signals.find(({ runId }) => Number.isNaN(partitionOf(runId)))
      if (lost) throw new Error(`\`${lost.runId}\` is not the id of a run: it has no partition.`)
      await sending.add(signals)
    },

    async receive(of, limit, signal) {
      const { promise: aborted, resolve } = Promise.withResolvers<void>()
      const abort = (): void => resolve()
      const isOver = (): boolean => signal.aborted || isClosed
      signal.addEventListener('abort', abort)
      wanted.add(of)
      try {
        while (!isOver()) {
          const found = collect(of, limit)
          if (found.length > 0) return found
          await Promise.race([currentRead(), aborted])
        }
        return []
      } catch (error) {
        if (isOver()) return []
        throw error
      } finally {
        wanted.delete(of)
        signal.removeEventListener('abort', abort)
      }
    },

    async delete(receipts) {
      const all = undeleted.length === 0 ? receipts : [...undeleted, ...receipts]
      undeleted = []
      try {
        await deleting.add(all)
      } catch (error) {
        undeleted.push(...all.slice(0, MAX_UNDELETED - undeleted.length))
        throw error
      }
    },

    async reset(numbers) {
      const answer = (await run(RESET, [...numbers])) as (string | number)[]
      for (const number of numbers) startAgain(number)
      for (let at = 0; at < answer.length; at += 3) {
        partitions[Number(answer[at])]!.again.set(String(answer[at + 1]), Number(answer[at + 2]))
      }
    },

    lag: async () => Number(await run(LAG, [PARTITIONS])),

    forget() {
      for (let number = 0; number < PARTITIONS; number++) startAgain(number)
    },

    close() {
      isClosed = true
    },
  }
}
