/**
 * The worker: takes tasks as far as it has room, performs them, reports how they ended.
 *
 * Owns the loop, the slots and the leases of what runs here. Does not own what an attempt does (`attempt.ts`), what its
 * end looks like (`outcome.ts`), or whether there is another one (the coordinator decides).
 *
 * Invariants
 * 1. Every task that was taken is reported, handed back, or known to be somebody else's (R7).
 * 2. One heartbeat loop prolongs everything that runs here; an abort reaches the code by its answer at the latest (R11).
 * 3. A task that somebody else may have performed meanwhile (it was published again, or taken before the process stood
 *    still) is begun only when it is still this worker's and its completion is not in the log.
 * 4. A long queue never keeps the process from its timers and sockets: the loop lets them in between.
 */
import type { Task } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { Egress } from '../egress/egress.ts'
import type { Log } from '../log.ts'
import type { NodeRegistry } from '../nodes/registry.ts'
import type { Service } from '../service.ts'
import type { Store } from '../store/store.ts'
import { type Transport, TransportUnavailable } from '../transport/transport.ts'
import { Attempt, type AttemptMeans } from './attempt.ts'
import { workerBlobs } from './blobs.ts'
import { configResolver } from './config.ts'
import type { CredentialSource } from './credentials.ts'
import { Reporter } from './reporter.ts'
import { Slots } from './slots.ts'
import { Standstill } from './standstill.ts'
import { uncompleted } from './uncompleted.ts'

export interface WorkerParts {
  /** Names the worker in leases and in the log of runs. */
  readonly name: string
  readonly transport: Transport
  readonly store: Pick<Store, 'blobs' | 'records'>
  readonly registry: Pick<NodeRegistry, 'get' | 'names' | 'onChange'>
  readonly credentials: CredentialSource
  readonly egress: Egress
  readonly clock: Clock
  readonly log: Log
  /** Attempts at a time by type, `*` for the others. */
  readonly concurrency: ReadonlyMap<string, number>
  /** How long `stop` lets attempts finish before it aborts them. Default 10 s. */
  readonly graceMs?: number
}

export interface WorkerLoad {
  readonly type: string
  readonly active: number
  readonly limit: number
}

export interface Worker extends Service {
  /** One heartbeat. */
  tick(): Promise<void>
  /** The types that it takes tasks of. */
  types(): string[]
  /** What runs here now, by type. */
  load(): WorkerLoad[]
}

/** Less than half of the second in which an abort must reach the code. */
const HEARTBEAT_EVERY_MS = 400
const DEFAULT_GRACE_MS = 10_000
/** What the log said longer ago than this may be different now. */
const LATEST_ANSWER_MS = 500
/** What aborted code gets to end by itself, and results to leave, before `stop` goes on without them. */
const LAST_GRACE_MS = 2_000
const PAUSE_AFTER_FAILURE_MS = 250
/** So many tasks are begun before the event loop gets a turn. */
const TASKS_PER_TURN = 64

/** A reason of our own: without one, each abort would make an exception with a stack, and a full worker aborts often. */
const TAKE_AGAIN = 'take again'

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'running'; readonly loop: Promise<void>; readonly unsubscribe: () => void }
  | { readonly kind: 'stopping'; readonly stopped: Promise<void> }

