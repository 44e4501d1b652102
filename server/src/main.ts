/**
 * The only place that constructs things: configuration in, a running Weft out.
 *
 * Parts start from the ground up (database, store, transport, coordinator, worker, API) and stop the other way round: the
 * API stops taking, the worker drains, the coordinator commits what is left. The data directory's `server.json` says from
 * the first moment who is serving it.
 */
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import packageJson from '../package.json' with { type: 'json' }
import type { Api } from './api/app.ts'
import { type SystemClock, systemClock } from './clock.ts'
import type { Config } from './config.ts'
import { createGraphCatalog, type GraphCatalog } from './graphs.ts'
import { createHealth } from './health.ts'
import { createHold, heldTransport } from './hold.ts'
import { createIdleMemory, ownHeap } from './idle-memory.ts'
import { createKnownTypes } from './known-types.ts'
import { createLog, type Log } from './log.ts'
import { createOpsServer } from './ops-server.ts'
import { portInUse, requireFreePort } from './port.ts'
import { listQueues } from './queues.ts'
import { createRollCall } from './roll-call.ts'
import {
  ensureApiKey,
  ensureMasterKeys,
  liveServer,
  refuseSecondServer,
  writeServerFile,
} from './server-file.ts'
import type { Service } from './service.ts'
import { Started } from './started.ts'
import type { StopSignals } from './stop-signals.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './store/embedded.ts'
import { openStore } from './store/postgres.ts'
import type { Store } from './store/store.ts'
import { memoryTransport } from './transport/memory.ts'
import { memoryRateLimiter, type RateLimiter } from './transport/rate-limiter.ts'
import { LEASE_MS, type Transport } from './transport/transport.ts'
import { createUpkeep, followDatabaseClock } from './upkeep.ts'
import type { MasterKeys } from './vault/master-keys.ts'
import type { Vault } from './vault/vault.ts'

export const VERSION: string = packageJson.version
export const DEFAULT_WORKSPACE = 'default'

export interface StartOptions {
  readonly clock?: SystemClock
  readonly log?: Log
  /** What takes a moment at the start, for the person who waits. */
  readonly progress?: (message: string) => void
}

export interface Weft {
  /** Where the API answers; without that role, where health and metrics do. */
  readonly url: string
  /** Where health and metrics answer. */
  readonly opsUrl: string
  /** Empty without the api role. */
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
  /** The way of `POST /runs` within the process, which needs the api role. */
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
    await mkdir(config.dataDirectory, { recursive: true, mode: 0o700 })
    const file = {
      url: `http://${bracketed(config.host)}:${config.port}`,
      pid: process.pid,
      startedAt: Math.round(clock.now()),
    }
    // With everything elsewhere, several processes may have their keys in one folder.
    const isShared = config.databaseUrl !== null && config.redisUrl !== null
    const { host } = config
    if (config.roles.has('api')) await requireFreePort({ host, port: config.port, variable: 'WEFT_PORT' })
    if (config.opsPort !== null)
      await requireFreePort({ host, port: config.opsPort, variable: 'WEFT_OPS_PORT' })
    if (!isShared) {
      await refuseSecondServer(config.dataDirectory, clock)
      started.add('server.json', await writeServerFile(config.dataDirectory, { ...file, starting: true }))
    }

    // Loading the rest holds this process up for a while: it does so while the database starts.
    let loading: Promise<Modules> | undefined
    const load = (): Promise<Modules> => {
      loading ??= loadModules()
      loading.catch(() => {})
      return loading
    }
    const embedded =
      config.databaseUrl === null ? await startDatabase(config, clock, log, options.progress, load) : null
    void load()
    if (embedded) started.add('PostgreSQL', () => embedded.stop())
    const name = `${hostname()}-${process.pid}`
    const store = await openStore({
      url: embedded?.url ?? (config.databaseUrl as string),
      clock,
      applicationName: `weft ${name}`,
      poolSize: config.databasePool,
      statementTimeoutMs: config.databaseTimeoutMs,
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
      modules: await load(),
      masterKeys: await ensureMasterKeys(config.dataDirectory, config.masterKeys, clock),
    })
    if (parts.api || parts.worker) await resealCredentials(parts.vault, log)
    started.add('egress', () => parts.egress.close())
    started.add('sandbox', () => parts.builtIn.close())
    const apiKey = parts.api ? await ensureApiKey(config.dataDirectory, config.apiKey, clock) : null
    if (apiKey !== null) await parts.registerKey(apiKey)
    for (const service of parts.services) await started.start(service)
    started.add('node types', parts.watchNodes())
    for (const { service, port, variable } of parts.listeners) {
      await started.start(service).catch((error: unknown) => {
        throw portInUse(error, { host, port, variable }) ?? error
      })
    }
    const opsUrl = parts.ops?.url() ?? (parts.api as Api).url()
    const url = parts.api?.url() ?? opsUrl
    if (!isShared) await writeServerFile(config.dataDirectory, { ...file, url })
    else if (parts.api && (await liveServer(config.dataDirectory)) === null)
      started.add('server.json', await writeServerFile(config.dataDirectory, { ...file, url }))
    const { version, settings } = await store.describe()
    return {
      url,
      opsUrl,
      apiKey: apiKey ?? '',
      config,
      database: { version, isEmbedded: embedded !== null, settings },
      readyAfterMs: clock.monotonic() - began,
      submit: parts.api?.submit ?? refuseSubmit,
      store,
      transport,
      stop: () => started.stop(),
    }
  } catch (error) {
    await started.stop()
    throw error
  }
}

