/**
 * What one session with the database owns, and the loop that receives the signals of it (R3, R4).
 *
 * 1. Signals are received of owned partitions only; of one that was just taken, first everything is handed out again
 *    that its last owner had received.
 * 2. A partition is let go in this order: no more signals, the last commit and what follows from it, the lock. When the
 *    lock cannot be let go, the session ends.
 */
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { OwnerSession, Store } from '../store/store.ts'
import { partitionOf, type ReceivedSignal, type Transport } from '../transport/transport.ts'
import { pause } from './commit.ts'
import type { Pipeline } from './pipeline.ts'
import { recover } from './sweep.ts'
import type { Trouble } from './trouble.ts'

const MAX_SIGNALS_PER_RECEIVE = 500
/** Signals in memory that are not decided; the lane keeps the others. */
const MAX_BACKLOG = 5_000
const RETRY_RECEIVE_MS = 250
/** A database or a transport that does not answer must not keep anybody: what is not committed is not lost. */
export const DRAIN_MS = 5_000

export interface TenureParts {
  readonly store: Pick<Store, 'messages' | 'blobs'>
  readonly transport: Transport
  readonly clock: Clock
  readonly log: Log
  readonly pipeline: Pipeline
  readonly trouble: Trouble
  /** How often this process has taken each partition: each time the lane handed its signals out once more. */
  readonly takes: Map<number, number>
  /** Whether runs are left as they are, in partitions that are owned. */
  readonly isHeld: () => boolean
}

export class Tenure {
  readonly session: OwnerSession
  readonly #parts: TenureParts
  #partitions: ReadonlySet<number> = new Set()
  /** Taken, and their signals not handed out again yet. */
  readonly #unreset = new Set<number>()
  /** Taken, and their unfinished runs not taken up yet. */
  readonly #behind = new Set<number>()
  #receiving = new AbortController()
  /** The call under way. */
  #call: Promise<unknown> = Promise.resolve()
  #changed = Promise.withResolvers<void>()
  #isOver = false
  readonly #loop: Promise<void>

  constructor(parts: TenureParts, session: OwnerSession) {
    this.#parts = parts
    this.session = session
    parts.pipeline.attach(session)
    this.#loop = this.#receive()
  }

  get partitions(): ReadonlySet<number> {
    return this.#partitions
  }

  /** Locks these partitions as far as they are free, and takes up their runs; answers which are owned now. */
  async take(wanted: readonly number[]): Promise<readonly number[]> {
    const { pipeline, takes } = this.#parts
    const claimed = await this.session.claim(wanted)
    const taken = claimed.filter((partition) => !this.#partitions.has(partition))
    if (taken.length === 0 || this.#isOver) return claimed
    for (const partition of taken) {
      this.#unreset.add(partition)
      this.#behind.add(partition)
      takes.set(partition, (takes.get(partition) ?? 0) + 1)
    }
    pipeline.own(taken)
    this.#change(new Set([...this.#partitions, ...taken]))
    await this.takeUp()
    return claimed
  }

  /** Looks at every unfinished run of partitions that were taken, unless it has, or the process is held. */
  async takeUp(): Promise<void> {
    const { store, clock, pipeline, log, isHeld } = this.#parts
    const partitions = [...this.#behind]
    if (partitions.length === 0 || isHeld()) return
    const found = await recover({ store, clock, pipeline }, this.session, partitions)
    for (const partition of partitions) this.#behind.delete(partition)
    if (found > 0) log.info({ runs: found, partitions }, `${found} unfinished runs are taken up`)
  }

  async giveUp(unwanted: readonly number[]): Promise<void> {
    const given = unwanted.filter((partition) => this.#partitions.has(partition))
    if (given.length === 0) return
    const { clock, pipeline } = this.#parts
    this.#change(new Set([...this.#partitions].filter((partition) => !given.includes(partition))))
    for (const partition of given) {
      this.#unreset.delete(partition)
      this.#behind.delete(partition)
    }
    const settled = Promise.all([this.#call, pipeline.giveUp(given)])
    await Promise.race([settled, this.session.ended, pause(clock, DRAIN_MS)])
    try {
      await this.session.release(given)
    } catch (error) {
      // Nobody would own what stays locked and is not worked on: with the session every lock of it ends.
      await this.session.close()
      throw error
    }
  }

  /** Receives nothing more. */
  async end(): Promise<void> {
    this.#isOver = true
    this.#change(new Set())
    await this.#loop
  }

  #change(partitions: ReadonlySet<number>): void {
    this.#partitions = partitions
    this.#receiving.abort()
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  async #receive(): Promise<void> {
    const { clock, pipeline, trouble, takes } = this.#parts
    while (!this.#isOver) {
      if (pipeline.backlog >= MAX_BACKLOG) await pipeline.room(MAX_BACKLOG / 2)
      if (this.#partitions.size === 0) {
        await this.#changed.promise
        continue
      }
      let received: readonly ReceivedSignal[]
      try {
        received = await this.#receiveOnce()
      } catch (error) {
        trouble.began('transport', error)
        await pause(clock, RETRY_RECEIVE_MS)
        continue
      }
      for (const item of received) pipeline.receive(item, (takes.get(partitionOf(item.runId)) ?? 1) - 1)
      pipeline.pump()
    }
  }

  async #receiveOnce(): Promise<readonly ReceivedSignal[]> {
    const { signals } = this.#parts.transport
    this.#receiving = new AbortController()
    const { signal } = this.#receiving
    const partitions = this.#partitions
    const fresh = [...this.#unreset]
    const call = (async () => {
      if (fresh.length > 0) {
        await signals.reset(new Set(fresh))
        for (const partition of fresh) this.#unreset.delete(partition)
      }
      return signal.aborted ? [] : signals.receive(partitions, MAX_SIGNALS_PER_RECEIVE, signal)
    })()
    this.#call = call.catch(() => {})
    return call
  }
}