export function createWorker(parts: WorkerParts): Worker {
  const { name, transport, registry, clock, graceMs = DEFAULT_GRACE_MS } = parts
  const { tasks, live } = transport
  const log = parts.log.child({ part: 'worker' })
  const blobs = workerBlobs(parts.store, clock)
  const means: AttemptMeans = {
    worker: name,
    clock,
    log,
    live,
    egress: parts.egress,
    store: parts.store,
    blobs,
    configs: configResolver(blobs),
    credentials: parts.credentials,
    async mayBegin(task, since) {
      return !isLate(since) || (await stillOwed([task], true)).length > 0
    },
  }
  const reporter = new Reporter(name, tasks, clock, log)
  const slots = new Slots(parts.concurrency)
  /** Attempts whose end was not told yet, by task. */
  const active = new Map<string, Attempt>()
  const idleListeners = new Set<() => void>()
  let state: State = { kind: 'idle' }
  /** The wait for tasks that is under way. */
  let taking: {
    readonly capacity: ReadonlyMap<string, number>
    readonly controller: AbortController
  } | null = null
  let withdrawHeartbeat = (): void => {}
  const standstill = new Standstill(clock)

  async function takeTurns(): Promise<void> {
    let begun = 0
    while (state.kind !== 'stopping') {
      taking = { capacity: freeSlots(), controller: new AbortController() }
      const askedAt = clock.monotonic()
      const taken = await takeOnce(taking.capacity, taking.controller.signal)
      taking = null
      await beginCertain(taken, askedAt)
      begun += taken.length
      if (begun >= TASKS_PER_TURN) {
        begun = 0
        await clock.turn()
      }
    }
  }

  const types = (): string[] => registry.names().filter((type) => slots.limit(type) > 0)

  function freeSlots(): Map<string, number> {
    const capacity = new Map<string, number>()
    for (const type of types()) {
      const free = slots.free(type)
      if (free > 0) capacity.set(type, free)
    }
    return capacity
  }

  async function takeOnce(capacity: ReadonlyMap<string, number>, signal: AbortSignal): Promise<Task[]> {
    try {
      const taken = await tasks.take(name, capacity, signal)
      return taken.map(({ task }) => task)
    } catch (error) {
      complain(error, 'no tasks could be taken; trying again')
      await pause(PAUSE_AFTER_FAILURE_MS)
      return []
    }
  }

  /** A transport that is away says so itself, once, and not at each try. */
  function complain(error: unknown, sentence: string): void {
    if (!(error instanceof TransportUnavailable)) log.warn({ error }, sentence)
  }

  /** What is doubtful waits until it has been asked for; nothing else waits for that. */
  async function beginCertain(taken: readonly Task[], takenSince: number): Promise<void> {
    const hasStoodStill = standstill.isSince(takenSince)
    const doubtful = hasStoodStill ? taken : taken.filter(({ again }) => again)
    if (doubtful.length === 0) return begin(taken)
    begin(taken.filter((task) => !doubtful.includes(task)))
    begin(await stillOwed(doubtful, hasStoodStill))
  }

  /**
   * Those that nobody else has, and that nobody has completed; what cannot be asked is left to its lease. A late answer
   * says nothing any more, and meanwhile the lease may have ended: then the lane is asked, too, whose they are.
   */
  async function stillOwed(doubtful: readonly Task[], mayBeLost: boolean): Promise<readonly Task[]> {
    if (doubtful.length === 0) return []
    const askedAt = clock.monotonic()
    const own = mayBeLost ? await stillOwn(doubtful) : doubtful
    const open = await uncompleted({ worker: name, store: parts.store, tasks, clock, log }, own)
    return isLate(askedAt) ? stillOwed(open, true) : open
  }

  const isLate = (since: number): boolean =>
    clock.monotonic() - since > LATEST_ANSWER_MS || standstill.isSince(since)

  async function stillOwn(taken: readonly Task[]): Promise<readonly Task[]> {
    try {
      const { lost } = await tasks.heartbeat(name, taken)
      return taken.filter(({ id }) => !lost.includes(id))
    } catch (error) {
      complain(
        error,
        'tasks were taken a while ago, and whose they are now could not be asked; they are left to their leases',
      )
      return []
    }
  }

  const pause = (ms: number): Promise<void> => new Promise((resolve) => clock.after(ms, resolve))

  function begin(taken: readonly Task[]): void {
    if (taken.length === 0) return
    const unwanted = taken.filter(
      (task) => state.kind === 'stopping' || registry.get(task.type) === undefined,
    )
    if (unwanted.length > 0) handBack(unwanted)
    const wanted = unwanted.length === 0 ? taken : taken.filter((task) => !unwanted.includes(task))
    const at = clock.now()
    live.publish(
      wanted.map(({ runId, workspace, key, attempt }) => ({
        kind: 'attempt',
        runId,
        workspace,
        key,
        attempt,
        state: 'started',
        at,
      })),
    )
    for (const task of wanted) perform(task)
  }

  function perform(task: Task): void {
    const type = registry.get(task.type)
    // A task that the lane forgot and was given again already runs here; its heartbeat takes the lease back.
    if (type === undefined || active.has(task.id)) return
    const use = slots.use(task.type)
    use.active++
    let told = false
    // An attempt whose config is refused ends before its constructor returns.
    const attempt = new Attempt(task, type, means, (ended, signal) => {
      told = true
      active.delete(ended.task.id)
      use.active--
      use.stubborn++
      if (signal !== null) reporter.add({ taskId: task.id, runId: task.runId, signal })
      offerSlot(task.type)
      if (active.size === 0) for (const listener of idleListeners) listener()
    })
    if (!told) active.set(task.id, attempt)
    attempt.ended.then(() => {
      use.stubborn--
      offerSlot(task.type)
    })
  }

  /** A type that was full when the wait for tasks began is not in it: the wait begins anew. */
  function offerSlot(type: string): void {
    if (taking !== null && !taking.capacity.has(type) && slots.free(type) > 0)
      taking.controller.abort(TAKE_AGAIN)
  }

  function handBack(unwanted: readonly Task[]): void {
    tasks.handBack(unwanted.map(({ id }) => id)).catch((error) => {
      log.warn(
        { error, tasks: unwanted.length },
        'tasks could not be handed back; they are free again when their lease ends',
      )
    })
  }

  async function heartbeat(): Promise<void> {
    if (active.size === 0) return
    const { abort, lost } = await tasks.heartbeat(
      name,
      [...active.values()].map(({ task }) => task),
    )
    for (const taskId of lost) active.get(taskId)?.forsake()
    for (const taskId of abort) active.get(taskId)?.halt()
  }

  function heartbeatLater(): void {
    withdrawHeartbeat = clock.after(HEARTBEAT_EVERY_MS, () => {
      heartbeat()
        .catch((error) => complain(error, 'a heartbeat failed'))
        .finally(() => {
          if (state.kind !== 'idle') heartbeatLater()
        })
    })
  }

  /** Resolves when no attempt is active, or after `ms`. */
  async function quiet(ms: number): Promise<void> {
    if (active.size === 0) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        idleListeners.delete(done)
        withdraw()
        resolve()
      }
      const withdraw = clock.after(ms, done)
      idleListeners.add(done)
    })
  }

  async function drain({ loop, unsubscribe }: Extract<State, { kind: 'running' }>): Promise<void> {
    taking?.controller.abort(TAKE_AGAIN)
    await loop
    await quiet(graceMs)
    for (const attempt of active.values()) attempt.shutDown()
    await quiet(LAST_GRACE_MS)
    for (const attempt of [...active.values()]) attempt.abandon()
    unsubscribe()
    await Promise.race([reporter.drained(), pause(LAST_GRACE_MS)])
    withdrawHeartbeat()
    state = { kind: 'idle' }
  }

  return {
    name: 'worker',
    tick: heartbeat,
    types,
    load: () => types().map((type) => ({ type, active: slots.use(type).active, limit: slots.limit(type) })),

    async start() {
      if (state.kind !== 'idle') return
      const endings = [
        live.subscribe((message) => {
          if (message.kind !== 'halted') return
          for (const attempt of active.values()) if (attempt.task.runId === message.runId) attempt.halt()
        }),
        // A type that is new since the wait for tasks began is not in it either.
        registry.onChange(() => taking?.controller.abort(TAKE_AGAIN)),
      ]
      endings.push(standstill.watch())
      const unsubscribe = (): void => endings.forEach((end) => void end())
      state = { kind: 'running', loop: Promise.resolve().then(takeTurns), unsubscribe }
      heartbeatLater()
    },

    async stop() {
      if (state.kind === 'running') {
        const running = state
        // The state changes before the first step of the drain.
        state = { kind: 'stopping', stopped: Promise.resolve().then(() => drain(running)) }
      }
      if (state.kind === 'stopping') await state.stopped
    },
  }
}
