/** Weft in many processes: each role as a real `weft serve` of its own, over one PostgreSQL and one Redis. */
import { type Addresses, Installation, type InstallationOptions, type Ownership } from './installation.ts'
import type { RoleProcess } from './role-process.ts'

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

export interface DeploymentOptions extends Shape, InstallationOptions {
  /** Other addresses of the database and the Redis for the member of this name, such as those of proxies. */
  readonly addressesOf?: (name: string) => Partial<Addresses>
}

export class Deployment {
  readonly members: readonly Member[]
  readonly #installation: Installation

  private constructor(members: readonly Member[], installation: Installation) {
    this.members = members
    this.#installation = installation
  }

  static async start(options: DeploymentOptions): Promise<Deployment> {
    const installation = new Installation(options)
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
      const name = `${role}-${number}`
      const addresses = options.addressesOf?.(name) ?? {}
      members.push({ name, role, weft: await installation.process({ name, roles: role, addresses }) })
    }
    const deployment = new Deployment(members, installation)
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

  get apiKey(): string {
    return this.#installation.apiKey
  }

  get apiUrls(): string[] {
    return this.of('api').map(({ weft }) => weft.url)
  }

  ownership(): Promise<readonly Ownership[]> {
    return this.#installation.ownership(this.apiUrls[0] as string)
  }

  /** How many partitions a member owns now. */
  owned({ weft }: Member): Promise<number> {
    return this.#installation.owned(this.apiUrls[0] as string, weft)
  }

  end(): Promise<void> {
    return this.#installation.end()
  }
}
