/**
 * The only place that constructs things: configuration in, a running Weft out.
 *
 * Parts start from the ground up (database, store, transport, coordinator, worker, API) and stop the other way round: the
 * API stops taking, the worker drains, the coordinator commits what is left. The data directory's `server.json` says from
 * the first moment who is serving it.
 */
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { isDeepStrictEqual } from 'node:util'
import type { NodeTypeInfo, NodeTypes } from '@weft/engine'
import packageJson from '../package.json' with { type: 'json' }
import type { Api } from './api/app.ts'
import { type SystemClock, systemClock } from './clock.ts'
import type { Config } from './config.ts'
import { createGraphCatalog, type GraphCatalog } from './graphs.ts'
import { createIdleMemory, ownHeap } from './idle-memory.ts'
import { createLog, type Log } from './log.ts'
import { portInUse, requireFreePort } from './port.ts'
import { ensureApiKey, ensureMasterKeys, refuseSecondServer, writeServerFile } from './server-file.ts'
import type { Service } from './service.ts'
import type { StopSignals } from './stop-signals.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './store/embedded.ts'
import { openStore } from './store/postgres.ts'
import type { Store } from './store/store.ts'
import { memoryTransport } from './transport/memory.ts'
import { memoryRateLimiter, type RateLimiter } from './transport/rate-limiter.ts'
import type { Transport } from './transport/transport.ts'
import { createUpkeep, followDatabaseClock } from './upkeep.ts'
import type { MasterKeys } from './vault/master-keys.ts'
import type { Vault } from './vault/vault.ts'

export const VERSION: string = packageJson.version
export const DEFAULT_WORKSPACE = 'default'
const POOL_SIZE = 10
/** Long for a worker of this process, which only misses it when it hangs; short for a program that was killed. */
const LEASE_MS = 15_000

export interface StartOptions {
  readonly clock?: SystemClock
  readonly log?: Log
  /** What takes a moment at the start, for the person who waits. */
  readonly progress?: (message: string) => void
}

export interface Weft {
  /** Where the API answers. */
  readonly url: string
  readonly apiKey: string
  readonly config: Config
  readonly database: {
    /** Of the server, such as `18.4`. */
    readonly version: string
    /** Weft brought it. */
    readonly isEmbedded: boolean
    readonly settings: Readonly<Record<string, string>>
  }
  /** From the call of `startWeft` until everything was ready. */
  readonly readyAfterMs: number
  /** The way of `POST /runs` within the process. */
  readonly submit: Api['submit']
  readonly store: Store
  readonly transport: Transport
  /** Resolves when everything has ended; may be called again. */
  stop(): Promise<void>
}

/** Starts everything, or rejects with a sentence for the person at the terminal and leaves nothing behind. */
export async function startWeft(config: Config, options: StartOptions = {}): Promise<Weft> {
  const clock = options.clock ?? systemClock()
  const log = options.log ?? createLog({ level: config.logLevel, format: config.logFormat })
  const began = clock.monotonic()
  const started = new Started(log)
  try {
    // Modules that take a while to load do so while the database starts.
    const modules = loadModules()
    modules.catch(() => {})
    await mkdir(config.dataDirectory, { recursive: true, mode: 0o700 })
    await refuseSecondServer(config.dataDirectory, clock)
    await requireFreePort(config)
    const file = {
      url: `http://${bracketed(config.host)}:${config.port}`,
      pid: process.pid,
      startedAt: Math.round(clock.now()),
    }
    started.add('server.json', await writeServerFile(config.dataDirectory, { ...file, starting: true }))

    const embedded =
      config.databaseUrl === null ? await startDatabase(config, clock, log, options.progress) : null
    if (embedded) started.add('PostgreSQL', () => embedded.stop())
    const name = `${hostname()}-${process.pid}`
    const store = await openStore({
      url: embedded?.url ?? (config.databaseUrl as string),
      clock,
      applicationName: `weft ${name}`,
      poolSize: POOL_SIZE,
      log,
    })
    started.add('store', () => store.close())
    await followDatabaseClock(store, clock)
    const { transport, rateLimiter } = await openTransport(config, store, clock, log)
    started.add('transport', () => transport.close())

    const parts = await construct(config, {
      store,
      transport,
      rateLimiter,
      clock,
      log,
      name,
      modules: await modules,
      masterKeys: await ensureMasterKeys(config.dataDirectory, config.masterKeys, clock),
    })
    await resealCredentials(parts.vault, log)
    started.add('egress', () => parts.egress.close())
    started.add('sandbox', () => parts.builtIn.close())
    const apiKey = await ensureApiKey(config.dataDirectory, config.apiKey, clock)
    await parts.registerKey(apiKey)
    for (const service of [parts.upkeep, parts.idleMemory, parts.coordinator, parts.worker]) {
      await started.start(service)
    }
    started.add('node types', parts.watchNodes())
    await started.start(parts.api).catch((error: unknown) => {
      throw portInUse(error, config) ?? error
    })
    const url = parts.api.url()
    await writeServerFile(config.dataDirectory, { ...file, url })
    const { version, settings } = await store.describe()
    return {
      url,
      apiKey,
      config,
      database: { version, isEmbedded: embedded !== null, settings },
      readyAfterMs: clock.monotonic() - began,
      submit: parts.api.submit,
      store,
      transport,
      stop: () => started.stop(),
    }
  } catch (error) {
    await started.stop()
    throw error
  }
}

