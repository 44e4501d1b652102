/**
 * A coordinator over a real PostgreSQL and the transport of the stack. The worker is the test: it takes tasks and says how they
 * ended. The owner's session passes through a hook, so that a test can make the database fail at a chosen moment.
 */
import { randomUUID } from 'node:crypto'
import {
  CONTROL_NODE_TYPES,
  type Command,
  compile,
  fold,
  type Graph,
  type Json,
  type JsonObject,
  type NodeTypeInfo,
  type NodeTypes,
  normaliseDefinition,
  type RunEvent,
  type RunState,
  type Signal,
  type Task,
} from '@weft/engine'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import { type Coordinator, createCoordinator } from '../../src/coordinator/coordinator.ts'
import type { Engine } from '../../src/coordinator/engine.ts'
import { createGraphCatalog, type GraphCatalog } from '../../src/graphs.ts'
import { createMetrics } from '../../src/metrics.ts'
import { logNode } from '../../src/nodes/log.ts'
import { openStore } from '../../src/store/postgres.ts'
import type { OwnerSession, RunAppend, Store } from '../../src/store/store.ts'
import type { LiveMessage, Transport } from '../../src/transport/transport.ts'
import { testDatabase } from '../postgres.ts'
import { stackTransport } from '../stack.ts'
import { type ManualClock, manualClock } from './manual-clock.ts'

const { output: _schema, ...described } = logNode.info
/** A task whose output may be anything. */
const ACT: NodeTypeInfo = { ...described, type: 'act', effect: 'write' }

export const TYPES: NodeTypes = new Map(
  [...CONTROL_NODE_TYPES, logNode.info, ACT].map((info) => [info.type, info]),
)

/** Stands before and after each append; what it throws, the coordinator gets. */
export interface AppendHook {
  before?(batch: readonly RunAppend[]): Promise<void> | void
  after?(batch: readonly RunAppend[]): Promise<void> | void
}

export interface WorldSettings {
  readonly hook?: AppendHook
  readonly engine?: Engine
  readonly cacheBytes?: number
  readonly isSharing?: boolean
}

export class World {
  readonly clock: ManualClock = manualClock()
  readonly transport: Transport
  readonly store: Store
  readonly graphs: GraphCatalog
  readonly live: LiveMessage[] = []
  readonly #watchers = new Set<(message: LiveMessage) => void>()
  /** The sessions that the coordinator opened, the newest last. */
  readonly sessions: OwnerSession[] = []
  /** The process is gone: no session is opened any more. */
  isDead = false
  readonly #rawStore: Store
  coordinator: Coordinator

  constructor(store: Store, clock: ManualClock, settings: WorldSettings, transport: Transport) {
    this.clock = clock
    this.#rawStore = store
    this.store = this.#hooked(settings.hook ?? {})
    this.transport = transport
    this.graphs = createGraphCatalog(store, () => TYPES)
    this.transport.live.subscribe((message) => {
      this.live.push(message)
      for (const watcher of this.#watchers) watcher(message)
    })
    this.coordinator = createCoordinator({
      store: this.store,
      transport: this.transport,
      graphs: this.graphs,
      types: () => TYPES,
      clock,
      log: pino({ level: 'silent' }),
      metrics: createMetrics().coordinator,
      name: 'test coordinator',
      isSharing: settings.isSharing ?? false,
      ...(settings.engine ? { engine: settings.engine } : {}),
      ...(settings.cacheBytes === undefined ? {} : { cacheBytes: settings.cacheBytes }),
    })
  }

  get rawStore(): Store {
    return this.#rawStore
  }

  #hooked(hook: AppendHook): Store {
    const store = this.#rawStore
    return {
      ...store,
      openOwner: async (name) => {
        if (this.isDead) return new Promise<never>(() => {})
        const session = await store.openOwner(name)
        const wrapped: OwnerSession = {
          ...session,
          async append(batch) {
            await hook.before?.(batch)
            await session.append(batch)
            await hook.after?.(batch)
          },
        }
        this.sessions.push(wrapped)
        return wrapped
      },
    }
  }

