/**
 * The coordinator as a service: owns the life of its session with the database and the upkeep. The work itself is the
 * pipeline's, what is owned the tenure's, and the sharing with others the membership's.
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
import type { OwnerSession, RunStore } from '../store/store.ts'
import { HEARTBEAT_INTERVAL_MS, type Transport } from '../transport/transport.ts'
import { pause } from './commit.ts'
import { ENGINE, type Engine } from './engine.ts'
import { Membership } from './membership.ts'
import { ALL_PARTITIONS, claimEverything } from './ownership.ts'
import { Pipeline } from './pipeline.ts'
import { restore, SWEEP_INTERVAL_MS, sweep } from './sweep.ts'
import { DRAIN_MS, Tenure } from './tenure.ts'
import { Trouble } from './trouble.ts'

const DEFAULT_CACHE_BYTES = 96 * 1024 * 1024
const FIRST_REOPEN_MS = 50
const MAX_REOPEN_MS = 2_000

export interface CoordinatorParts {
  readonly store: RunStore
  readonly transport: Transport
  readonly graphs: GraphCatalog
  /** The types that the registry knows now; the same map until one is added. */
  readonly types: () => NodeTypes
  readonly clock: Clock
  readonly log: Log
  readonly metrics: CoordinatorMetrics
  /** Names the session in the database's own views. */
  readonly name: string
  /** Whether others may own partitions too; without it this one takes all of them. */
  readonly isSharing?: boolean
  /** Whether nothing is taken up yet: it owns its share all the same, and sees to nothing in it. */
  readonly isHeld?: () => boolean
  /** Bound of the states in memory. */
  readonly cacheBytes?: number
  readonly engine?: Engine
}

export interface Coordinator extends Service {
  /** One turn of the upkeep that otherwise runs by itself: shares, lost tasks, due runs, what could not be published. */
  tick(): Promise<void>
  /** Why runs do not move on at the moment, or `null`. */
  trouble(): string | null
  /** Those that it owns now. */
  partitions(): readonly number[]
  /** Resolves when there is nothing to decide, commit or publish. */
  idle(): Promise<void>
}

/** `owning`: at work. `retaking`: the session broke. */
type Life =
  | { readonly kind: 'stopped' | 'retaking' }
  | { readonly kind: 'owning'; readonly tenure: Tenure; readonly membership: Membership | null }

