/**
 * What Weft is told by flags and by the environment: the only reader of the environment.
 *
 * Owns: names, defaults, meanings and checks of every setting. Flags win over the environment. Everything is checked at
 * once, each problem a sentence that names the setting as it was given; a secret never stands in one (R14).
 */
import { existsSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { nearestName, parseDuration } from '@weft/engine'
import { parseAllowList } from './egress/allow.ts'
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from './log.ts'
import { describeRateLimits, parseRateLimits, type RateLimits } from './rate-limits.ts'
import { HOW_TO_MAKE, type MasterKeys, parseMasterKeys } from './vault/master-keys.ts'

const ROLES = ['api', 'coordinator', 'worker'] as const
type Role = (typeof ROLES)[number]

export interface Config {
  readonly host: string
  /** 0 takes a free port. */
  readonly port: number
  readonly roles: ReadonlySet<Role>
  /** Health and metrics on a port of their own; 0 takes a free one, `null`: the API's. */
  readonly opsPort: number | null
  readonly dataDirectory: string
  /** `null`: Weft brings its own PostgreSQL, in the data directory. */
  readonly databaseUrl: string | null
  /** Connections to the database beside those of the coordinator. */
  readonly databasePool: number
  /** After this the database gives a statement up; `null`: never. */
  readonly databaseTimeoutMs: number | null
  /** `null`: tasks and signals stay in the memory of this process. */
  readonly redisUrl: string | null
  /** `null`: the key in the data directory, made at the first start. */
  readonly apiKey: string | null
  /** `null`: those of the data directory, one made at the first start. */
  readonly masterKeys: MasterKeys | null
  readonly rateLimits: RateLimits
  /** Origins whose pages may call the API, such as `https://app.example.com`. */
  readonly corsOrigins: readonly string[]
  readonly egressAllow: readonly string[]
  /** Attempts at a time per node type; `*` for those that are not named. 0: none of it here. */
  readonly workerConcurrency: ReadonlyMap<string, number>
  /** Folder with the user's own node types. */
  readonly nodesFolder: string | null
  /** Reload the node types of `nodesFolder` when a file changes. */
  readonly watchNodes: boolean
  /** How long finished runs are kept; `null`: for ever. */
  readonly retentionMs: number | null
  /** Dispatch nothing until somebody resumes all. */
  readonly startPaused: boolean
  readonly logLevel: LogLevel
  readonly logFormat: LogFormat
  /** JSON texts by variable name, `WEFT_CREDENTIAL_…`. */
  readonly credentials: Readonly<Record<string, string>>
}

/** What a command line may set; names are those of the settings, without the prefix. */
export type Flags = Partial<Record<SettingName, string | undefined>> & {
  /** Added to `WEFT_EGRESS_ALLOW`. */
  readonly allow?: readonly string[]
  /** Reload node types on change, as `weft dev` does. */
  readonly watchNodes?: boolean
}

export interface ConfigSources {
  readonly flags?: Flags
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Where `.weft` is looked for. */
  readonly directory?: string
  /** Where the data goes when no `.weft` is found upward; `~/.weft` unless given. */
  readonly defaultDataDirectory?: string
}

export type ConfigResult =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly problems: readonly string[] }

interface Setting {
  readonly variable: string
  readonly default: string
  readonly meaning: string
  /** `text`: shown; `secret`: only whether it is set; `url`: without its password. */
  readonly shown: 'text' | 'secret' | 'url'
}

const DEFAULT_CONCURRENCY = 'http=64,agent=8,code=2,*=16'

