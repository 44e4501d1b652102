/**
 * The connections to one Redis: how they are made, what is asked of the server at the start, and what a call that finds
 * it gone rejects with.
 *
 * Owns: options, reconnecting (by itself, for ever, with growing pauses), the checks at the start. Nothing is queued
 * while a connection is down: a call rejects at once, and its caller knows what is still owed (R5).
 */
import { Redis, type RedisOptions } from 'ioredis'
import type { Log } from '../../log.ts'
import { TransportUnavailable } from '../transport.ts'

/** A server that says nothing for this long after a command is taken for gone: the connection is made anew. */
const SILENCE_MS = 5_000
const CONNECT_TIMEOUT_MS = 5_000
const FIRST_RETRY_MS = 25
const MAX_RETRY_MS = 1_000
const OLDEST = [6, 2] as const

/** The server cannot be used as it is; the sentence says what to change. */
export class RedisRefused extends Error {
  override readonly name = 'RedisRefused'
  readonly code: 'redis_too_old' | 'redis_evicts' | 'redis_read_only' | 'redis_refuses_login'
  constructor(code: RedisRefused['code'], sentence: string) {
    super(sentence)
    this.code = code
  }
}

export interface Link {
  /** For commands; never blocked. */
  readonly commands: Redis
  /** By which the server knows the connection of `wait`: a blocked connection cannot be asked. */
  readonly readerId: number | null
  /** Hears the channels. */
  readonly subscriber: Redis
  /** Runs a command; rejects with `TransportUnavailable` however it fails. */
  call<Answer>(work: (redis: Redis) => Promise<Answer>): Promise<Answer>
  /** The same on a connection that may be blocked for a while: nobody's last word. */
  wait<Answer>(work: (reader: Redis) => Promise<Answer>): Promise<Answer>
  /**
   * Resolves when every call has been answered, those that follow from one included: what a process says last, that a run
   * has begun or that tasks are handed back, must not be cut off.
   */
  drained(): Promise<void>
  close(): void
}

/** Connects and checks, or rejects with a sentence for the person at the terminal and leaves nothing open. */
export async function openLink(url: string, log: Log): Promise<Link> {
  const where = placeOf(url)
  const settings: RedisOptions = {
    lazyConnect: true,
    protocol: 2,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENCE_MS,
    disableClientInfo: true,
    retryStrategy: (times) => Math.min(FIRST_RETRY_MS * 2 ** Math.min(times, 10), MAX_RETRY_MS),
  }
  const open = (role: string): Redis => new Redis(url, { ...settings, connectionName: `weft-${role}` })
  const clients = { commands: open('commands'), reader: open('reader'), subscriber: open('subscriber') }
  const all = Object.values(clients)
  let readerId: number | null = null
  /** Calls that are not answered yet. */
  let unanswered = 0
  clients.reader.on('ready', () => {
    clients.reader.client('ID').then(
      (id) => {
        readerId = id
      },
      () => {}, // the connection is gone again
    )
  })
  let reason = 'the connection was lost'
  for (const client of all) {
    client.on('error', (error: Error) => {
      reason = reasonOf(error) || reason
      // ioredis hears the first error of a socket; one that is ended in its TLS handshake can have a second one.
      client.stream?.once('error', () => {})
    })
  }
  const unavailable = (error: unknown): TransportUnavailable => {
    // What a command says when there is no connection; why there is none was said before.
    const said = reasonOf(error)
    const isOffline = /Stream isn't writeable|max retries per request|Connection is closed/.test(said)
    return new TransportUnavailable(`Redis at ${where}: ${isOffline ? reason : said}`, error)
  }
  const close = (): void => {
    for (const client of all) client.disconnect()
  }
  try {
    await Promise.all(all.map((client) => client.connect()))
    await check(clients.commands, where, log)
  } catch (error) {
    close()
    throw error instanceof RedisRefused ? error : (refusedLogin(error, reason, where) ?? unavailable(error))
  }
  /** What is called in one turn leaves in one write: a write costs as much as several commands. */
  let isGathering = false
  const gatherWrites = (): void => {
    if (isGathering) return
    isGathering = true
    const { stream } = clients.commands
    stream.cork()
    process.nextTick(() => {
      isGathering = false
      stream.uncork()
    })
  }
  const answered = async <Answer>(answer: Promise<Answer>): Promise<Answer> => {
    try {
      return await answer
    } catch (error) {
      throw error instanceof TransportUnavailable ? error : unavailable(error)
    }
  }
  return {
    commands: clients.commands,
    subscriber: clients.subscriber,
    get readerId() {
      return readerId
    },
    async call(work) {
      unanswered++
      gatherWrites()
      try {
        return await answered(work(clients.commands))
      } finally {
        unanswered--
      }
    },
    wait: (work) => answered(work(clients.reader)),
    async drained() {
      // What was gathered meanwhile leaves in the turn in which its predecessor is answered.
      for (let quiet = 0; quiet < 2; ) {
        await new Promise((resolve) => setImmediate(resolve))
        quiet = unanswered === 0 ? quiet + 1 : 0
      }
    },
    close,
  }
}