function startDatabase(
  config: Config,
  clock: SystemClock,
  log: Log,
  progress: ((message: string) => void) | undefined,
): Promise<EmbeddedPostgres> {
  const database = log.child({ part: 'database' })
  return startEmbeddedPostgres({
    dataDirectory: config.dataDirectory,
    clock,
    log: (message) => database.warn(message),
    ...(progress ? { progress } : {}),
  })
}

type Modules = Awaited<ReturnType<typeof loadModules>>

async function loadModules() {
  const [api, auth, coordinator, egress, metrics, nodes, registry, vault, credentials, external, worker] =
    await Promise.all([
      import('./api/app.ts'),
      import('./api/auth.ts'),
      import('./coordinator/coordinator.ts'),
      import('./egress/egress.ts'),
      import('./metrics.ts'),
      import('./nodes/built-in.ts'),
      import('./nodes/registry.ts'),
      import('./vault/vault.ts'),
      import('./worker/credentials.ts'),
      import('./worker/external.ts'),
      import('./worker/worker.ts'),
    ])
  return {
    ...api,
    ...auth,
    ...coordinator,
    ...egress,
    ...metrics,
    ...nodes,
    ...registry,
    ...vault,
    ...credentials,
    ...external,
    ...worker,
  }
}

/** In memory for one process, on Redis where one is given; with it what counts calls: of this process, or of all. */
async function openTransport(
  config: Config,
  store: Store,
  clock: SystemClock,
  log: Log,
): Promise<{ readonly transport: Transport; readonly rateLimiter: RateLimiter }> {
  if (config.redisUrl === null) {
    return {
      transport: memoryTransport({ clock, leaseMs: LEASE_MS }),
      rateLimiter: memoryRateLimiter({ clock }),
    }
  }
  const { redisTransport } = await import('./transport/redis.ts')
  // Two installations on one Redis must not take each other's tasks.
  const { databaseId } = await store.describe()
  const prefix = `weft:${databaseId.slice(0, 12)}:`
  const transport = await redisTransport({ url: config.redisUrl, prefix, clock, log, leaseMs: LEASE_MS })
  return { transport, rateLimiter: transport.rateLimiter }
}

interface Ground {
  readonly store: Store
  readonly transport: Transport
  readonly rateLimiter: RateLimiter
  readonly clock: SystemClock
  readonly log: Log
  readonly name: string
  readonly modules: Modules
  readonly masterKeys: MasterKeys
}

async function construct(config: Config, ground: Ground) {
  const { store, transport, rateLimiter, clock, log, name, modules, masterKeys } = ground
  const metrics = modules.createMetrics()
  metrics.observe({ queues: () => transport.tasks.depth(), runs: () => store.runs.counts() })
  const egress = modules.createEgress({ allow: config.egressAllow })
  const builtIn = modules.builtInNodes({ clock, codeThreads: config.workerConcurrency.get('code') ?? 1 })
  const registry = modules.createRegistry({
    builtIn: builtIn.types,
    ...(config.nodesFolder === null ? {} : { folder: config.nodesFolder }),
  })
  const nodesLog = log.child({ part: 'nodes' })
  for (const { file, message } of await registry.load()) nodesLog.error({ file }, message)
  const types = await knownTypes(store, clock, registry)
  const graphs: GraphCatalog = createGraphCatalog(store, types.current)
  const coordinator = modules.createCoordinator({
    store,
    transport,
    graphs,
    types: types.current,
    clock,
    log,
    metrics: metrics.coordinator,
    name: `${name} coordinator`,
    isSharing: transport.kind !== 'memory',
  })
  const vault = new modules.Vault({ store, clock, keys: masterKeys })
  const environmentCredentials = modules.environmentCredentials(config.credentials)
  const worker = modules.createWorker({
    name,
    transport,
    store,
    registry,
    credentials: modules.allCredentials(environmentCredentials, vault, clock),
    egress,
    clock,
    log,
    concurrency: config.workerConcurrency,
  })
  const externalTasks = modules.createExternalTasks({
    transport,
    store,
    registry,
    types,
    workspace: DEFAULT_WORKSPACE,
    leaseMs: LEASE_MS,
    clock,
    log,
  })
  const api = modules.createApi({
    settings: { host: config.host, port: config.port, version: VERSION, corsOrigins: config.corsOrigins },
    store,
    transport,
    clock,
    log: log.child({ part: 'api' }),
    metrics,
    graphs,
    vault,
    environmentCredentials,
    nodeTypes: {
      current: types.current,
      served: () => new Set([...registry.names(), ...externalTasks.served()]),
    },
    externalTasks,
    trouble: coordinator.trouble,
    rateLimits: config.rateLimits,
    rateLimiter,
  })
  return {
    egress,
    builtIn,
    coordinator,
    worker,
    api,
    vault,
    upkeep: createUpkeep({ store, clock, log, retentionMs: config.retentionMs }),
    idleMemory: createIdleMemory({ clock, heap: ownHeap() }),
    async registerKey(apiKey: string): Promise<void> {
      const hash = modules.hashApiKey(apiKey)
      await store.keys.ensure({
        workspace: DEFAULT_WORKSPACE,
        hash,
        name: 'first',
        role: 'admin',
        at: clock.now(),
      })
    },
    watchNodes(): () => void {
      if (!config.watchNodes) return () => {}
      return registry.watch(clock, (file, problems) => {
        if (problems.length === 0) nodesLog.info({ file }, 'node types were loaded again')
        for (const problem of problems) nodesLog.error({ file: problem.file }, problem.message)
      })
    },
  }
}