export function createCoordinator(parts: CoordinatorParts): Coordinator {
  const { store, transport, clock, metrics } = parts
  const log = parts.log.child({ part: 'coordinator' })
  const trouble = new Trouble(log, clock)
  const takes = new Map<number, number>()
  const isHeld = parts.isHeld ?? (() => false)
  let life: Life = { kind: 'stopped' }
  let starting: Promise<void> | null = null
  let stopping: Promise<void> | null = null
  let cancelSweep: (() => void) | null = null
  let cancelRestore: (() => void) | null = null
  /** Of the session that is attached to the pipeline. */
  let current: Membership | null = null
  /** A session that is open and does not own its share yet, and the work on it. */
  let opening: { readonly session: OwnerSession; readonly work: Promise<void> } | null = null
  /** Changes with each stop: what was begun before it is not wanted any more. */
  let epoch = 0
  let stopped = Promise.withResolvers<void>()

  const pipeline = new Pipeline({
    ...parts,
    log,
    trouble,
    engine: parts.engine ?? ENGINE,
    cacheBytes: parts.cacheBytes ?? DEFAULT_CACHE_BYTES,
    isAlone: parts.isSharing !== true,
    isLeased: () => current?.isLeased() ?? true,
    lost: (session) => void lose(session),
  })
  const tenureParts = { store, transport, clock, log, pipeline, trouble, takes, isHeld }
  const upkeep = { store, transport, clock, log, pipeline, trouble }

  // Workers get one heartbeat to register what they perform: only what nobody holds is handed out again (R5).
  transport.onWiped(() => restoreAfter(HEARTBEAT_INTERVAL_MS))

  const isOwning = (): boolean => life.kind === 'owning'

  async function begin(mayWait: boolean): Promise<void> {
    const mine = epoch
    const session = await store.openOwner(parts.name)
    if (mine !== epoch) return session.close()
    const work = settle(session, mayWait, () => mine === epoch)
    opening = { session, work }
    try {
      await work
    } finally {
      opening = null
    }
  }

  async function settle(session: OwnerSession, mayWait: boolean, isWanted: () => boolean): Promise<void> {
    let tenure: Tenure | null = null
    let membership: Membership | null = null
    try {
      if (parts.isSharing) {
        membership = new Membership({ ...parts, log, trouble, lost: () => void lose(session) }, session)
        await membership.introduce()
      } else await claimEverything(session, clock)
      current = membership
      tenure = new Tenure(tenureParts, session)
      if (membership) await membership.join(tenure, mayWait)
      else await tenure.take(ALL_PARTITIONS)
      if (!isWanted()) throw new Error('the coordinator was stopped while it started')
    } catch (error) {
      membership?.end()
      if (tenure) pipeline.detach()
      await tenure?.end()
      await session.close()
      await membership?.forget()
      throw error
    }
    life = { kind: 'owning', tenure, membership }
    void session.ended.then(() => lose(session))
    scheduleSweep(SWEEP_INTERVAL_MS)
  }

  async function lose(session: OwnerSession): Promise<void> {
    void session.close()
    if (life.kind !== 'owning' || life.tenure.session !== session) return
    const { tenure, membership } = life
    life = { kind: 'retaking' }
    const mine = epoch
    trouble.began('session', new Error('the session with the database has ended'))
    cancelSweep?.()
    membership?.end()
    pipeline.detach()
    await tenure.end()
    for (let delayMs = FIRST_REOPEN_MS; mine === epoch; delayMs = Math.min(delayMs * 2, MAX_REOPEN_MS)) {
      try {
        await begin(false)
        trouble.over('session')
        return
      } catch (error) {
        if (mine === epoch) trouble.began('session', error)
      }
      await Promise.race([pause(clock, delayMs), stopped.promise])
    }
  }

  function restoreAfter(delayMs: number): void {
    cancelRestore?.()
    cancelRestore = clock.after(delayMs, () => {
      // Who takes partitions, or takes up their runs, publishes what these are owed anyway.
      if (life.kind !== 'owning' || isHeld()) return
      const { session, partitions } = life.tenure
      restore(upkeep, session, [...partitions]).then(
        (runs) => log.info({ runs }, `what ${runs} unfinished runs are owed is published again`),
        (error: unknown) => {
          trouble.began('sweep', error)
          restoreAfter(SWEEP_INTERVAL_MS)
        },
      )
    })
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
    const { tenure } = life
    metrics.owns(tenure.partitions.size)
    if (isHeld()) return SWEEP_INTERVAL_MS
    try {
      const next = await sweep(upkeep, tenure.session, [...tenure.partitions])
      await tenure.takeUp()
      trouble.over('sweep')
      return next
    } catch (error) {
      if (isOwning()) trouble.began('sweep', error)
      return SWEEP_INTERVAL_MS
    }
  }

  async function stop(): Promise<void> {
    await starting?.catch(() => {})
    epoch++
    stopped.resolve()
    cancelSweep?.()
    cancelRestore?.()
    const before = life
    // A session that breaks from here on is not taken up again.
    life = { kind: 'stopped' }
    if (before.kind === 'owning') {
      const { tenure, membership } = before
      // Alone: what is in the lane is decided. With others: they go on with it.
      if (membership) await membership.leave()
      else await drained()
      await tenure.end()
      if (!membership) await drained()
      pipeline.detach()
      await tenure.session.close()
      await membership?.forget()
    }
    // One that was taking everything again ends with its session.
    const { session, work } = opening ?? {}
    void session?.close()
    await work?.catch(() => {})
    starting = null
    stopped = Promise.withResolvers()
    metrics.owns(0)
  }

  const drained = (): Promise<void> => Promise.race([pipeline.idle(), pause(clock, DRAIN_MS)])

  return {
    name: 'coordinator',
    async start() {
      await stopping
      starting ??= begin(true).catch((error: unknown) => {
        starting = null
        throw error
      })
      return starting
    },
    stop() {
      stopping ??= stop().finally(() => {
        stopping = null
      })
      return stopping
    },
    async tick() {
      if (life.kind === 'owning') await life.membership?.tick()
      await turn()
      await pipeline.idle()
    },
    trouble: () => trouble.sentence(),
    partitions: () => (life.kind === 'owning' ? [...life.tenure.partitions].sort((a, b) => a - b) : []),
    idle: () => pipeline.idle(),
  }
}
