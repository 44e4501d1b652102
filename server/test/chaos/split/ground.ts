/**
 * What the faults strike: a deployment of processes of its own, its PostgreSQL and Redis, and the proxies between.
 *
 * Owns: how each fault is done and healed, and that a process that has ended is started again, as an orchestrator does.
 */
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { systemClock } from '../../../src/clock.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/store/embedded.ts'
import { RedisServer } from '../../servers/redis.ts'
import { Deployment, type Member } from '../../split/deployment.ts'
import { newDataDirectory, removeDataDirectory } from '../../weft-process.ts'
import { keepCommitTimes } from '../commit-times.ts'
import type { PlannedFault } from './faults.ts'
import { SilentProxy } from './silence.ts'

export const SHAPE = { apis: 2, coordinators: 2, workers: 3 }
/** One of each role. The others are connected directly: every byte that is passed on costs time of the machine. */
const BEHIND_PROXIES = ['api-1', 'coordinator-1', 'worker-1']
const START_AGAIN_EVERY_MS = 200
/** The PostgreSQL that Weft brings lets 60 connect, and who was cut off leaves connections behind for a while. */
const POOL_SIZE = 5

interface Proxies {
  readonly postgres: SilentProxy
  readonly redis: SilentProxy
}

export class Ground {
  readonly deployment: Deployment
  readonly databaseUrl: string
  /** What processes did that nobody asked for. */
  readonly problems: string[] = []
  readonly #dataDirectory: string
  readonly #postgres: EmbeddedPostgres
  readonly #redis: RedisServer
  readonly #proxies: ReadonlyMap<string, Proxies>
  /** Members that were killed and are not ready again. */
  readonly #killed = new Set<string>()
  /** The last fault of each target: the next one waits until it has healed. */
  readonly #busy = new Map<string, Promise<void>>()
  #isOver = false

  private constructor(parts: {
    deployment: Deployment
    dataDirectory: string
    postgres: EmbeddedPostgres
    redis: RedisServer
    proxies: ReadonlyMap<string, Proxies>
  }) {
    this.deployment = parts.deployment
    this.databaseUrl = parts.postgres.url
    this.#dataDirectory = parts.dataDirectory
    this.#postgres = parts.postgres
    this.#redis = parts.redis
    this.#proxies = parts.proxies
    for (const member of this.deployment.members) void this.#keepUp(member)
  }

  static async start(allow: string): Promise<Ground> {
    const dataDirectory = newDataDirectory('chaos-postgres')
    await keepCommitTimes(dataDirectory)
    const postgres = await startEmbeddedPostgres({ dataDirectory, clock: systemClock() })
    const redis = await RedisServer.start()
    const proxies = new Map<string, Proxies>()
    for (const name of BEHIND_PROXIES)
      proxies.set(name, {
        postgres: await SilentProxy.start(postgres.url),
        redis: await SilentProxy.start(redis.url),
      })
    const deployment = await Deployment.start({
      ...SHAPE,
      poolSize: POOL_SIZE,
      databaseUrl: postgres.url,
      redisUrl: redis.url,
      allow,
      addressesOf: (name) => {
        const own = proxies.get(name)
        if (own === undefined) return {}
        return {
          databaseUrl: own.postgres.addressFor(postgres.url),
          redisUrl: own.redis.addressFor(redis.url),
        }
      },
    })
    return new Ground({ deployment, dataDirectory, postgres, redis, proxies })
  }

  get targets() {
    return { members: this.deployment.members.map(({ name }) => name), behindProxies: BEHIND_PROXIES }
  }

  /** Does a fault and resolves when it has healed. Faults of the same target come one after the other. */
  strike(fault: PlannedFault, struck: () => void): Promise<void> {
    const target = targetOf(fault)
    const done = (this.#busy.get(target) ?? Promise.resolve()).then(() => {
      struck()
      return this.#strike(fault)
    })
    this.#busy.set(target, done)
    return done
  }

  async #strike({ kind, member: name, lastsMs }: PlannedFault): Promise<void> {
    switch (kind) {
      case 'kill':
        return this.#kill(this.#member(name), lastsMs)
      case 'stop': {
        const { weft } = this.#member(name)
        weft.signal('SIGSTOP')
        await pause(lastsMs)
        weft.signal('SIGCONT')
        return
      }
      case 'flush':
        await this.#redis.command('FLUSHALL')
        return
      case 'redis-restart':
        await this.#redis.kill()
        await pause(lastsMs)
        return this.#redis.start()
      case 'postgres-stop':
        return this.#stopPostgres()
      case 'silent-redis':
      case 'silent-postgres': {
        const proxies = this.#proxies.get(name ?? '')
        if (proxies === undefined) throw new Error(`${name} has no proxy`)
        const proxy = kind === 'silent-redis' ? proxies.redis : proxies.postgres
        proxy.fallSilent()
        await pause(lastsMs)
        proxy.speak()
        return
      }
    }
  }

  #member(name: string | null): Member {
    const member = this.deployment.members.find((candidate) => candidate.name === name)
    if (member === undefined) throw new Error(`there is no process ${name}`)
    return member
  }

  async #kill(member: Member, downMs: number): Promise<void> {
    this.#killed.add(member.name)
    await member.weft.kill()
    await pause(downMs)
    await this.#startAgain(member)
    this.#killed.delete(member.name)
    void this.#keepUp(member)
  }

  /** A process that ends although nobody killed it is a problem, and is started again. */
  async #keepUp(member: Member): Promise<void> {
    for (;;) {
      const code = await member.weft.ended()
      if (this.#isOver || this.#killed.has(member.name)) return
      this.problems.push(`${member.name} ended by itself with ${code}: ${lastLines(member.weft.output)}`)
      await this.#startAgain(member)
    }
  }

  /** What starts while its database is away may end again. */
  async #startAgain({ name, weft }: Member): Promise<void> {
    while (!this.#isOver) {
      try {
        await weft.start()
        return
      } catch (error) {
        if (this.#isOver) return
        const message = (error as Error).message
        // It was alive all the time, and not ready.
        if (!message.includes('exit code null')) {
          await pause(START_AGAIN_EVERY_MS)
          continue
        }
        this.problems.push(`${name}: ${message}`)
        await weft.kill()
      }
    }
  }

  /** What `pg_ctl stop -m immediate` does; whoever brought the server starts it again at once. */
  async #stopPostgres(): Promise<void> {
    const { pid } = this.#postgres
    process.kill(pid, 'SIGQUIT')
    while (this.#postgres.pid === pid || !(await answers(this.databaseUrl))) await pause(20)
  }

  async end(): Promise<void> {
    this.#isOver = true
    await this.deployment.end()
    for (const { postgres, redis } of this.#proxies.values()) {
      postgres.close()
      redis.close()
    }
    await this.#redis.stop()
    await this.#postgres.stop()
    await removeDataDirectory(this.#dataDirectory)
  }
}

/** A silent connection does not keep its process from being killed. */
function targetOf({ kind, member }: PlannedFault): string {
  if (kind === 'flush' || kind === 'redis-restart') return 'redis'
  if (kind === 'postgres-stop') return 'postgres'
  return kind === 'kill' || kind === 'stop' ? `${member}` : `${kind} ${member}`
}

async function answers(databaseUrl: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: databaseUrl })
  client.on('error', () => {})
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

const lastLines = (output: string): string => output.trim().split('\n').slice(-3).join(' | ')
