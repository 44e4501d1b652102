/**
 * The coordinator as a service: owns the session with the database, the loop that receives signals, and the upkeep. The
 * work itself is the pipeline's.
 *
 * The session ends when the connection does, for whatever reason. Then everything known is forgotten, the partitions are
 * taken again, and the lane hands out once more what was not deleted (R3). Nothing of a run is lost by that; the process
 * and its API stay up.
 */
import type { NodeTypes } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { GraphCatalog } from '../graphs.ts'
import type { Log } from '../log.ts'
import type { CoordinatorMetrics } from '../metrics.ts'
import type { Service } from '../service.ts'
import type { OwnerSession, Store } from '../store/store.ts'
import type { ReceivedSignal, Transport } from '../transport/transport.ts'
import { pause } from './commit.ts'
import { ENGINE, type Engine } from './engine.ts'
import { ALL_PARTITIONS, retakeOwnership, takeOwnership } from './ownership.ts'
import { Pipeline } from './pipeline.ts'
import { recover, SWEEP_INTERVAL_MS, sweep } from './sweep.ts'
import { Trouble } from './trouble.ts'

const MAX_SIGNALS_PER_RECEIVE = 500
/** Signals in memory that are not decided; the lane keeps the others. */
const MAX_BACKLOG = 5_000
const RETRY_RECEIVE_MS = 250
const DRAIN_MS = 5_000
const DEFAULT_CACHE_BYTES = 96 * 1024 * 1024

export interface CoordinatorParts {
  readonly store: Store
  readonly transport: Transport
  readonly graphs: GraphCatalog
  /** The types that the registry knows now; the same map until one is added. */
  readonly types: () => NodeTypes
  readonly clock: Clock
  readonly log: Log
  readonly metrics: CoordinatorMetrics
  /** Names the session in the database's own views. */
  readonly name: string
  /** Bound of the states in memory. */
  readonly cacheBytes?: number
  readonly engine?: Engine
}

export interface Coordinator extends Service {
  /** One turn of the upkeep that otherwise runs every second: lost tasks, due runs, what could not be published. */
  tick(): Promise<void>
  /** Why runs do not move on at the moment, or `null`. */
  trouble(): string | null
  /** Resolves when there is nothing to decide, commit or publish. */
  idle(): Promise<void>
}

/** `owning`: at work. `retaking`: the session broke. */
type Life =
  | { readonly kind: 'new' | 'retaking' | 'stopped' }
  | {
      readonly kind: 'owning'
      readonly session: OwnerSession
      readonly receiving: AbortController
      readonly loop: Promise<void>
    }

export function createCoordinator(parts: CoordinatorParts): Coordinator {
  const { store, transport, clock } = parts
  const log = parts.log.child({ part: 'coordinator' })
  const trouble = new Trouble(log, clock)
  const ownership = { store, clock, trouble, name: parts.name }
  const pipeline = new Pipeline({
    ...parts,
    log,
    trouble,
    engine: parts.engine ?? ENGINE,
    cacheBytes: parts.cacheBytes ?? DEFAULT_CACHE_BYTES,
    lost: (session) => {
      void session.close()
      void lose(session)
    },
  })
  const upkeep = { transport, clock, pipeline, trouble }
  let life: Life = { kind: 'new' }
  let starting: Promise<void> | null = null
  let stopping: Promise<void> | null = null
  /** Sessions that broke: each made the lane hand its signals out once more. */
  let retakes = 0
  let cancelSweep: (() => void) | null = null

  function own(session: OwnerSession): void {
    const receiving = new AbortController()
    pipeline.attach(session)
    life = { kind: 'owning', session, receiving, loop: receive(receiving.signal) }
    void session.ended.then(() => lose(session))
  }

  async function begin(session: OwnerSession): Promise<void> {
    own(session)
    const found = await recover(upkeep, session)
    if (found > 0) log.info({ runs: found }, `${found} unfinished runs are taken up`)
    scheduleSweep(SWEEP_INTERVAL_MS)
  }

  async function lose(session: OwnerSession): Promise<void> {
    if (life.kind !== 'owning' || life.session !== session) return
    const { receiving, loop } = life
    life = { kind: 'retaking' }
    trouble.began('session', new Error('the session with the database has ended'))
    cancelSweep?.()
    pipeline.detach()
    receiving.abort()
    await loop
    for (let taken = false; !taken && life.kind === 'retaking'; ) {
      const next = await retakeOwnership(ownership, () => life.kind === 'retaking')
      if (!next) return
      if (life.kind !== 'retaking') return next.close()
      retakes++
      try {
        await transport.signals.reset(ALL_PARTITIONS)
        await begin(next)
        taken = true
      } catch (error) {
        // The session broke again at once, or the transport did; `own` may have happened already.
        trouble.began('session', error)
        taken = isOwning()
        if (!taken) await next.close()
      }
    }
  }

  const isOwning = (): boolean => life.kind === 'owning'

  async function receive(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (pipeline.backlog >= MAX_BACKLOG) await pipeline.room(MAX_BACKLOG / 2)
      let received: ReceivedSignal[]
      try {
        received = await transport.signals.receive(ALL_PARTITIONS, MAX_SIGNALS_PER_RECEIVE, signal)
      } catch (error) {
        trouble.began('transport', error)
        await pause(clock, RETRY_RECEIVE_MS)
        continue
      }
      for (const item of received) pipeline.receive(item, retakes)
      pipeline.pump()
    }
  }

  function scheduleSweep(delayMs: number): void {
    cancelSweep = clock.after(delayMs, () => {
      void turn().then((next) => {
        if (isOwning()) scheduleSweep(next)
      })
    })
  }

  async function turn(): Promise<number> {
    if (life.kind !== 'owning') return SWEEP_INTERVAL_MS
    try {
      const next = await sweep(upkeep, life.session)
      trouble.over('sweep')
      return next
    } catch (error) {
      if (isOwning()) trouble.began('sweep', error)
      return SWEEP_INTERVAL_MS
    }
  }

  async function stop(): Promise<void> {
    await starting?.catch(() => {})
    cancelSweep?.()
    if (life.kind === 'owning') {
      const { session, receiving, loop } = life
      // What is in the lane is decided; a wait for more ends.
      await drained()
      receiving.abort()
      await loop
      await drained()
      life = { kind: 'stopped' }
      pipeline.detach()
      await session.close()
    }
    life = { kind: 'stopped' }
  }

  /** A database that does not answer must not keep the process from ending: what is not committed is not lost. */
  const drained = (): Promise<void> => Promise.race([pipeline.idle(), pause(clock, DRAIN_MS)])

  return {
    name: 'coordinator',
    start() {
      starting ??= takeOwnership(ownership).then(begin)
      return starting
    },
    stop() {
      stopping ??= stop()
      return stopping
    },
    async tick() {
      await turn()
      await pipeline.idle()
    },
    trouble: () => trouble.sentence(),
    idle: () => pipeline.idle(),
  }
}
