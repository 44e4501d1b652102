/**
 * A real `weft serve` in a process of its own, on a data directory of its own: what users start, and what can be killed
 * without a word of warning, together with the PostgreSQL that it brought.
 *
 * Owns: the process, its port, its API key. Does not own: the data directory's life (`removeDataDirectory`).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { processTree } from './os-process.ts'

export { freePort } from './servers/free-port.ts'

const CLI = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
/** A server that is not ready after this is broken; the error carries what it printed. */
const READY_WITHIN_MS = 60_000
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
    const postmaster = postmasterOf(directory)
    for (const pid of postmaster === null ? [] : processTree([postmaster])) send(pid, 'SIGKILL')
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

/** The first process of that PostgreSQL; `null` when none is running. */
export function postmasterOf(dataDirectory: string): number | null {
  try {
    const text = readFileSync(join(dataDirectory, 'postgres', 'postmaster.pid'), 'utf8')
    const pid = Number(text.split('\n')[0])
    return pid > 0 && processTree([pid]).length > 0 ? pid : null
  } catch {
    return null
  }
}

export class WeftProcess {
  readonly url: string
  readonly apiKey: string
  readonly dataDirectory: string
  readonly #options: WeftProcessOptions
  #child: ChildProcess | null = null
  #ended: Promise<number | null> = Promise.resolve(null)
  #output = ''

  constructor(options: WeftProcessOptions) {
    this.#options = options
    this.url = `http://127.0.0.1:${options.port}`
    this.apiKey = options.apiKey
    this.dataDirectory = options.dataDirectory
  }

  /** Spawns the server; resolves to the milliseconds that passed until `/readyz` said yes. */
  async start(): Promise<number> {
    const { dataDirectory, port, apiKey, allow, environment } = this.#options
    const begun = performance.now()
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
    this.#child = child
    servers.add(child)
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-KEPT_OUTPUT_CHARACTERS)
      })
    }
    this.#ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)))
    void this.#ended.then(() => servers.delete(child))
    let isOver = false
    void this.#ended.then(() => {
      isOver = true
    })
    while (!(await isReady(`${this.url}/readyz`))) {
      if (isOver)
        throw new Error(`weft serve ended with ${child.exitCode} before it was ready:\n${this.#output}`)
      if (performance.now() - begun > READY_WITHIN_MS) {
        throw new Error(`weft serve was not ready after ${READY_WITHIN_MS} ms:\n${this.#output}`)
      }
      await pause(5)
    }
    return performance.now() - begun
  }

  /** SIGKILL to the server and, if wanted, to every process of its PostgreSQL, all in one go. */
  async kill(withPostgres: boolean): Promise<void> {
    const child = this.#child
    if (!child?.pid) return
    const postmaster = withPostgres ? postmasterOf(this.dataDirectory) : null
    const victims = [child.pid, ...(postmaster === null ? [] : processTree([postmaster]))]
    for (const pid of victims) send(pid, 'SIGKILL')
    await this.#ended
    this.#child = null
  }

  /** SIGTERM; resolves to the exit code. */
  async stop(): Promise<number | null> {
    const child = this.#child
    if (!child) return null
    child.kill('SIGTERM')
    const code = await this.#ended
    this.#child = null
    return code
  }

  /** Ends whatever is left, politely or not: for the end of a test. */
  async end(): Promise<void> {
    await this.stop()
    const postmaster = postmasterOf(this.dataDirectory)
    if (postmaster === null) return
    send(postmaster, 'SIGINT')
    while (postmasterOf(this.dataDirectory) !== null) await pause(20)
  }

  /** The server, what it started, and its PostgreSQL. */
  pids(): number[] {
    const roots = [this.#child?.pid, postmasterOf(this.dataDirectory)]
    return processTree(roots.filter((pid) => pid !== undefined && pid !== null))
  }

  get databaseUrl(): string {
    return databaseUrlOf(this.dataDirectory)
  }

  /** The end of what the server printed. */
  get output(): string {
    return this.#output
  }
}

function isReady(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.on('error', () => resolve(false))
  })
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
