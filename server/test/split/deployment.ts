/**
 * Weft in many processes: each role as a real `weft serve` of its own, over one PostgreSQL and one Redis.
 *
 * Owns: the processes, their ports and data directories. Does not own: the database and the Redis.
 */
import { existsSync } from 'node:fs'
import { freePort, newApiKey, newDataDirectory, removeDataDirectory } from '../weft-process.ts'
import { RoleProcess } from './role-process.ts'

export type Role = 'api' | 'coordinator' | 'worker'

export interface Member {
  /** Such as `coordinator-2`. */
  readonly name: string
  readonly role: Role
  readonly weft: RoleProcess
}

export interface Shape {
  readonly apis: number
  readonly coordinators: number
  readonly workers: number
}

export interface DeploymentOptions extends Shape {
  readonly databaseUrl: string
  readonly redisUrl: string
  /** `host:port` of what the workers may call. */
  readonly allow: string
  /** Other addresses of the database and the Redis for the member of this name, such as those of proxies. */
  readonly addressesOf?: (name: string) => Partial<Addresses>
}

interface Addresses {
  readonly databaseUrl: string
  readonly redisUrl: string
}

/** The part of `GET /about` that says who decides runs. */
export interface Ownership {
  readonly name: string
  readonly partitions: readonly number[]
  readonly silentMs: number
}

export class Deployment {
  readonly members: readonly Member[]
  readonly apiKey: string
  readonly #directories: readonly string[]

  private constructor(members: readonly Member[], apiKey: string, directories: readonly string[]) {
    this.members = members
    this.apiKey = apiKey
    this.#directories = directories
  }

  static async start(options: DeploymentOptions): Promise<Deployment> {
    const apiKey = newApiKey()
    const roles: Role[] = [
      ...Array<Role>(options.apis).fill('api'),
      ...Array<Role>(options.coordinators).fill('coordinator'),
      ...Array<Role>(options.workers).fill('worker'),
    ]
    const counts = new Map<Role, number>()
    const members: Member[] = []
    for (const role of roles) {
      const number = (counts.get(role) ?? 0) + 1
      counts.set(role, number)
      const port = await freePort()
      const name = `${role}-${number}`
      const addresses: Addresses = { ...options, ...options.addressesOf?.(name) }
      const weft = new RoleProcess({
        dataDirectory: newDataDirectory(name),
        port,
        environment: {
          WEFT_API_KEY: apiKey,
          WEFT_EGRESS_ALLOW: options.allow,
          WEFT_ROLES: role,
          WEFT_DATABASE_URL: addresses.databaseUrl,
          WEFT_REDIS_URL: addresses.redisUrl,
          WEFT_MASTER_KEY: '0123456789abcdef'.repeat(4),
          WEFT_RATE_LIMITS: 'off',
          [role === 'api' ? 'WEFT_PORT' : 'WEFT_OPS_PORT']: String(port),
        },
      })
      members.push({ name, role, weft })
    }
    const directories = members.map(({ weft }) => weft.dataDirectory)
    const deployment = new Deployment(members, apiKey, directories)
    try {
      // All at once, as an orchestrator does it: one of them makes the tables, the others wait for it.
      await Promise.all(members.map(({ weft }) => weft.start()))
      return deployment
    } catch (error) {
      await deployment.end()
      throw error
    }
  }

  of(role: Role): Member[] {
    return this.members.filter((member) => member.role === role)
  }

  get apiUrls(): string[] {
    return this.of('api').map(({ weft }) => weft.url)
  }

  async call(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${this.apiUrls[0]}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${this.apiKey}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: await response.json() }
  }

  async ownership(): Promise<readonly Ownership[]> {
    const { body } = await this.call('GET', '/about')
    return (body as { coordinators: readonly Ownership[] }).coordinators
  }

  /** How many partitions a member owns now. */
  async owned({ weft }: Member): Promise<number> {
    const rows = await this.ownership()
    return rows.find(({ name }) => name.includes(`-${weft.pid} `))?.partitions.length ?? 0
  }

  async end(): Promise<void> {
    await Promise.all(
      this.members.map(async ({ weft }) => {
        weft.signal('SIGCONT')
        await weft.stop()
      }),
    )
    for (const directory of this.#directories) if (existsSync(directory)) await removeDataDirectory(directory)
  }
}