/** Ends the change of a master key: what an older one encrypted is encrypted under the new one. */
async function resealCredentials(vault: Vault, log: Log): Promise<void> {
  const { count, unreadable } = await vault.reseal()
  if (count > 0)
    log.info(
      { part: 'credentials', count },
      'credentials were encrypted again, under the first master key; the older ones are no longer needed',
    )
  if (unreadable.length > 0)
    log.warn(
      { part: 'credentials', names: unreadable.map(({ name }) => name) },
      'stored credentials are encrypted under a master key that this server does not have: steps that name them fail until it has it (WEFT_MASTER_KEY=<new>,<old>), or until they are rotated',
    )
}

/** The types of this process, and those that workers before it have left in the store: their steps wait, they do not fail. */
async function knownTypes(
  store: Store,
  clock: SystemClock,
  registry: { types(): NodeTypes; onChange(listener: () => void): () => void },
): Promise<{ current(): NodeTypes; add(types: readonly NodeTypeInfo[]): Promise<void> }> {
  const left = new Map(
    (await store.nodeTypes.list({ workspace: DEFAULT_WORKSPACE })).map((info) => [info.type, info]),
  )
  let current: NodeTypes = new Map()
  const merge = (): void => {
    const types = new Map<string, NodeTypeInfo>(left)
    for (const [type, info] of registry.types()) types.set(type, info)
    current = types
  }
  const register = (): Promise<void> => {
    const types = [...registry.types().values()].filter(({ kind }) => kind === 'task')
    return store.nodeTypes.register({ workspace: DEFAULT_WORKSPACE, types, at: clock.now() })
  }
  merge()
  await register()
  registry.onChange(() => {
    merge()
    register().catch(() => {
      // Registered again at the next change or start; this process knows them in any case.
    })
  })
  return {
    current: () => current,
    async add(infos) {
      const changed = infos.filter((info) => !isDeepStrictEqual(left.get(info.type), info))
      if (changed.length === 0) return
      await store.nodeTypes.register({ workspace: DEFAULT_WORKSPACE, types: changed, at: clock.now() })
      for (const info of changed) left.set(info.type, info)
      merge()
    },
  }
}

/** What is running, in the order in which it started; stops the other way round. */
class Started {
  readonly #log: Log
  readonly #stops: { readonly name: string; readonly stop: () => unknown }[] = []
  #stopping: Promise<void> | null = null

  constructor(log: Log) {
    this.#log = log
  }

  add(name: string, stop: () => unknown): void {
    this.#stops.push({ name, stop })
  }

  async start(service: Service): Promise<void> {
    // Also one that fails to start may hold something.
    this.add(service.name, () => service.stop())
    await service.start()
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll()
    return this.#stopping
  }

  async #stopAll(): Promise<void> {
    for (const { name, stop } of this.#stops.reverse()) {
      try {
        await stop()
      } catch (error) {
        this.#log.error({ error }, `${name} did not stop cleanly`)
      }
    }
  }
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)

/** Stops when it is asked to and resolves to the exit code: 0, or 1 when it was told not to wait. */
export async function untilStopped(weft: Weft, signals: StopSignals): Promise<number> {
  await signals.asked
  return Promise.race([weft.stop().then(() => 0), signals.hurried.then(() => 1)])
}
