/**
 * The API over a real PostgreSQL, the memory transport and a real coordinator, asked by injected requests. The worker is
 * the test: it takes tasks and says how they ended.
 */
import {
  CONTROL_NODE_TYPES,
  type Json,
  type JsonObject,
  type NodeTypeInfo,
  type NodeTypes,
  type Problem,
  type Task,
} from '@weft/engine'
import { pino } from 'pino'
import { afterAll, onTestFinished } from 'vitest'
import { type Api, createApi } from '../../src/api/app.ts'
import { hashApiKey } from '../../src/api/auth.ts'
import { type Clock, systemClock } from '../../src/clock.ts'
import { type Coordinator, createCoordinator } from '../../src/coordinator/coordinator.ts'
import { createGraphCatalog } from '../../src/graphs.ts'
import { createHealth } from '../../src/health.ts'
import { createMetrics } from '../../src/metrics.ts'
import { logNode } from '../../src/nodes/log.ts'
import type { RateLimits } from '../../src/rate-limits.ts'
import { openStore } from '../../src/store/postgres.ts'
import type { Store } from '../../src/store/store.ts'
import { memoryRateLimiter } from '../../src/transport/rate-limiter.ts'
import { LEASE_MS, type Transport } from '../../src/transport/transport.ts'
import { type MasterKeys, parseMasterKeys } from '../../src/vault/master-keys.ts'
import { Vault } from '../../src/vault/vault.ts'
import { environmentCredentials } from '../../src/worker/credentials.ts'
import { createExternalTasks, type ExternalParts } from '../../src/worker/external.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { stackTransport } from '../stack.ts'

const { output: _schema, ...described } = logNode.info
/** A task whose output may be anything, and which no worker of this process serves. */
const ACT: NodeTypeInfo = { ...described, type: 'act', effect: 'write', config: { type: 'object' } }
const AGENT: NodeTypeInfo = { ...ACT, type: 'agent' }
const TYPES: readonly NodeTypeInfo[] = [...CONTROL_NODE_TYPES, logNode.info, ACT, AGENT]

const MASTER_KEY = '0123456789abcdef'.repeat(4)

export interface Asked {
  readonly body?: unknown
  /** Sent as it is. */
  readonly text?: string
  readonly type?: string
  readonly key?: string | null
  readonly headers?: Readonly<Record<string, string>>
}

export interface Told {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of every shape
  readonly body: any
}

export interface ApiWorldSettings {
  /** Without one nothing is decided: commands stay unanswered. */
  readonly coordinator?: false
  readonly clock?: Clock
  /** How long a task is held without a heartbeat. */
  readonly leaseMs?: number
  /** None unless given. */
  readonly rateLimits?: RateLimits
  /** Pages of these origins may call. */
  readonly corsOrigins?: readonly string[]
  /** Stands between the API and the store. */
  readonly store?: (store: Store) => Store
}

export class ApiWorld {
  readonly api: Api
  readonly store: Store
  readonly transport: Transport
  readonly clock: Clock
  readonly coordinator: Coordinator | null
  readonly externalParts: ExternalParts
  /** Of this world alone: worlds of one file share a database. */
  readonly workspace: string
  readonly #keys = new Map<string, Promise<string>>()

  constructor(store: Store, transport: Transport, settings: ApiWorldSettings) {
    const clock = settings.clock ?? systemClock()
    const log = pino({ level: 'silent' })
    const metrics = createMetrics()
    this.clock = clock
    this.workspace = `w${clock.token(4)}`
    this.store = store
    const leaseMs = settings.leaseMs ?? LEASE_MS
    this.transport = transport
    let types: NodeTypes = new Map(TYPES.map((info) => [info.type, info]))
    const current = (): NodeTypes => types
    const graphs = createGraphCatalog(store, current)
    this.coordinator =
      settings.coordinator === false
        ? null
        : createCoordinator({
            store,
            transport: this.transport,
            graphs,
            types: current,
            clock,
            log,
            metrics: metrics.coordinator,
            name: 'api test',
          })
    this.externalParts = {
      transport: this.transport,
      store,
      registry: { get: (type) => (type === 'log' ? logNode : undefined) },
      types: {
        current,
        async add(infos) {
          types = new Map([...types, ...infos.map((info) => [info.type, info] as const)])
        },
      },
      workspace: this.workspace,
      leaseMs,
      clock,
      log,
    }
    const externalTasks = createExternalTasks(this.externalParts)
    const seen = settings.store?.(store) ?? store
    this.api = createApi({
      settings: { host: '127.0.0.1', port: 0, version: '0.0.0', corsOrigins: settings.corsOrigins ?? [] },
      store: seen,
      transport: this.transport,
      clock,
      log,
      metrics,
      graphs,
      vault: new Vault({ store, clock, keys: parseMasterKeys(MASTER_KEY) as MasterKeys }),
      environmentCredentials: environmentCredentials({ FROM_OUTSIDE: '{"token":"of the machine"}' }),
      nodeTypes: { current, served: async () => new Set(['log', ...externalTasks.served()]) },
      externalTasks,
      isHeld: () => false,
      health: createHealth({
        store: seen,
        transport: this.transport,
        clock,
        version: '0.0.0',
        roles: ['api'],
        trouble: () => null,
        isHeld: () => false,
      }),
      rateLimits: settings.rateLimits ?? { global: null, key: null, tiers: [] },
      rateLimiter: memoryRateLimiter({ clock }),
    })
  }

  /** A key of this role, made at the first use. */
  key(role = 'admin', workspace = this.workspace): Promise<string> {
    const name = `${workspace}-${role}`
    let key = this.#keys.get(name)
    if (key === undefined) {
      key = this.#makeKey(role, workspace)
      this.#keys.set(name, key)
    }
    return key
  }

