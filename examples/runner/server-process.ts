/**
 * The life of a `weft serve` in a process of its own, with the PostgreSQL that it brings: started, killed without a
 * word, started again on the same data, stopped.
 *
 * Owns: both processes. Does not own: how the server is spawned and where its words go (whoever extends this says so),
 * nor the data directory.
 */
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { readServerFile } from '../../server/src/server-file.ts'
import { isAlive, processTree } from './os-process.ts'

export const CLI = join(import.meta.dirname, '..', '..', 'server', 'src', 'cli', 'main.ts')
const LOOK_EVERY_MS = 5
/** A server that is not ready after this is broken. */
const READY_WITHIN_MS = 120_000

/** The server ended before it was ready, or never was. The message is what it said. */
export class WeftDidNotStart extends Error {
  override readonly name = 'WeftDidNotStart'
  readonly exitCode: number
  constructor(exitCode: number, said: string) {
    super(said)
    this.exitCode = exitCode
  }
}

export abstract class ServerProcess {
  readonly dataDirectory: string
  #child: ChildProcess | null = null
  #ended: Promise<number | null> = Promise.resolve(null)
  #url: string | null = null

  constructor(dataDirectory: string) {
    this.dataDirectory = dataDirectory
  }

  protected abstract spawn(): ChildProcess

  /** What the server has said since it was spawned, or the end of it. */
  protected abstract said(): string

  /**
   * Resolves to the milliseconds until the API answered and everything it needs was there. Throws
   * {@link WeftDidNotStart}.
   */
  async start(): Promise<number> {
    const begun = performance.now()
    const child = this.spawn()
    this.#child = child
    this.#ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)))
    for (;;) {
      if (hasEnded(child)) {
        this.#child = null
        throw new WeftDidNotStart(child.exitCode ?? 1, this.said())
      }
      const url = await this.whereItAnswers(child)
      if (url !== null && (await isReady(url))) {
        this.#url = url
        return performance.now() - begun
      }
      if (performance.now() - begun > READY_WITHIN_MS)
        throw new WeftDidNotStart(1, `not ready after ${READY_WITHIN_MS} ms:\n${this.said()}`)
      await pause(LOOK_EVERY_MS)
    }
  }

  /** `null`: the server has not said it yet. */
  protected async whereItAnswers({ pid }: ChildProcess): Promise<string | null> {
    const file = await readServerFile(this.dataDirectory)
    return file !== null && file.pid === pid && !file.starting ? file.url : null
  }

  /** Where the server answered when it had started; `null` before. */
  protected get address(): string | null {
    return this.#url
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** The first process of the PostgreSQL that Weft brought; `null` when none is running. */
  get postgresPid(): number | null {
    return postmasterOf(this.dataDirectory)
  }

  /** The server, what it started, and its PostgreSQL. */
  pids(): number[] {
    return processTree([this.pid, this.postgresPid].filter((pid) => pid !== undefined && pid !== null))
  }

  /** Resolves to the exit code when the server has ended, by itself or not. */
  ended(): Promise<number | null> {
    return this.#ended
  }

  /** SIGKILL to the server and, if wanted, to every process of its PostgreSQL, all in one go. */
  async kill(withPostgres: boolean): Promise<void> {
    if (this.pid === undefined) return
    for (const pid of [this.pid, ...(withPostgres ? postgresOf(this.dataDirectory) : [])])
      send(pid, 'SIGKILL')
    await this.#ended
    this.#child = null
  }

  /** SIGTERM; resolves to the exit code when the server is gone, and its PostgreSQL, whoever had killed the server. */
  async stop(): Promise<number | null> {
    this.#child?.kill('SIGTERM')
    const code = await this.#ended
    this.#child = null
    // Without a start that went well, it would be the database of another server.
    if (this.#url === null) return code
    const orphan = this.postgresPid
    if (orphan !== null) send(orphan, 'SIGINT')
    while (this.postgresPid !== null) await pause(LOOK_EVERY_MS)
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

/** The first process of the PostgreSQL in this data directory; `null` when none is running. */
export function postmasterOf(dataDirectory: string): number | null {
  try {
    const text = readFileSync(join(dataDirectory, 'postgres', 'postmaster.pid'), 'utf8')
    const pid = Number(text.split('\n')[0])
    return pid > 0 && isAlive(pid) ? pid : null
  } catch {
    return null
  }
}

/** Every process of the PostgreSQL in this data directory; the first one alone where the system does not tell. */
export function postgresOf(dataDirectory: string): number[] {
  const postmaster = postmasterOf(dataDirectory)
  return postmaster === null ? [] : [...new Set([postmaster, ...processTree([postmaster])])]
}

export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