async function check(redis: Redis, where: string, log: Log): Promise<void> {
  const info = fieldsOf(await redis.info())
  const version = info.get('redis_version') ?? ''
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    throw new RedisRefused(
      'redis_too_old',
      `The Redis at ${where} is version ${version}; Weft needs ${OLDEST.join('.')} or newer (any Valkey will do). Update it, or name another one in WEFT_REDIS_URL.`,
    )
  }
  if (info.get('role') === 'slave') {
    throw new RedisRefused(
      'redis_read_only',
      `The Redis at ${where} is a replica, which takes no writes. Name its primary in WEFT_REDIS_URL.`,
    )
  }
  const policy = info.get('maxmemory_policy') ?? 'noeviction'
  const limit = Number(info.get('maxmemory') ?? 0)
  // Only keys without an expiry matter here; policies over volatile keys leave them alone.
  if (!policy.startsWith('allkeys-')) return
  if (limit > 0) {
    throw new RedisRefused(
      'redis_evicts',
      `The Redis at ${where} throws tasks away when its memory is full (maxmemory-policy ${policy}, maxmemory ${limit} bytes), and runs would stand still until Weft notices. Set maxmemory-policy to noeviction (CONFIG SET maxmemory-policy noeviction), or name a Redis of Weft's own in WEFT_REDIS_URL.`,
    )
  }
  log.warn(
    { policy },
    `the Redis at ${where} would throw tasks away once it has a memory limit (maxmemory-policy ${policy}): set it to noeviction`,
  )
}

/** `key:value` lines of INFO. */
export function fieldsOf(info: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const line of info.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  return fields
}

function refusedLogin(error: unknown, reason: string, where: string): RedisRefused | null {
  const said = `${reasonOf(error)} ${reason}`
  if (!/NOAUTH|WRONGPASS|NOPERM|invalid username-password/i.test(said)) return null
  const what = /NOPERM/.test(said)
    ? 'does not let this user do what Weft needs (it writes keys, runs scripts, publishes, and reads INFO)'
    : 'refuses the user name or the password'
  return new RedisRefused(
    'redis_refuses_login',
    `The Redis at ${where} ${what}. Write them into WEFT_REDIS_URL: redis://user:password@host:6379 (redis://:password@host:6379 without a user name).`,
  )
}

/** Host and port, for sentences: never the password (R14). */
function placeOf(url: string): string {
  const { hostname, port } = new URL(url)
  return `${hostname || '127.0.0.1'}:${port || '6379'}`
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // A host with several addresses fails with an error that has no text of its own.
  return error.message || (error as NodeJS.ErrnoException).code || error.name
}
