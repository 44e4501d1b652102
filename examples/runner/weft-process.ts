/**
 * `weft serve` in a process of its own, with the PostgreSQL that it brings: started, killed without a word, started
 * again on the same data, stopped.
 *
 * Owns: both processes and the log file. Does not own: the data directory. The server ends when this process does.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from '../../server/src/cli/client.ts'
import { readApiKey, readServerFile } from '../../server/src/server-file.ts'

const CLI = join(import.meta.dirname, '..', '..', 'server', 'src', 'cli', 'main.ts')
const END_WITH_PARENT = join(import.meta.dirname, 'end-with-parent.ts')
const LOOK_EVERY_MS = 10

/** The server ended before it was ready. The message is what it said. */
export class WeftDidNotStart extends Error {
  override readonly name = 'WeftDidNotStart'
  readonly exitCode: number
  constructor(exitCode: number, said: string) {
    super(said)
    this.exitCode = exitCode
  }
}

export interface WeftProcessOptions {
  readonly dataDirectory: string
  /** The whole environment of the server, `WEFT_…` included. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

export class WeftProcess {
  readonly #options: WeftProcessOptions
  readonly logFile: string
  #child: ChildProcess | undefined
  #client: Client | undefined

  constructor(options: WeftProcessOptions) {
    this.#options = options
    this.logFile = join(options.dataDirectory, 'weft.log')
  }

  /** Resolves when the API answers and everything it needs is there. Throws {@link WeftDidNotStart}. */
  async start(): Promise<void> {
    const { dataDirectory, environment } = this.#options
    mkdirSync(dataDirectory, { recursive: true, mode: 0o700 })
    const log = openSync(this.logFile, 'a', 0o600)
    const logStart = statSync(this.logFile).size
    const child = spawn(process.execPath, ['--import', END_WITH_PARENT, CLI, 'serve'], {
      env: { ...environment, ...this.#samePort(), WEFT_DATA_DIR: dataDirectory },
      stdio: ['pipe', log, log],
      // Not in the terminal's group: Ctrl-C reaches the supervisor alone, which ends the others in order.
      detached: true,
    })
    closeSync(log)
    this.#child = child
    for (;;) {
      if (hasEnded(child)) {
        this.#child = undefined
        throw new WeftDidNotStart(
          child.exitCode ?? 1,
          readFileSync(this.logFile).subarray(logStart).toString().trim(),
        )
      }
      const file = await readServerFile(dataDirectory)
      if (file !== null && file.pid === child.pid && !file.starting && (await isReady(file.url))) {
        this.#client = new Client({ url: file.url, apiKey: await readApiKey(dataDirectory) })
        return
      }
      await pause(LOOK_EVERY_MS)
    }
  }

  /** Started again, the server answers where it did before, whatever port it had found. */
  #samePort(): { WEFT_PORT?: string } {
    return this.#client === undefined ? {} : { WEFT_PORT: new URL(this.#client.address.url).port }
  }

  /** The API of the server, once it has started. */
  get client(): Client {
    if (this.#client === undefined) throw new Error('Weft has not been started')
    return this.#client
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** First process of the PostgreSQL that Weft brought; undefined with a database of somebody else. */
  get postgresPid(): number | undefined {
    try {
      const pid = Number(
        readFileSync(join(this.#options.dataDirectory, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0],
      )
      process.kill(pid, 0)
      return pid
    } catch {
      return undefined
    }
  }

  /** Resolves to the exit code when the server has ended, by itself or not. */
  async ended(): Promise<number | null> {
    const child = this.#child
    if (child === undefined || hasEnded(child)) return child?.exitCode ?? null
    const [code] = (await once(child, 'exit')) as [number | null]
    return code
  }

  /** SIGKILL to the server and to its PostgreSQL, in one go; resolves when the server is gone. */
  async kill(): Promise<void> {
    const { pid, postgresPid } = this
    const ended = this.ended()
    for (const victim of [pid, postgresPid]) if (victim !== undefined) process.kill(victim, 'SIGKILL')
    await ended
    this.#child = undefined
  }

  /** SIGTERM; resolves to the exit code when the server is gone, and its PostgreSQL, whoever had killed the server. */
  async stop(): Promise<number | null> {
    const ended = this.ended()
    this.#child?.kill('SIGTERM')
    const code = await ended
    this.#child = undefined
    // Without a start that went well, it would be the database of another server.
    if (this.#client === undefined) return code
    const orphan = this.postgresPid
    if (orphan !== undefined) process.kill(orphan, 'SIGINT')
    while (this.postgresPid !== undefined) await pause(LOOK_EVERY_MS)
    return code
  }
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/readyz`)
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}