  /** Starts the coordinator; the clock runs while it waits for somebody's locks to go. */
  async start(): Promise<void> {
    let isStarted = false
    const started = this.coordinator.start().finally(() => {
      isStarted = true
    })
    // Handled below; until then the loop waits for it.
    started.catch(() => {})
    while (!isStarted) {
      await this.#rawStore.ping()
      this.clock.advance(1)
    }
    await started
  }

  /** What the API does for `POST /runs`. */
  async begin(
    definition: JsonObject | Graph,
    input: Json = {},
    runId: string = randomUUID(),
  ): Promise<string> {
    const graph =
      'hash' in definition ? (definition as Graph) : this.graphs.add(compiled(definition as JsonObject))
    await this.graphs.ensureStored(graph)
    const started: Extract<RunEvent, { type: 'run.started' }> = {
      type: 'run.started',
      at: this.clock.now(),
      graph: graph.hash,
      input,
      labels: {},
      workflow: { name: graph.definition.name, version: null },
      vars: {},
      actor: 'test',
    }
    const name = graph.definition.name
    await this.store.runs.begin({
      id: runId,
      workspace: 'default',
      workflow: name,
      version: null,
      graph: graph.hash,
      started,
    })
    await this.transport.signals.send([{ runId, signal: { kind: 'begun', workspace: 'default', started } }])
    return runId
  }

  /** What the API does for a command; resolves to the verdict. */
  async command(runId: string, command: Command, id: string = randomUUID()) {
    const told = this.message((message) => message.kind === 'verdict' && message.commandId === id)
    await this.store.inbox.insert({ id, runId, actor: 'ann', command, workspace: 'default' })
    await this.transport.signals.send([{ runId, signal: { kind: 'look' } }])
    await told
    return this.store.inbox.verdict(id)
  }

  /** The next live message of this kind. */
  message(wanted: (message: LiveMessage) => boolean): Promise<LiveMessage> {
    return new Promise((resolve) => {
      const watcher = (message: LiveMessage): void => {
        if (!wanted(message)) return
        this.#watchers.delete(watcher)
        resolve(message)
      }
      this.#watchers.add(watcher)
    })
  }

  /** Resolves once the run has published an event of this type, now or earlier. */
  async event(runId: string, type: RunEvent['type'], key?: string): Promise<void> {
    const isIt = (message: LiveMessage): boolean => {
      if (message.kind !== 'event' || message.runId !== runId) return false
      const event = message.event as RunEvent
      return event.type === type && (key === undefined || ('key' in event && event.key === key))
    }
    if (!this.live.some(isIt)) await this.message(isIt)
  }

  /** Takes exactly this many tasks. */
  async take(count = 1): Promise<Task[]> {
    const tasks: Task[] = []
    const capacity = () =>
      new Map([
        ['log', count - tasks.length],
        ['act', count - tasks.length],
      ])
    while (tasks.length < count) {
      const taken = await this.transport.tasks.take('hands', capacity(), new AbortController().signal)
      tasks.push(...taken.map(({ task }) => task))
    }
    return tasks
  }

  /** Tasks that stand in the lane now. */
  async queued(): Promise<number> {
    const lanes = await this.transport.tasks.depth()
    return lanes.reduce((sum, { waiting }) => sum + waiting, 0)
  }

  complete(task: Task, output: Json = { done: task.key }): Promise<void> {
    return this.report(task, {
      kind: 'completed',
      ...named(task),
      output,
      startedAt: this.clock.now(),
      worker: 'hands',
    })
  }

  fail(task: Task, retryable: boolean): Promise<void> {
    const error = { code: 'broken', message: 'it broke', retryable }
    return this.report(task, {
      kind: 'failed',
      ...named(task),
      error,
      startedAt: this.clock.now(),
      worker: 'hands',
    })
  }

  report(task: Task, signal: Signal): Promise<void> {
    return this.transport.tasks.report('hands', [{ taskId: task.id, runId: task.runId, signal }])
  }

