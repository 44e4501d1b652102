/**
 * The PostgreSQL that Weft brings when it is given none: started on the data directory with the engine, ended with it.
 *
 * Owns: the folder `postgres/` of the data directory, `postgres.json` (password and port), `postgres.log`, the server
 * process. Does not own: tables (migrations), connections (the pool), who may use the data directory (`server.json`).
 *
 * Invariants
 * - Real durability: `fsync`, `synchronous_commit` and `full_page_writes` are on (see embedded/settings.ts).
 * - On 127.0.0.1 only, with a generated password that only files of mode 0600 hold (R14).
 * - The data folder is whole or absent, and data is never deleted (see embedded/folder.ts).
 * - At most one server per folder; one left by a killed engine is adopted (see embedded/server.ts).
 * - A server that ends by itself (killed, disk full) is started again at the same address until `stop()`: what Weft
 *   brought, Weft keeps alive, and clients only have to connect again.
 */
import { mkdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import { chooseLauncher } from './embedded/account.ts'
import { locateBinaries } from './embedded/binaries.ts'
import { loadCredentials } from './embedded/credentials.ts'
import { EmbeddedPostgresError, fileFailure } from './embedded/error.ts'
import { hasData, initialise, removeAbandonedDrafts } from './embedded/folder.ts'
import { boundLog } from './embedded/log.ts'
import { readPostmasterFile } from './embedded/processes.ts'
import { bringUp, endServer, type Ground, type Server } from './embedded/server.ts'

export { EmbeddedPostgresError } from './embedded/error.ts'

export interface EmbeddedPostgres {
  /** `postgres://weft:<password>@127.0.0.1:<port>/weft`; the same for as long as this object lives. */
  readonly url: string
  /** Of the server, such as `18.4`. */
  readonly version: string
  /** True when the server was found running, left by an engine that was killed. */
  readonly adopted: boolean
  /** Of the server's first process; changes when it had to be started again. */
  readonly pid: number
  /** Ends the server and resolves when its process is gone. May be called again. */
  stop(): Promise<void>
}

export interface EmbeddedOptions {
  /** Weft's data directory, for example `./.weft`; made if it is missing. */
  readonly dataDirectory: string
  readonly clock: Clock
  /** What an operator should know later: the server ended, was started again, … */
  readonly log?: (message: string) => void
  /** What takes a moment at the start, for the person who waits. */
  readonly progress?: (message: string) => void
  /** A program of PostgreSQL works by itself now: the moment for what would hold this process up. May be called again. */
  readonly launched?: () => void
}

const logCheckEveryMs = 60_000
const restartDelayLimitMs = 5_000
const livedWellMs = 30_000

/** Rejects with an `EmbeddedPostgresError` whose text is meant for the person at the terminal. */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  try {
    const ground = await prepare(options)
    const server = await bringUp(ground, new AbortController().signal)
    return supervise(ground, server, options.log ?? (() => {}))
  } catch (error) {
    throw error instanceof EmbeddedPostgresError ? error : fileFailure(error, options.dataDirectory)
  }
}

async function prepare(options: EmbeddedOptions): Promise<Ground> {
  const { clock, progress = () => {}, launched = () => {} } = options
  const binaries = await locateBinaries()
  await mkdir(options.dataDirectory, { recursive: true, mode: 0o700 })
  const dataDirectory = await realpath(options.dataDirectory)
  const folder = join(dataDirectory, 'postgres')
  await removeAbandonedDrafts(dataDirectory, clock)
  const launcher = await chooseLauncher(binaries, folder)
  const data = await hasData(folder, binaries.major)
  const credentials = await loadCredentials(dataDirectory, clock)
  if (!data) {
    progress(`Making a PostgreSQL ${binaries.major} database in ${folder} …`)
    await initialise(dataDirectory, folder, binaries, launcher, credentials.password, launched)
  }
  return { dataDirectory, folder, binaries, launcher, credentials, clock, progress, launched }
}

function supervise(ground: Ground, first: Server, log: (message: string) => void): EmbeddedPostgres {
  let server = first
  let stopped: Promise<void> | undefined
  const stopping = new AbortController()
  const aborted = new Promise((resolve) => stopping.signal.addEventListener('abort', resolve))

  async function keepAlive(): Promise<void> {
    let delayMs = 0
    for (let aliveSince = ground.clock.monotonic(); ; ) {
      await Promise.race([server.gone, aborted])
      if (stopping.signal.aborted) return
      log(`PostgreSQL (pid ${server.pid}) ended by itself; starting it again on port ${server.port}`)
      // A server that ends over and over (a full disk) is tried more and more rarely, yet never given up.
      if (ground.clock.monotonic() - aliveSince > livedWellMs) delayMs = 0
      for (let running = false; !running; delayMs = Math.min(2 * delayMs + 50, restartDelayLimitMs)) {
        await pauseUnlessStopped(delayMs)
        if (stopping.signal.aborted) return
        try {
          server = await bringUp(ground, stopping.signal, server.port)
          log(`PostgreSQL runs again (pid ${server.pid})`)
          running = true
        } catch (error) {
          if (stopping.signal.aborted) return
          log(error instanceof Error ? error.message : String(error))
        }
      }
      aliveSince = ground.clock.monotonic()
    }
  }

  async function pauseUnlessStopped(delayMs: number): Promise<void> {
    let withdraw = () => {}
    const passed = new Promise<void>((resolve) => {
      withdraw = ground.clock.after(delayMs, resolve)
    })
    await Promise.race([passed, aborted])
    withdraw()
  }

  const kept = keepAlive()
  let withdrawLogCheck = () => {}
  const checkLog = () => {
    withdrawLogCheck = ground.clock.after(logCheckEveryMs, () => {
      boundLog(ground.dataDirectory).catch((error: unknown) => log(`cannot shorten postgres.log: ${error}`))
      checkLog()
    })
  }
  checkLog()

  return {
    url: `postgres://weft:${ground.credentials.password}@127.0.0.1:${first.port}/weft`,
    version: first.version,
    adopted: first.adopted,
    get pid() {
      return server.pid
    },
    stop() {
      stopped ??= (async () => {
        stopping.abort()
        withdrawLogCheck()
        await endServer(server.pid, ground)
        await kept // a start that was under way has ended its process
        const other = await readPostmasterFile(ground.folder) // unless it had found somebody else's
        if (other !== null) await endServer(other.pid, ground)
      })()
      return stopped
    },
  }
}