const refuseSubmit: Api['submit'] = () =>
  Promise.reject(new Error('this process has no api role: submit where one runs'))

function startDatabase(
  config: Config,
  clock: SystemClock,
  log: Log,
  progress: ((message: string) => void) | undefined,
  launched: () => void,
): Promise<EmbeddedPostgres> {
  const database = log.child({ part: 'database' })
  return startEmbeddedPostgres({
    dataDirectory: config.dataDirectory,
    clock,
    log: (message) => database.warn(message),
    launched,
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
  const { store, rateLimiter, clock, log, name, modules, masterKeys } = ground
  const hold = config.startPaused ? createHold({ store, clock, log, name }) : null
  const isHeld = (): boolean => hold?.isHeld() ?? false
  const transport = hold ? heldTransport(ground.transport, hold) : ground.transport
  const metrics = modules.createMetrics()
  metrics.observe({
    queues: () => listQueues({ store, transport, clock }),
    signals: () => transport.signals.lag(),
    runs: () => store.runs.counts(),
  })
  const egress = modules.createEgress({ allow: config.egressAllow })
  const builtIn = modules.builtInNodes({ clock, codeThreads: config.workerConcurrency.get('code') ?? 1 })
  const registry = modules.createRegistry({
    builtIn: builtIn.types,
    ...(config.nodesFolder === null ? {} : { folder: config.nodesFolder }),
  })
  const nodesLog = log.child({ part: 'nodes' })
  for (const { file, message } of await registry.load()) nodesLog.error({ file }, message)
  const knownTypes = createKnownTypes({ store, transport, registry, clock, workspace: DEFAULT_WORKSPACE })
  await knownTypes.refresh()
  const graphs: GraphCatalog = createGraphCatalog(store, knownTypes.current, knownTypes.refresh)
  const coordinator = config.roles.has('coordinator')
    ? modules.createCoordinator({
        store,
        transport,
        graphs,
        types: knownTypes.current,
        clock,
        log,
        metrics: metrics.coordinator,
        name: `${name} coordinator`,
        isSharing: transport.kind !== 'memory',
        isHeld,
      })
    : null
  const vault = new modules.Vault({ store, clock, keys: masterKeys })
  const environmentCredentials = modules.environmentCredentials(config.credentials)
  const worker = config.roles.has('worker')
    ? modules.createWorker({
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
    : null
  const health = createHealth({
    store,
    transport,
    clock,
    version: VERSION,
    roles: [...config.roles],
    trouble: () => coordinator?.trouble() ?? null,
    isHeld,
  })
  const externalTasks = modules.createExternalTasks({
    transport,
    store,
    registry,
    types: knownTypes,
    workspace: DEFAULT_WORKSPACE,
    leaseMs: LEASE_MS,
    clock,
    log,
  })
  const api = config.roles.has('api')
    ? modules.createApi({
        settings: { host: config.host, port: config.port, version: VERSION, corsOrigins: config.corsOrigins },
        store,
        transport,
        clock,
        log: log.child({ part: 'api' }),
        metrics,
        health,
        graphs,
        vault,
        environmentCredentials,
        nodeTypes: {
          current: knownTypes.current,
          async served() {
            const live = await store.workers.list({ workspace: DEFAULT_WORKSPACE })
            const types = live.flatMap((row) => row.types.map(({ type }) => type))
            return new Set([...(worker?.types() ?? []), ...externalTasks.served(), ...types])
          },
        },
        externalTasks,
        isHeld,
        rateLimits: config.rateLimits,
        rateLimiter,
      })
    : null
  const ops =
    api && config.opsPort === null
      ? null
      : createOpsServer({ host: config.host, port: config.opsPort ?? 0, health, metrics })
  const rollCall = createRollCall({
    store,
    clock,
    log,
    name,
    load: worker ? () => worker.load() : null,
    programs: () => externalTasks.programs(),
  })
  const endRollCall = registry.onChange(() => void rollCall.tick())
  const upkeep = createUpkeep({
    store,
    clock,
    log,
    retentionMs: config.retentionMs,
    isCleaning: coordinator !== null,
  })
  const services: readonly (Service | null)[] = [
    hold,
    upkeep,
    createIdleMemory({ clock, heap: ownHeap() }),
    knownTypes,
    coordinator,
    rollCall,
    worker,
  ]
  const listeners = [
    ops && { service: ops, port: config.opsPort ?? 0, variable: 'WEFT_OPS_PORT' as const },
    api && { service: api, port: config.port, variable: 'WEFT_PORT' as const },
  ]
  return {
    egress,
    builtIn,
    worker,
    api,
    ops,
    vault,
    /** In the order of their start. */
    services: services.filter((service) => service !== null),
    /** Those that listen on a port, started last. */
    listeners: listeners.filter((listener) => listener !== null),
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
      if (!config.watchNodes) return endRollCall
      const end = registry.watch(clock, (file, problems) => {
        if (problems.length === 0) nodesLog.info({ file }, 'node types were loaded again')
        for (const problem of problems) nodesLog.error({ file: problem.file }, problem.message)
      })
      return () => {
        end()
        endRollCall()
      }
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

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)

/** Stops when it is asked to and resolves to the exit code: 0, or 1 when it was told not to wait. */
export async function untilStopped(weft: Weft, signals: StopSignals): Promise<number> {
  await signals.asked
  return Promise.race([weft.stop().then(() => 0), signals.hurried.then(() => 1)])
}
