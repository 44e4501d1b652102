/** The product's own parts in a simulated process: a coordinator, a worker, or both. */
import { CONTROL_NODE_TYPES, compile, type Definition, type Graph } from '@weft/engine'
import { typesWith } from '../../engine/test/world/generate.ts'
import { Definitions } from '../../server/src/api/definitions.ts'
import type { ForkParts } from '../../server/src/api/fork.ts'
import type { NodeTypeSource } from '../../server/src/api/parts.ts'
import type { MessageParts } from '../../server/src/api/routes/messages.ts'
import type { SubmitParts } from '../../server/src/api/submit.ts'
import { createCoordinator } from '../../server/src/coordinator/coordinator.ts'
import { createGraphCatalog } from '../../server/src/graphs.ts'
import { createLog } from '../../server/src/log.ts'
import type { CoordinatorMetrics } from '../../server/src/metrics.ts'
import type { Service } from '../../server/src/service.ts'
import type { RunStore } from '../../server/src/store/store.ts'
import type { Transport } from '../../server/src/transport/transport.ts'
import { createWorker, type WorkerParts } from '../../server/src/worker/worker.ts'
import type { Checks } from './checks.ts'
import type { SimProcess } from './process.ts'

export const TYPES = typesWith(CONTROL_NODE_TYPES)

export function compiled(definition: Definition): Graph {
  const result = compile(definition, TYPES)
  if (!result.ok) throw new Error(`the generated workflow is invalid: ${JSON.stringify(result.problems)}`)
  return result.graph
}

const QUIET = createLog({ level: 'silent', format: 'json' })

const METRICS: CoordinatorMetrics = {
  committed() {},
  signals() {},
  loaded() {},
  states() {},
  quarantined() {},
  runEnded() {},
  stepSettled() {},
  attemptFailed() {},
  failed() {},
  refused() {},
  owns() {},
}

export interface ServerParts {
  readonly process: SimProcess
  readonly store: RunStore
  readonly transport: Transport
  readonly checks: Checks
}

/** @param isSharing whether others own partitions, too */
export const openCoordinator = (
  { process, store, transport, checks }: ServerParts,
  isSharing: boolean,
): Service =>
  createCoordinator({
    store,
    transport,
    graphs: createGraphCatalog(store, () => TYPES),
    types: () => TYPES,
    clock: process.clock,
    log: QUIET,
    metrics: METRICS,
    name: process.name,
    isSharing,
    engine: checks.engine(),
  })

const noEgress = (): never => {
  throw new Error('steps of the simulation call nobody')
}

export const openWorker = (
  { process, store, transport }: ServerParts,
  registry: WorkerParts['registry'],
  slots: number,
): Service =>
  createWorker({
    name: process.name,
    transport,
    store,
    registry,
    credentials: { get: () => null, howToSet: () => '' },
    egress: { request: noEgress, fetch: noEgress, close: async () => {} },
    clock: process.clock,
    log: QUIET,
    concurrency: new Map([['*', slots]]),
  })

/** What the callers of this simulation use of an API process. */
export function openApi({ process, store, transport }: ServerParts): ForkParts & MessageParts & SubmitParts {
  const graphs = createGraphCatalog(store, () => TYPES)
  const nodeTypes: NodeTypeSource = { current: () => TYPES, served: async () => new Set() }
  const definitions = new Definitions({ store, graphs, nodeTypes, onlyProcess: false })
  return { store, transport, clock: process.clock, log: QUIET, graphs, nodeTypes, definitions }
}
