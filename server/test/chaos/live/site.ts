/** The processes of a trial: one that does everything, or an API and the rest apart, over a PostgreSQL and a Redis. */
import {
  freePort,
  newApiKey,
  newDataDirectory,
  removeDataDirectory,
  WeftProcess,
} from '../../weft-process.ts'

export interface Site {
  /** Where its API answers. */
  readonly port: number
  readonly url: string
  readonly apiKey: string
  readonly databaseUrl: string
  start(): Promise<void>
  /** Kills a process, and starts it again; says which. `n` counts from 0. */
  restart(n: number): Promise<string>
  /** What its processes said last. */
  output(): string
  end(): Promise<void>
}

export interface Grounds {
  /** `null`: the server brings its own PostgreSQL, and half of the restarts take it along. */
  readonly databaseUrl: string | null
  /** With one, and a PostgreSQL, the API and the rest are processes of their own. */
  readonly redisUrl: string | null
}

export const newSite = async ({ databaseUrl, redisUrl }: Grounds): Promise<Site> =>
  databaseUrl !== null && redisUrl !== null ? splitSite(databaseUrl, redisUrl) : singleSite(databaseUrl)

async function singleSite(databaseUrl: string | null): Promise<Site> {
  const weft = await newProcess(databaseUrl === null ? {} : { WEFT_DATABASE_URL: databaseUrl })
  return {
    ...addressOf(weft),
    get databaseUrl() {
      return databaseUrl ?? weft.databaseUrl
    },
    async start() {
      await weft.start()
    },
    async restart(n) {
      const withPostgres = databaseUrl === null && n % 2 === 1
      await weft.kill(withPostgres)
      await weft.start()
      return withPostgres ? 'server and Postgres' : 'server'
    },
    output: () => weft.output,
    end: () => endAll([weft]),
  }
}

async function splitSite(databaseUrl: string, redisUrl: string): Promise<Site> {
  const shared = {
    WEFT_DATABASE_URL: databaseUrl,
    WEFT_REDIS_URL: redisUrl,
    WEFT_API_KEY: newApiKey(),
    WEFT_MASTER_KEY: '0123456789abcdef'.repeat(4),
  }
  const opsPort = await freePort()
  const api = await newProcess({ ...shared, WEFT_ROLES: 'api' })
  const rest = await newProcess({ ...shared, WEFT_ROLES: 'coordinator,worker' }, opsPort)
  const processes = [api, rest]
  return {
    ...addressOf(api),
    apiKey: shared.WEFT_API_KEY,
    databaseUrl,
    async start() {
      // One after the other: the first makes the tables.
      for (const each of processes) await each.start()
    },
    async restart(n) {
      const [victim, name] =
        n % 2 === 0 ? ([api, 'API'] as const) : ([rest, 'coordinator and worker'] as const)
      await victim.kill(false)
      await victim.start()
      return name
    },
    output: () => processes.map(({ output }) => output).join('\n'),
    end: () => endAll(processes),
  }
}

/** `opsPort`: where a process without an API says that it is ready. */
async function newProcess(environment: Record<string, string>, opsPort?: number): Promise<WeftProcess> {
  return new WeftProcess({
    dataDirectory: newDataDirectory('live'),
    port: opsPort ?? (await freePort()),
    apiKey: newApiKey(),
    environment: { ...environment, ...(opsPort === undefined ? {} : { WEFT_OPS_PORT: String(opsPort) }) },
  })
}

const addressOf = ({ url, apiKey }: WeftProcess) => ({ url, apiKey, port: Number(new URL(url).port) })

async function endAll(processes: readonly WeftProcess[]): Promise<void> {
  for (const weft of processes) {
    await weft.stop()
    await removeDataDirectory(weft.dataDirectory)
  }
}