  /** Takes and completes whatever comes until the run has ended. */
  async finish(
    runId: string,
    endings: readonly RunEvent['type'][] = ['run.completed', 'run.failed', 'run.cancelled'],
  ): Promise<void> {
    const controller = new AbortController()
    const ended = Promise.race(endings.map((type) => this.event(runId, type)))
    void ended.then(() => controller.abort())
    this.#compareWithLog(runId, endings, controller)
    while (!controller.signal.aborted) {
      const taken = await this.transport.tasks.take(
        'hands',
        new Map([
          ['log', 50],
          ['act', 50],
        ]),
        controller.signal,
      )
      for (const { task } of taken) await this.complete(task)
    }
  }

  /** A live message may be lost, as one is when the session breaks behind a commit: who follows looks into the log too. */
  #compareWithLog(runId: string, endings: readonly RunEvent['type'][], ended: AbortController): void {
    this.clock.after(COMPARE_EVERY_MS, () => {
      if (ended.signal.aborted) return
      void this.events(runId).then((events) => {
        if (events.some(({ type }) => endings.includes(type))) ended.abort()
        else this.#compareWithLog(runId, endings, ended)
      })
    })
  }

  async events(runId: string): Promise<RunEvent[]> {
    const stored = await this.store.runs.events({ runId, afterSeq: 0, limit: 10_000 })
    return stored.map(({ event }) => event)
  }

  async types(runId: string): Promise<string[]> {
    return (await this.events(runId)).map((event) =>
      'key' in event ? `${event.type} ${event.key}` : event.type,
    )
  }

  async status(runId: string): Promise<string | undefined> {
    return (await this.store.runs.get({ workspace: 'default', id: runId }))?.status
  }

  async row(runId: string) {
    const row = await this.store.runs.get({ workspace: 'default', id: runId })
    if (!row) throw new Error(`no run ${runId}`)
    return row
  }

  /** The log folded anew. */
  async folded(runId: string): Promise<RunState> {
    const events = await this.events(runId)
    const graphs = new Map<string, Graph>()
    for (const event of events) {
      const hash =
        event.type === 'run.started' ? event.graph : event.type === 'run.patched' ? event.after : null
      if (hash) graphs.set(hash, await this.graphs.get(hash))
    }
    return fold(runId, events, (hash) => graphs.get(hash) as Graph)
  }

  /** Time passes, and the coordinator has done what that called for. */
  async pass(ms: number): Promise<void> {
    this.clock.advance(ms)
    await this.coordinator.tick()
  }
}

const COMPARE_EVERY_MS = 5_000

const named = ({ key, round, attempt }: Task) => ({ key, round, attempt })

/** A world with an empty database; everything is stopped when the test ends. */
export async function world(settings: WorldSettings = {}): Promise<World> {
  const database = await testDatabase()
  const clock = manualClock()
  const store = await openStore({ url: database.url, clock, applicationName: 'weft test', poolSize: 4 })
  const created = new World(store, clock, settings, await stackTransport({ clock }))
  onTestFinished(async () => {
    await created.coordinator.stop()
    await created.transport.close()
    await store.close()
    await database.drop()
  })
  await created.start()
  return created
}

/**
 * The process of this world is killed and another one takes over its database: a new coordinator with an empty memory
 * and an empty transport. What the killed one still does goes nowhere.
 */
export async function killAndTakeOver(killed: World, settings: WorldSettings = {}): Promise<World> {
  killed.isDead = true
  for (const session of killed.sessions) await session.close()
  const { rawStore, clock } = killed
  const next = new World(rawStore, clock, settings, await stackTransport({ clock }))
  onTestFinished(async () => {
    await next.coordinator.stop()
    await next.transport.close()
  })
  await next.start()
  return next
}

export function compiled(definition: JsonObject): Graph {
  const normal = normaliseDefinition({ weft: 1, name: 'test', ...definition })
  if (!normal.ok) throw new Error(JSON.stringify(normal.problems))
  const result = compile(normal.definition, TYPES)
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.graph
}

/** Three steps in a row. */
export const CHAIN: JsonObject = {
  nodes: {
    a: { type: 'log', with: { message: 'a' } },
    b: { type: 'log', needs: 'a', with: { message: 'b' } },
    c: { type: 'log', needs: 'b', with: { message: 'c' } },
  },
}
