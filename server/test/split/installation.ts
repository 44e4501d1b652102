/**
 * What all processes of one installation have in common, and the `weft serve` of any roles in it.
 *
 * Owns: the processes, their ports and data directories. Does not own: the database and the Redis.
 */
import { existsSync } from 'node:fs'
import { freePort, newApiKey, newDataDirectory, removeDataDirectory } from '../weft-process.ts'
import { RoleProcess } from './role-process.ts'

export interface Addresses {
  readonly databaseUrl: string
  readonly redisUrl: string
}

export interface InstallationOptions extends Addresses {
  /** `host:port` of what the workers may call. */
  readonly allow: string
  /** Connections of each process to the database, see `WEFT_DATABASE_POOL`. */
  readonly poolSize?: number
}

export interface ProcessOptions {
  /** Of its data directory. */
  readonly name: string
  /** As `WEFT_ROLES` has them. */
  readonly roles: string
  /** Other ones than those of the installation, such as those of proxies. */
  readonly addresses?: Partial<Addresses>
  /** Another program than that of this repository. */
  readonly program?: string
}

/** The part of `GET /about` that says who decides runs. */
export interface Ownership {
  readonly name: string
  readonly partitions: readonly number[]
  readonly silentMs: number
}

export class Installation {
  readonly apiKey = newApiKey()
  readonly #processes: RoleProcess[] = []
  readonly #options: InstallationOptions

  constructor(options: InstallationOptions) {
    this.#options = options
  }

  /** Not started yet. */
  async process({ name, roles, addresses = {}, program }: ProcessOptions): Promise<RoleProcess> {
    const { databaseUrl, redisUrl, allow, poolSize } = { ...this.#options, ...addresses }
    const port = await freePort()
    const created = new RoleProcess({
      dataDirectory: newDataDirectory(name),
      port,
      environment: {
        WEFT_API_KEY: this.apiKey,
        WEFT_EGRESS_ALLOW: allow,
        WEFT_ROLES: roles,
        WEFT_DATABASE_URL: databaseUrl,
        WEFT_REDIS_URL: redisUrl,
        WEFT_MASTER_KEY: '0123456789abcdef'.repeat(4),
        WEFT_RATE_LIMITS: 'off',
        ...(poolSize === undefined ? {} : { WEFT_DATABASE_POOL: String(poolSize) }),
        [roles.split(',').includes('api') ? 'WEFT_PORT' : 'WEFT_OPS_PORT']: String(port),
      },
      ...(program === undefined ? {} : { program }),
    })
    this.#processes.push(created)
    return created
  }

  /** `POST` with a body, `GET` without, at the process with this address. */
  async call(url: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${url}/api/v1${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${this.apiKey}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: await response.json() }
  }

  /** Who decides runs, as the API at this address has it. */
  async ownership(url: string): Promise<readonly Ownership[]> {
    const { body } = await this.call(url, '/about')
    return (body as { coordinators: readonly Ownership[] }).coordinators
  }

  /** How many partitions a process owns now. */
  async owned(url: string, { pid }: RoleProcess): Promise<number> {
    const rows = await this.ownership(url)
    return rows.find(({ name }) => name.includes(`-${pid} `))?.partitions.length ?? 0
  }

  async end(): Promise<void> {
    await Promise.all(
      this.#processes.map(async (weft) => {
        weft.signal('SIGCONT')
        await weft.stop()
        if (existsSync(weft.dataDirectory)) await removeDataDirectory(weft.dataDirectory)
      }),
    )
  }
}