  async #makeKey(role: string, workspace: string): Promise<string> {
    const key = `weft_${this.clock.token(12)}`
    await this.store.keys.ensure({ workspace, hash: hashApiKey(key), name: role, role, at: this.clock.now() })
    return key
  }

  async ask(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH',
    url: string,
    asked: Asked = {},
  ): Promise<Told> {
    const key = asked.key === undefined ? await this.key() : asked.key
    const payload = asked.text ?? (asked.body === undefined ? undefined : JSON.stringify(asked.body))
    const response = await this.api.app.inject({
      method,
      url,
      headers: {
        host: 'localhost',
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...(payload === undefined ? {} : { 'content-type': asked.type ?? 'application/json' }),
        ...asked.headers,
      },
      ...(payload === undefined ? {} : { payload }),
    })
    const isJson = String(response.headers['content-type'] ?? '').includes('json')
    return {
      status: response.statusCode,
      headers: response.headers,
      text: response.payload,
      body: isJson ? JSON.parse(response.payload) : undefined,
    }
  }

  get = (url: string, asked?: Asked): Promise<Told> => this.ask('GET', url, asked)
  post = (url: string, body?: unknown, asked?: Asked): Promise<Told> =>
    this.ask('POST', url, { ...(body === undefined ? {} : { body }), ...asked })

  /** Starts a run of these nodes and answers its id. */
  async run(nodes: JsonObject, extra: JsonObject = {}, rest: JsonObject = {}): Promise<string> {
    const { status, body } = await this.post('/runs', { definition: workflow(nodes, rest), ...extra })
    if (status !== 202) throw new Error(`not accepted: ${JSON.stringify(body)}`)
    return body.id
  }

  /** Resolves when the run's log has an event for which `isIt` is true. */
  async event(runId: string, isIt: (event: { type: string; key?: string }) => boolean): Promise<void> {
    await new Promise<void>((resolve) => {
      const unsubscribe = this.transport.live.subscribe((message) => {
        if (message.kind === 'event' && message.runId === runId && isIt(message.event as { type: string }))
          done()
      })
      const done = () => {
        unsubscribe()
        resolve()
      }
      void this.store.runs.events({ runId, afterSeq: 0, limit: 10_000 }).then((events) => {
        if (events.some(({ event }) => isIt(event))) done()
      })
    })
  }

  ended = (runId: string): Promise<void> =>
    this.event(runId, ({ type }) => /^run\.(completed|failed|cancelled)$/.test(type))
  waits = (runId: string): Promise<void> => this.event(runId, ({ type }) => type === 'step.waiting')

  /** The next task of this world; those that earlier tests of the file have left are let go. */
  async take(): Promise<Task> {
    const capacity = new Map([['act', 1]])
    for (;;) {
      const taken = await this.transport.tasks.take('hands', capacity, new AbortController().signal)
      const own = taken.find(({ task }) => task.workspace === this.workspace)
      if (own) return own.task
    }
  }

  complete({ id, runId, key, round, attempt }: Task, output: Json): Promise<void> {
    const signal = {
      kind: 'completed',
      key,
      round,
      attempt,
      output,
      startedAt: this.clock.now(),
      worker: 'hands',
    } as const
    return this.transport.tasks.report('hands', [{ taskId: id, runId, signal }])
  }

  fail({ id, runId, key, round, attempt }: Task, retryable = false): Promise<void> {
    const error = { code: 'broken', message: 'it broke', retryable }
    const signal = {
      kind: 'failed',
      key,
      round,
      attempt,
      error,
      startedAt: this.clock.now(),
      worker: 'hands',
    } as const
    return this.transport.tasks.report('hands', [{ taskId: id, runId, signal }])
  }

  async end(): Promise<void> {
    await this.api.stop()
    await this.coordinator?.stop()
    await this.transport.close()
  }

  async count(): Promise<number> {
    return (await this.store.runs.list({ workspace: this.workspace, limit: 500 })).items.length
  }
}

export const workflow = (nodes: JsonObject, rest: JsonObject = {}): JsonObject => ({
  weft: 1,
  name: 'tested',
  nodes,
  ...rest,
})

export const ACTS: JsonObject = { act: { type: 'act', retry: 'off' } }
export const ASKS: JsonObject = { ask: { type: 'approval', with: { title: 'Go on?' } } }

export const codes = (told: Told): string[] => told.body.problems.map((problem: Problem) => problem.code)

let shared: Promise<{ database: TestDatabase; store: Store }> | null = null

/** One database for the tests of a file: each has a workspace of its own in it. */
function sharedStore(): Promise<{ database: TestDatabase; store: Store }> {
  shared ??= (async () => {
    const database = await testDatabase()
    const log = pino({ level: 'silent' })
    const store = await openStore({
      url: database.url,
      clock: systemClock(),
      applicationName: 'api test',
      poolSize: 5,
      log,
    })
    return { database, store }
  })()
  return shared
}

afterAll(async () => {
  const open = await shared
  await open?.store.close()
  await open?.database.drop()
})

/** A world for one test; everything ends with it. */
export async function apiWorld(settings: ApiWorldSettings = {}): Promise<ApiWorld> {
  const world = await startedWorld(settings)
  onTestFinished(() => world.end())
  return world
}

/** A world that outlives a test: who starts it ends it. */
export async function startedWorld(settings: ApiWorldSettings = {}): Promise<ApiWorld> {
  const { store } = await sharedStore()
  const { clock = systemClock(), leaseMs = LEASE_MS } = settings
  const world = new ApiWorld(store, await stackTransport({ clock, leaseMs }), { ...settings, clock, leaseMs })
  await world.coordinator?.start()
  return world
}