export const SETTINGS = {
  host: { variable: 'WEFT_HOST', default: '127.0.0.1', meaning: 'address of the API', shown: 'text' },
  port: { variable: 'WEFT_PORT', default: '7400', meaning: 'port of the API', shown: 'text' },
  opsPort: {
    variable: 'WEFT_OPS_PORT',
    default: '',
    meaning:
      'port of health and metrics alone, without a key; unset: WEFT_PORT where the api role runs, else a free one, printed at the start',
    shown: 'text',
  },
  roles: {
    variable: 'WEFT_ROLES',
    default: 'api,coordinator,worker',
    meaning: 'what this process does: api, coordinator, worker; a part of them needs both URLs',
    shown: 'text',
  },
  dataDirectory: {
    variable: 'WEFT_DATA_DIR',
    default: '',
    meaning: 'own PostgreSQL, keys, server.json',
    shown: 'text',
  },
  databaseUrl: {
    variable: 'WEFT_DATABASE_URL',
    default: '',
    meaning: 'PostgreSQL 15 or newer; unset: Weft brings its own',
    shown: 'url',
  },
  databasePool: {
    variable: 'WEFT_DATABASE_POOL',
    default: '10',
    meaning: 'connections of this process to PostgreSQL; a coordinator has two more',
    shown: 'text',
  },
  databaseTimeout: {
    variable: 'WEFT_DATABASE_TIMEOUT',
    default: '20s',
    meaning:
      'after this PostgreSQL gives a statement up, which is tried again where that is safe (`off`: never)',
    shown: 'text',
  },
  redisUrl: {
    variable: 'WEFT_REDIS_URL',
    default: '',
    meaning: 'Redis 6.2 or newer, or Valkey; unset: in memory, one process only',
    shown: 'url',
  },
  apiKey: {
    variable: 'WEFT_API_KEY',
    default: '',
    meaning: 'first admin key; unset: generated',
    shown: 'secret',
  },
  masterKey: {
    variable: 'WEFT_MASTER_KEY',
    default: '',
    meaning: 'encrypts stored credentials: 32 bytes, hexadecimal or base64; `<new>,<old>` replaces one',
    shown: 'secret',
  },
  rateLimits: {
    variable: 'WEFT_RATE_LIMITS',
    default: 'tiers',
    meaning: 'limits of calls that start work: `tiers`, `strict`, `off`, or JSON',
    shown: 'text',
  },
  corsOrigins: {
    variable: 'WEFT_CORS_ORIGINS',
    default: '',
    meaning:
      'origins whose pages may call the API from a browser, such as `https://app.example.com`; unset: the server’s own only',
    shown: 'text',
  },
  egressAllow: {
    variable: 'WEFT_EGRESS_ALLOW',
    default: '',
    meaning: 'what the egress guard lets through',
    shown: 'text',
  },
  workerConcurrency: {
    variable: 'WEFT_WORKER_CONCURRENCY',
    default: DEFAULT_CONCURRENCY,
    meaning:
      'attempts at a time per type; `<type>=0`: leaves that type to other workers, `*=0`: takes only the types named here',
    shown: 'text',
  },
  nodes: { variable: 'WEFT_NODES', default: '', meaning: 'folder with your own node types', shown: 'text' },
  retention: {
    variable: 'WEFT_RETENTION',
    default: '30d',
    meaning: 'how long finished runs are kept (`off`: for ever)',
    shown: 'text',
  },
  startPaused: {
    variable: 'WEFT_START_PAUSED',
    default: 'false',
    meaning: '`true`: dispatch nothing until `weft resume --all`, after a restore; for every process alike',
    shown: 'text',
  },
  logLevel: { variable: 'WEFT_LOG_LEVEL', default: 'info', meaning: LOG_LEVELS.join(', '), shown: 'text' },
  logFormat: {
    variable: 'WEFT_LOG_FORMAT',
    default: 'json',
    meaning: LOG_FORMATS.join(' or '),
    shown: 'text',
  },
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof SETTINGS

/** Known, and read elsewhere. */
const OTHER_VARIABLES = ['WEFT_URL']
const CREDENTIAL_PREFIX = 'WEFT_CREDENTIAL_'
const DATA_FOLDER = '.weft'

export function readConfig(sources: ConfigSources = {}): ConfigResult {
  const environment = sources.environment ?? process.env
  const reading = new Reading(sources.flags ?? {}, environment)
  const config: Config = {
    host: reading.host(),
    port: reading.port('port'),
    opsPort: reading.opsPort(),
    roles: reading.roles(),
    dataDirectory: reading.dataDirectory(sources),
    databaseUrl: reading.databaseUrl(),
    databasePool: reading.databasePool(),
    databaseTimeoutMs: reading.databaseTimeoutMs(),
    redisUrl: reading.redisUrl(),
    apiKey: reading.apiKey(),
    masterKeys: reading.masterKeys(),
    rateLimits: reading.rateLimits(),
    corsOrigins: reading.corsOrigins(),
    egressAllow: reading.egressAllow(),
    workerConcurrency: reading.workerConcurrency(),
    nodesFolder: reading.nodesFolder(),
    watchNodes: sources.flags?.watchNodes ?? false,
    retentionMs: reading.retentionMs(),
    startPaused: reading.oneOf('startPaused', ['true', 'false']) === 'true',
    logLevel: reading.oneOf('logLevel', LOG_LEVELS),
    logFormat: reading.oneOf('logFormat', LOG_FORMATS),
    credentials: reading.credentials(),
  }
  if (reading.problems.length > 0) return { ok: false, problems: reading.problems }
  return { ok: true, config, warnings: [...reading.warnings, ...unknownVariables(environment)] }
}

/** One reading of all settings: collects what is wrong instead of stopping at the first. */
class Reading {
  readonly problems: string[] = []
  readonly warnings: string[] = []
  readonly #flags: Flags
  readonly #environment: Readonly<Record<string, string | undefined>>

  constructor(flags: Flags, environment: Readonly<Record<string, string | undefined>>) {
    this.#flags = flags
    this.#environment = environment
  }

  /** The value as given; empty counts as not given. */
  #given(name: SettingName): string | null {
    return this.#flags[name]?.trim() || this.#environment[SETTINGS[name].variable]?.trim() || null
  }

  #value(name: SettingName): string {
    return this.#given(name) ?? SETTINGS[name].default
  }

  /** The setting as the person gave it: `WEFT_PORT=abc`, or `--port abc`. */
  #written(name: SettingName): string {
    const flag = this.#flags[name]?.trim()
    const { variable, shown } = SETTINGS[name]
    if (flag)
      return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${shown === 'text' ? flag : '…'}`
    const value = this.#environment[variable]?.trim()
    return shown === 'text' ? `${variable}=${value}` : variable
  }

  #refuse(name: SettingName, sentence: string): void {
    this.problems.push(`${this.#written(name)} ${sentence}`)
  }

  host(): string {
    const host = this.#value('host')
    if (/[\s/]|:\/\//.test(host))
      this.#refuse(
        'host',
        'is not an address to listen on: write a host name or an IP address, without a scheme.',
      )
    return host
  }

  opsPort(): number | null {
    return this.#given('opsPort') === null ? null : this.port('opsPort')
  }

  port(name: 'port' | 'opsPort'): number {
    const text = this.#value(name)
    const port = Number(text)
    if (/^\d+$/.test(text) && port <= 65_535) return port
    this.#refuse(name, 'is not a port: write a number from 1 to 65535, or 0 for a free one.')
    return 0
  }

  roles(): ReadonlySet<Role> {
    const names = list(this.#value('roles'))
    const roles = new Set<Role>()
    for (const name of names) {
      const role = ROLES.find((known) => known === name)
      if (role) roles.add(role)
      else
        this.#refuse(
          'roles',
          `names \`${name}\`, which is no role: ${suggestion(name, ROLES)}the roles are ${ROLES.join(', ')}.`,
        )
    }
    if (names.length === 0) this.#refuse('roles', `names no role: write some of ${ROLES.join(', ')}.`)
    const isPart =
      names.length > 0 && names.every((name) => roles.has(name as Role)) && roles.size < ROLES.length
    const missing = (['databaseUrl', 'redisUrl'] as const).filter((name) => this.#given(name) === null)
    if (isPart && missing.length > 0) {
      this.#refuse(
        'roles',
        `leaves roles to other processes, and they meet in one PostgreSQL and one Redis: set ${missing.map((name) => SETTINGS[name].variable).join(' and ')}, or run all roles in this process (leave WEFT_ROLES unset).`,
      )
    }
    if (isPart && (roles.has('api') || roles.has('worker')) && this.#given('masterKey') === null)
      this.warnings.push(
        'WEFT_MASTER_KEY is unset, so this process takes the key of its data directory: give every process with the api or worker role the same, or workers cannot read the credentials that the API stores.',
      )
    return roles
  }

  dataDirectory({ directory, defaultDataDirectory }: ConfigSources): string {
    const given = this.#given('dataDirectory')
    const start = directory ?? process.cwd()
    const chosen = given
      ? resolve(start, given)
      : (nearestDataFolder(start) ??
        defaultDataDirectory ??
        join(this.#environment.HOME || homedir(), DATA_FOLDER))
    if (existsSync(chosen) && !statSync(chosen).isDirectory()) {
      this.problems.push(
        `The data directory ${chosen} is a file: name a folder in WEFT_DATA_DIR, or move the file away.`,
      )
    }
    return chosen
  }

  databaseUrl(): string | null {
    const text = this.#given('databaseUrl')
    if (text === null) return null
    const url = URL.canParse(text) ? new URL(text) : null
    if (url && (url.protocol === 'postgres:' || url.protocol === 'postgresql:')) return text
    this.#refuse(
      'databaseUrl',
      'is not the address of a PostgreSQL: write postgres://user:password@host:5432/database.',
    )
    return null
  }

  databasePool(): number {
    const text = this.#value('databasePool')
    if (/^\d{1,4}$/.test(text) && Number(text) >= 2) return Number(text)
    this.#refuse('databasePool', 'is not a number of connections: write one from 2 to 9999.')
    return 2
  }

  databaseTimeoutMs(): number | null {
    const text = this.#value('databaseTimeout')
    if (text === 'off') return null
    const ms = parseDuration(text)
    if (ms !== null && ms >= 1_000 && ms < 2 ** 31) return ms
    this.#refuse('databaseTimeout', 'is not a duration of at least one second: write 20s, 5m, or off.')
    return null
  }

  redisUrl(): string | null {
    const text = this.#given('redisUrl')
    if (text === null) return null
    const url = URL.canParse(text) ? new URL(text) : null
    if (url && (url.protocol === 'redis:' || url.protocol === 'rediss:') && url.hostname) return text
    this.#refuse(
      'redisUrl',
      'is not the address of a Redis: write redis://user:password@host:6379, or rediss:// for TLS.',
    )
    return null
  }

  apiKey(): string | null {
    const key = this.#given('apiKey')
    if (key !== null && (key.length < 16 || /\s/.test(key))) {
      this.#refuse(
        'apiKey',
        'is too weak for a key: use at least 16 characters without spaces, or leave it unset to have one made.',
      )
    }
    return key
  }

  masterKeys(): MasterKeys | null {
    const text = this.#given('masterKey')
    if (text === null) return null
    const keys = parseMasterKeys(text)
    if (keys === null) {
      this.#refuse(
        'masterKey',
        `is not a master key: write 32 bytes as 64 hexadecimal digits or as base64 (${HOW_TO_MAKE}), the one to encrypt with first, older ones behind it after commas. Or leave it unset to have one made.`,
      )
    }
    return keys
  }

  rateLimits(): RateLimits {
    const parsed = parseRateLimits(this.#value('rateLimits'))
    if (parsed.ok) return parsed.limits
    this.#refuse('rateLimits', parsed.problem)
    return { global: null, key: null, tiers: [] }
  }

  corsOrigins(): readonly string[] {
    return list(this.#value('corsOrigins')).map((entry) => {
      const url = URL.canParse(entry) ? new URL(entry) : null
      if (url && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url.origin
      this.#refuse(
        'corsOrigins',
        entry === '*'
          ? 'would let every page of the internet call this server: name the origins of yours, such as https://app.example.com.'
          : `has the entry \`${entry}\`, which is no origin: write scheme and host, and the port if it has one, such as https://app.example.com or http://localhost:5173.`,
      )
      return entry
    })
  }

  egressAllow(): readonly string[] {
    const entries = [...list(this.#value('egressAllow')), ...(this.#flags.allow ?? []).flatMap(list)]
    const parsed = parseAllowList(entries)
    if (!parsed.ok)
      for (const problem of parsed.problems) this.problems.push(`WEFT_EGRESS_ALLOW (or --allow): ${problem}`)
    return entries
  }

  workerConcurrency(): ReadonlyMap<string, number> {
    const limits = new Map<string, number>()
    const given = list(this.#value('workerConcurrency'))
    const isClosed = given.some((entry) => /^\*\s*=\s*0+$/.test(entry))
    for (const entry of [...(isClosed ? [] : list(DEFAULT_CONCURRENCY)), ...given]) {
      const [, type, count] = /^([^=\s]+)\s*=\s*(\d+)$/.exec(entry) ?? []
      if (type === undefined || Number(count) > 100_000) {
        this.#refuse(
          'workerConcurrency',
          `has the entry \`${entry}\`: write type=count with a count from 0 to 100000, such as http=64,*=16.`,
        )
      } else limits.set(type, Number(count))
    }
    return limits
  }

  nodesFolder(): string | null {
    const folder = this.#given('nodes')
    if (folder === null) return null
    const path = resolve(folder)
    if (!existsSync(path))
      this.#refuse('nodes', `names a folder that does not exist (${path}): create it, or correct the path.`)
    else if (!statSync(path).isDirectory())
      this.#refuse('nodes', `names a file; it wants the folder that holds your node types.`)
    return path
  }

  retentionMs(): number | null {
    const text = this.#value('retention')
    if (text === 'off') return null
    const ms = parseDuration(text)
    if (ms !== null && ms > 0) return ms
    this.#refuse('retention', 'is not a duration: write 30d, 12h, or off to keep finished runs for ever.')
    return null
  }

  oneOf<const T extends string>(name: SettingName, allowed: readonly T[]): T {
    const value = this.#value(name)
    const known = allowed.find((item) => item === value)
    if (known) return known
    this.#refuse(name, `is not known: ${suggestion(value, allowed)}it is one of ${allowed.join(', ')}.`)
    return allowed[0] as T
  }

  credentials(): Record<string, string> {
    const found: Record<string, string> = {}
    for (const [variable, text] of Object.entries(this.#environment)) {
      if (!variable.startsWith(CREDENTIAL_PREFIX) || !text) continue
      if (isJsonObject(text)) found[variable] = text
      else
        this.problems.push(
          `${variable} must be a JSON object such as {"token":"…"}; what it holds is not one.`,
        )
    }
    return found
  }
}

const list = (text: string): string[] =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')

function suggestion(name: string, names: readonly string[]): string {
  const nearest = nearestName(name, names)
  return nearest ? `did you mean \`${nearest}\`? ` : ''
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

/** The nearest `.weft` in this folder or above it. */
function nearestDataFolder(start: string): string | null {
  for (let folder = resolve(start); ; folder = dirname(folder)) {
    const candidate = join(folder, DATA_FOLDER)
    if (existsSync(candidate)) return candidate
    if (dirname(folder) === folder) return null
  }
}

function unknownVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known = [...Object.values(SETTINGS).map(({ variable }) => variable), ...OTHER_VARIABLES]
  return Object.keys(environment)
    .filter(
      (name) => name.startsWith('WEFT_') && !name.startsWith(CREDENTIAL_PREFIX) && !known.includes(name),
    )
    .map((name) => `${name} is set, and Weft does not know it: ${suggestion(name, known)}it has no effect.`)
}

export interface DescribedSetting {
  readonly name: string
  readonly value: string
  readonly meaning: string
}

/** What is in force, for `weft doctor`: secrets hidden, passwords left out of addresses. */
export function describeConfig(config: Config): DescribedSetting[] {
  const values: Record<SettingName, string> = {
    host: config.host,
    port: String(config.port),
    opsPort: describeOpsPort(config),
    roles: [...config.roles].join(','),
    dataDirectory: config.dataDirectory,
    databaseUrl: config.databaseUrl === null ? 'its own PostgreSQL' : withoutPassword(config.databaseUrl),
    databasePool: String(config.databasePool),
    databaseTimeout: config.databaseTimeoutMs === null ? 'off' : `${config.databaseTimeoutMs / 1_000}s`,
    redisUrl: config.redisUrl === null ? 'in memory' : withoutPassword(config.redisUrl),
    apiKey: config.apiKey === null ? 'in the data directory' : 'set (hidden)',
    masterKey: config.masterKeys === null ? 'in the data directory' : 'set (hidden)',
    rateLimits: describeRateLimits(config.rateLimits),
    corsOrigins: config.corsOrigins.join(',') || 'none but its own',
    egressAllow: config.egressAllow.join(',') || 'nothing',
    workerConcurrency: [...config.workerConcurrency].map(([type, count]) => `${type}=${count}`).join(','),
    nodes: config.nodesFolder ?? 'none',
    retention: config.retentionMs === null ? 'off' : `${config.retentionMs / 86_400_000}d`,
    startPaused: String(config.startPaused),
    logLevel: config.logLevel,
    logFormat: config.logFormat,
  }
  const settings = (Object.entries(SETTINGS) as [SettingName, Setting][]).map(
    ([name, { variable, meaning }]) => ({
      name: variable,
      value: values[name],
      meaning,
    }),
  )
  const credentials = Object.keys(config.credentials).map((name) => ({
    name,
    value: 'set (hidden)',
    meaning: 'a credential',
  }))
  return [...settings, ...credentials]
}

const describeOpsPort = ({ opsPort, port, roles }: Config): string =>
  opsPort === null ? (roles.has('api') ? String(port) : 'a free one') : String(opsPort)

function withoutPassword(address: string): string {
  if (!URL.canParse(address)) return '(hidden)'
  const url = new URL(address)
  if (url.password) url.password = '***'
  for (const name of [...url.searchParams.keys()])
    if (/password|secret|key|token/i.test(name)) url.searchParams.set(name, '***')
  return url.href
}

export interface CliEnvironment {
  /** The server that WEFT_URL names. */
  readonly url: string | null
  readonly apiKey: string | null
  /** Where a server of this machine would have left its address and its key. */
  readonly dataDirectory: string
  /** NO_COLOR is set, or the terminal cannot show any. */
  readonly noColour: boolean
}

/** What the CLI reads of the environment: where its server is, and how to print. */
export function cliEnvironment(
  directory: string = process.cwd(),
  environment: Readonly<Record<string, string | undefined>> = process.env,
): CliEnvironment {
  return {
    url: environment.WEFT_URL?.trim() || null,
    apiKey: environment.WEFT_API_KEY?.trim() || null,
    dataDirectory: new Reading({}, environment).dataDirectory({ directory }),
    noColour: Boolean(environment.NO_COLOR) || environment.TERM === 'dumb',
  }
}
