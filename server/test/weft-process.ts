/**
 * The server of tests and of the bench: on a port and with a key that they choose, on a data directory of its own. What
 * users start, and what can be killed without a word of warning, together with the PostgreSQL that it brought.
 *
 * Owns: port, key, and that nothing is left behind. Does not own: when the data directory goes (`removeDataDirectory`).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CLI, postgresOf, ServerProcess, send } from '../../examples/runner/server-process.ts'

export { postmasterOf } from '../../examples/runner/server-process.ts'
export { freePort } from './servers/free-port.ts'

const KEPT_OUTPUT_CHARACTERS = 4_000

export interface WeftProcessOptions {
  readonly dataDirectory: string
  readonly port: number
  readonly apiKey: string
  /** `host:port` of what the egress guard lets through. */
  readonly allow?: string
  readonly environment?: Readonly<Record<string, string>>
}

/** Data directories in use, and servers that run on them. */
const directories = new Set<string>()
const servers = new Set<ChildProcess>()

// Whoever started servers and is ended before it could end them (Ctrl-C) leaves nothing behind.
process.once('exit', () => {
  for (const child of servers) child.kill('SIGKILL')
  for (const directory of directories) {
    for (const pid of postgresOf(directory)) send(pid, 'SIGKILL')
    rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  }
})

export function newDataDirectory(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `weft-${name}-`))
  directories.add(directory)
  return directory
}

export async function removeDataDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  directories.delete(directory)
}

export const newApiKey = (): string => `weft_${randomBytes(24).toString('hex')}`

/** The address of the PostgreSQL that a server brought, as its data directory tells. */
export function databaseUrlOf(dataDirectory: string): string {
  const { password, port } = JSON.parse(readFileSync(join(dataDirectory, 'postgres.json'), 'utf8')) as {
    password: string
    port: number
  }
  return `postgres://weft:${password}@127.0.0.1:${port}/weft`
}

export class WeftProcess extends ServerProcess {
  readonly url: string
  readonly apiKey: string
  readonly #options: WeftProcessOptions
  #output = ''

  constructor(options: WeftProcessOptions) {
    super(options.dataDirectory)
    this.#options = options
    this.url = `http://127.0.0.1:${options.port}`
    this.apiKey = options.apiKey
  }

  protected override spawn(): ChildProcess {
    const { dataDirectory, port, apiKey, allow, environment } = this.#options
    const child = spawn(process.execPath, [CLI, 'serve'], {
      cwd: dataDirectory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH ?? '',
        HOME: process.env.HOME ?? '',
        WEFT_DATA_DIR: dataDirectory,
        WEFT_PORT: String(port),
        WEFT_API_KEY: apiKey,
        WEFT_LOG_LEVEL: 'warn',
        ...(allow === undefined ? {} : { WEFT_EGRESS_ALLOW: allow }),
        ...environment,
      },
    })
    servers.add(child)
    child.once('exit', () => servers.delete(child))
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-KEPT_OUTPUT_CHARACTERS)
      })
    }
    return child
  }

  /** Without the API nothing stands in the data directory, and health has a port of its own. */
  protected override async whereItAnswers(child: ChildProcess): Promise<string | null> {
    const opsPort = this.#options.environment?.WEFT_OPS_PORT
    return opsPort === undefined ? super.whereItAnswers(child) : `http://127.0.0.1:${opsPort}`
  }

  protected override said(): string {
    return this.#output
  }

  get databaseUrl(): string {
    return databaseUrlOf(this.dataDirectory)
  }

  /** The end of what the server printed. */
  get output(): string {
    return this.#output
  }
}
