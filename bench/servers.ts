/**
 * The servers that a mode or the peers are given: one PostgreSQL, the one that Weft brings, and one Redis, that of the
 * system; each on a port and in a folder of its own, gone when the bench ends.
 */
import { connect } from 'node:net'
import pg from 'pg'
import { systemClock } from '../server/src/clock.ts'
import { startEmbeddedPostgres } from '../server/src/store/embedded.ts'
import { findRedis } from '../server/test/servers/programs.ts'
import { RedisServer } from '../server/test/servers/redis.ts'
import { newDataDirectory, postmasterOf, removeDataDirectory } from '../server/test/weft-process.ts'

/** As the makers of queues advise: the log that Redis syncs every second, and nothing evicted. */
const REDIS_SETTINGS = { appendonly: 'yes', appendfsync: 'everysec', 'maxmemory-policy': 'noeviction' }

export interface GivenServers {
  /** A fresh folder of the bench's, removed with the servers. */
  readonly directory: string
  /** The address of a new, empty database. */
  newDatabase(name: string): Promise<string>
  /** `null` when this machine has no Redis. */
  readonly redis: GivenRedis | null
  /** The first process of each server. */
  pids(): number[]
  stop(): Promise<void>
}

export interface GivenRedis {
  readonly url: string
  readonly version: string
  readonly settings: string
  /** Number of keys, of all databases. */
  keys(): Promise<number>
  flush(): Promise<void>
}

export async function startServers(): Promise<GivenServers> {
  const directory = newDataDirectory('bench-servers')
  const postgres = await startEmbeddedPostgres({ dataDirectory: directory, clock: systemClock() })
  const redis = findRedis() === null ? null : await startRedis()
  return {
    directory,
    redis: redis && (await givenRedis(redis)),
    async newDatabase(name) {
      const client = new pg.Client({ connectionString: postgres.url })
      await client.connect()
      try {
        const quoted = client.escapeIdentifier(name)
        await client.query(`drop database if exists ${quoted} with (force)`)
        await client.query(`create database ${quoted}`)
      } finally {
        await client.end()
      }
      const url = new URL(postgres.url)
      url.pathname = `/${name}`
      return url.href
    },
    pids: () => [postmasterOf(directory), redis?.pid].filter((pid) => typeof pid === 'number'),
    async stop() {
      await redis?.stop()
      await postgres.stop()
      await removeDataDirectory(directory)
    },
  }
}

function startRedis(): Promise<RedisServer> {
  const settings = Object.entries(REDIS_SETTINGS).flatMap(([name, value]) => [`--${name}`, value])
  return RedisServer.start({ settings })
}

async function givenRedis({ port, url }: RedisServer): Promise<GivenRedis> {
  const about = await askRedis(port, 'INFO server')
  return {
    url,
    version: /(?:valkey|redis)_version:(\S+)/.exec(about)?.[1] ?? 'unknown',
    settings: `appendonly ${REDIS_SETTINGS.appendonly}, appendfsync ${REDIS_SETTINGS.appendfsync}`,
    async keys() {
      const counts = (await askRedis(port, 'INFO keyspace')).matchAll(/keys=(\d+)/g)
      return [...counts].reduce((sum, [, count]) => sum + Number(count), 0)
    },
    async flush() {
      await askRedis(port, 'FLUSHALL')
    },
  }
}

/** One inline command on a connection of its own; everything that came until Redis hung up. */
function askRedis(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\nQUIT\r\n`))
    let text = ''
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    socket.once('error', reject)
    socket.once('end', () => resolve(text))
  })
}
