/**
 * The modes on a PostgreSQL and a Redis that are given: `postgres-redis`, one process with every role, and `split`, a
 * process for each. A fresh database and an empty Redis for every workload.
 *
 * In `split` the loads in process run beside the API, and reach the coordinator and the worker over Redis as everybody
 * does; where the coordinator's own CPU is the figure, it stands beside the API.
 */
import { processTree } from '../examples/runner/os-process.ts'
import { RoleProcess } from '../server/test/split/role-process.ts'
import { freePort, newApiKey, newDataDirectory, removeDataDirectory } from '../server/test/weft-process.ts'
import type { GivenRedis, GivenServers } from './servers.ts'
import { startSubject } from './subject.ts'
import type { Bench } from './workloads/workload.ts'

export type GivenMode = 'postgres-redis' | 'split'

const ROLES = ['api', 'coordinator', 'worker']
/** The same for all, so that workers can read what the API stores. */
const MASTER_KEY = '0123456789abcdef'.repeat(4)

export function givenBench(
  mode: GivenMode,
  servers: GivenServers,
  options: { quick: boolean; say(text: string): void },
): Bench {
  const { redis } = servers
  if (redis === null) throw new Error(`the mode ${mode} needs Redis: apt-get install redis-server`)
  const databaseName = `weft_${mode.replace('-', '_')}`

  async function fresh(): Promise<{ databaseUrl: string; environment: Record<string, string> }> {
    await (redis as GivenRedis).flush()
    const databaseUrl = await servers.newDatabase(databaseName)
    const environment = {
      WEFT_DATABASE_URL: databaseUrl,
      WEFT_REDIS_URL: (redis as GivenRedis).url,
      WEFT_MASTER_KEY: MASTER_KEY,
    }
    return { databaseUrl, environment }
  }

  return {
    ...options,
    redisKeys: redis.keys,
    async withSubject(work, { allow, withCoordinator = false } = {}) {
      const { databaseUrl, environment } = await fresh()
      const beside = mode !== 'split' ? ROLES : withCoordinator ? ['api', 'coordinator'] : ['api']
      const others = ROLES.filter((role) => !beside.includes(role)).map((role) => [role])
      const subject = await startSubject({
        allow,
        databaseUrl,
        environment: { ...environment, ...(others.length > 0 ? { WEFT_ROLES: beside.join(',') } : {}) },
      })
      const processes = await Processes.of(others, { ...environment, WEFT_EGRESS_ALLOW: allow ?? '' })
      try {
        await processes.start()
        return await work(subject)
      } finally {
        await processes.end()
        await subject.end()
      }
    },
    async withServer(work) {
      const { databaseUrl, environment } = await fresh()
      const processes = await Processes.of(
        mode === 'split' ? ROLES.map((role) => [role]) : [ROLES],
        environment,
      )
      try {
        const readyMs = await processes.start()
        return await work({
          url: processes.url,
          apiKey: processes.apiKey,
          databaseUrl,
          readyMs,
          kill: () => processes.kill(),
          stop: () => processes.stop(),
          startAgain: () => processes.start(),
          pids: () => [...processes.pids(), ...processTree(servers.pids())],
        })
      } finally {
        await processes.end()
      }
    },
  }
}

/** `weft serve` a few times, each with its roles; the first of them has the API where one of them does. */
class Processes {
  readonly apiKey: string
  readonly #all: readonly RoleProcess[]

  private constructor(all: readonly RoleProcess[], apiKey: string) {
    this.#all = all
    this.apiKey = apiKey
  }

  static async of(
    groups: readonly (readonly string[])[],
    environment: Readonly<Record<string, string>>,
  ): Promise<Processes> {
    const apiKey = newApiKey()
    const all: RoleProcess[] = []
    for (const roles of groups) {
      const port = await freePort()
      all.push(
        new RoleProcess({
          dataDirectory: newDataDirectory(`bench-${roles[0]}`),
          port,
          environment: {
            ...environment,
            WEFT_API_KEY: apiKey,
            WEFT_ROLES: roles.join(','),
            [roles.includes('api') ? 'WEFT_PORT' : 'WEFT_OPS_PORT']: String(port),
          },
        }),
      )
    }
    return new Processes(all, apiKey)
  }

  get url(): string {
    return this.#all[0]?.url ?? ''
  }

  /** Resolves to the milliseconds until the last of them was ready. */
  async start(): Promise<number> {
    const times = await Promise.all(this.#all.map((one) => one.start()))
    return Math.max(0, ...times)
  }

  async kill(): Promise<void> {
    await Promise.all(this.#all.map((one) => one.kill()))
  }

  async stop(): Promise<void> {
    for (const one of this.#all) {
      const code = await one.stop()
      if (code !== 0) throw new Error(`SIGTERM ended a server with ${code}`)
    }
  }

  pids(): number[] {
    return processTree(this.#all.flatMap(({ pid }) => pid ?? []))
  }

  async end(): Promise<void> {
    for (const one of this.#all) {
      await one.stop()
      await removeDataDirectory(one.dataDirectory)
    }
  }
}
