/**
 * Ground for the tests of the embedded PostgreSQL: data directories (copies of one that was initialised once), engines
 * in processes of their own that can be killed, and the certainty that nothing is left running.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, afterEach } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { endOrphans, isPostmasterOf, readPostmasterFile, send } from '../../src/store/embedded/processes.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/store/embedded.ts'

const execute = promisify(execFile)
export const isRoot = process.getuid?.() === 0
const clock = systemClock()

export interface Ground {
  /** A new path for a data directory, below a folder that only this user may enter. */
  emptyDirectory(): Promise<string>
  /** A data directory with a stopped, initialised PostgreSQL in it. */
  usedDirectory(): Promise<string>
  start(
    dataDirectory: string,
    log?: (message: string) => void,
    progress?: (message: string) => void,
  ): Promise<EmbeddedPostgres>
  /** `wrapper`: a command that runs the engine in its turn, with less privileges or another view of the system. */
  engine(dataDirectory: string, user?: { uid: number; gid: number }, wrapper?: readonly string[]): Engine
}

/** An engine in its own process and process group; it prints one JSON line per thing that happened. */
export interface Engine {
  readonly process: ChildProcess
  /** The next line of which `accept` holds. */
  line(accept: (line: EngineLine) => boolean): Promise<EngineLine>
  kill(): Promise<void>
}

export interface EngineLine {
  readonly kind: 'progress' | 'ready' | 'answered' | 'failed'
  readonly url?: string
  readonly pid?: number
  readonly adopted?: boolean
  readonly message?: string
  readonly code?: string
}

/** Call once per test file. */
export function embeddedGround(): Ground {
  const folders: string[] = []
  const directories: string[] = []
  const servers: EmbeddedPostgres[] = []
  const engines: Engine[] = []
  let template: Promise<string> | undefined

  async function newFolder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'weft-embedded-'))
    await chmod(folder, 0o700)
    folders.push(folder)
    return folder
  }

  async function emptyDirectory(): Promise<string> {
    const directory = join(await newFolder(), 'data')
    directories.push(directory)
    return directory
  }

  async function makeTemplate(): Promise<string> {
    const directory = join(await newFolder(), 'data')
    await (await startEmbeddedPostgres({ dataDirectory: directory, clock })).stop()
    return directory
  }

  afterEach(async () => {
    for (const engine of engines.splice(0)) await engine.kill()
    for (const server of servers.splice(0)) await server.stop()
    for (const directory of directories.splice(0)) await endEverything(join(directory, 'postgres'))
  })
  afterAll(async () => {
    for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })

  return {
    emptyDirectory,
    async usedDirectory() {
      template ??= makeTemplate()
      const directory = await emptyDirectory()
      await execute('cp', ['-a', await template, directory])
      return directory
    },
    async start(dataDirectory, log = () => {}, progress = () => {}) {
      const server = await startEmbeddedPostgres({ dataDirectory, clock, log, progress })
      servers.push(server)
      return server
    },
    engine(dataDirectory, user, wrapper = []) {
      const engine = spawnEngine(dataDirectory, user, wrapper)
      engines.push(engine)
      return engine
    },
  }
}

function spawnEngine(
  dataDirectory: string,
  user: { uid: number; gid: number } | undefined,
  wrapper: readonly string[],
): Engine {
  const script = fileURLToPath(new URL('embedded-engine.ts', import.meta.url))
  const [file, ...args] = [...wrapper, process.execPath, script, dataDirectory]
  const child = spawn(file!, args, {
    ...user,
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const seen: EngineLine[] = []
  const waiting = new Set<() => void>()
  createInterface({ input: child.stdout! }).on('line', (text) => {
    seen.push(JSON.parse(text) as EngineLine)
    for (const look of waiting) look()
  })
  return {
    process: child,
    line: (accept) =>
      new Promise((resolve) => {
        const look = () => {
          const found = seen.findIndex(accept)
          if (found < 0) return
          waiting.delete(look)
          resolve(seen.splice(found, 1)[0]!)
        }
        waiting.add(look)
        look()
      }),
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function endEverything(folder: string): Promise<void> {
  const file = await readPostmasterFile(folder).catch(() => null)
  if (file !== null && (await isPostmasterOf(file.pid, folder))) send(file.pid, 'SIGKILL')
  await endOrphans(folder, clock)
}

/** Runs one statement on its own connection. */
export async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(sql)).rows as Record<string, unknown>[]
  } finally {
    await client.end()
  }
}

/** The pid of the server that works on this data directory; null when there is none. */
export async function serverPid(dataDirectory: string): Promise<number | null> {
  const folder = join(dataDirectory, 'postgres')
  const file = await readPostmasterFile(folder)
  return file !== null && (await isPostmasterOf(file.pid, folder)) ? file.pid : null
}

export async function processStatus(pid: number, field: string): Promise<string> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? ''
}
