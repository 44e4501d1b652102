/**
 * What the API is made of. `main.ts` constructs the parts; nothing in this room constructs or configures any of them.
 */
import type { NodeTypes } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { ExternalTasks } from '../external-tasks.ts'
import type { GraphCatalog } from '../graphs.ts'
import type { Health } from '../health.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { RateLimits } from '../rate-limits.ts'
import type { Store } from '../store/store.ts'
import type { RateLimiter } from '../transport/rate-limiter.ts'
import type { Transport } from '../transport/transport.ts'
import type { Vault } from '../vault/vault.ts'
import type { Keys } from './auth.ts'
import type { SendCommand } from './commands.ts'
import type { Definitions } from './definitions.ts'
import type { Admission } from './limits.ts'
import type { OutcomeWaits } from './outcome.ts'
import type { RunReader } from './reader.ts'
import type { Submit } from './submit.ts'
import type { Watch } from './watch.ts'

export interface ApiSettings {
  readonly host: string
  /** 0 takes a free one; `url()` says which. */
  readonly port: number
  readonly version: string
  /** Pages of these origins may call, too. */
  readonly corsOrigins: readonly string[]
}

export interface NodeTypeSource {
  /** The same map until a type is added or changed. */
  current(): NodeTypes
  /** Task types that a live worker performs at the moment. */
  served(): Promise<ReadonlySet<string>>
}

/** Which credentials the environment holds; they win over stored ones. */
export interface EnvironmentNames {
  names(): readonly string[]
  has(name: string): boolean
}

export interface ApiParts {
  readonly settings: ApiSettings
  readonly store: Store
  readonly transport: Transport
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<Metrics, 'request' | 'refused' | 'liveConnection' | 'contentType' | 'text'>
  readonly graphs: GraphCatalog
  readonly nodeTypes: NodeTypeSource
  /** Everything but `read`: values never come back this way (R14). */
  readonly vault: Pick<Vault, 'create' | 'rotate' | 'delete' | 'list' | 'fingerprint'>
  readonly environmentCredentials: EnvironmentNames
  /** Tasks for programs outside. */
  readonly externalTasks: ExternalTasks
  readonly health: Health
  /** Whether this process was started paused: then nothing is decided soon. */
  readonly isHeld: () => boolean
  readonly rateLimits: RateLimits
  readonly rateLimiter: RateLimiter
}

/** What the handlers in `routes/` work with. */
export interface HandlerParts extends ApiParts, Admission {
  readonly keys: Keys
  readonly definitions: Definitions
  readonly submit: Submit
  readonly reader: RunReader
  readonly watch: Watch
  readonly sendCommand: SendCommand
  readonly outcomes: OutcomeWaits
  /** Fires when the server stops: streams and waits end. */
  readonly stopping: AbortSignal
}
