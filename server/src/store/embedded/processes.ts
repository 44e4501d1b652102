/**
 * Which processes belong to a PostgreSQL data folder, told from the operating system and `postmaster.pid`. A pid alone
 * proves nothing (it may have been given to another program, or be a zombie that nobody reaps): a server is ours only
 * when it is a `postgres` that works in our folder.
 */
import { execFile } from 'node:child_process'
import { link, readdir, readFile, readlink, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Clock } from '../../clock.ts'
import { childEnvironment } from './account.ts'
import { systemCode } from './error.ts'

const execute = promisify(execFile)

/** What the running server writes into its folder, line by line. */
export interface PostmasterFile {
  readonly pid: number
  readonly port: number
  /** `starting`, `ready`, `stopping`, `standby`; empty while the file is being written. */
  readonly status: string
}

interface OsProcess {
  readonly parent: number
  readonly title: string
  /** Working folder; null where the system does not say. */
  readonly folder: string | null
}

export async function readPostmasterFile(dataFolder: string): Promise<PostmasterFile | null> {
  const text = await readFile(join(dataFolder, 'postmaster.pid'), 'utf8').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  })
  if (text === null) return null
  const lines = text.split('\n')
  // A standalone backend writes its pid negated.
  return {
    pid: Math.abs(Number(lines[0]) || 0),
    port: Number(lines[3]) || 0,
    status: (lines[7] ?? '').trim(),
  }
}

/** True while `pid` is a live `postgres` server (not one of its children) of this folder. */
export async function isPostmasterOf(pid: number, dataFolder: string): Promise<boolean> {
  const found = pid > 0 ? await inspect(pid) : null
  if (found === null || found.title.startsWith('postgres:')) return false
  return worksIn(found, dataFolder)
}

/**
 * Ends the children of a server that was killed: they hold its shared memory, and PostgreSQL refuses to start until
 * they are gone. Children of a live server are left alone.
 */
export async function endOrphans(dataFolder: string, clock: Clock): Promise<number> {
  if (process.platform !== 'linux') return 0 // they end by themselves within a second or two; the start is repeated
  const orphans: number[] = []
  for (const name of await readdir('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    const found = await inspect(pid)
    if (found === null || !found.title.startsWith('postgres:') || !worksIn(found, dataFolder)) continue
    if (!(await isPostmasterOf(found.parent, dataFolder))) orphans.push(pid)
  }
  // Their server is dead, so there is nothing left that they could finish: commits are durable or they are not.
  for (const pid of orphans) send(pid, 'SIGQUIT')
  for (const pid of orphans) {
    if (!(await waitUntilGone(pid, clock, 2_000))) send(pid, 'SIGKILL')
    await waitUntilGone(pid, clock, 5_000)
  }
  return orphans.length
}

/**
 * Takes away a `postmaster.pid` whose pid now belongs to somebody else (PostgreSQL would take that for a running
 * server). Renamed first and looked at again, so that a server that started in between keeps its file.
 */
export async function removeStalePostmasterFile(dataFolder: string, stale: PostmasterFile): Promise<void> {
  const file = join(dataFolder, 'postmaster.pid')
  const aside = `${file}.stale-${process.pid}`
  try {
    await rename(file, aside)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return
    throw error
  }
  const pid = Math.abs(Number((await readFile(aside, 'utf8')).split('\n')[0]) || 0)
  if (pid !== stale.pid) await link(aside, file).catch(() => {})
  await rm(aside, { force: true })
}

/** Resolves true when the process has ended (a zombie has), false when `limitMs` passed first. */
export async function waitUntilGone(pid: number, clock: Clock, limitMs: number): Promise<boolean> {
  const deadline = clock.monotonic() + limitMs
  while ((await inspect(pid)) !== null) {
    if (clock.monotonic() > deadline) return false
    await pause(10)
  }
  return true
}

export async function isAlive(pid: number): Promise<boolean> {
  return (await inspect(pid)) !== null
}

/** Sends a signal to a process that may have ended meanwhile. */
export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error
  }
}

function worksIn(found: OsProcess, dataFolder: string): boolean {
  return found.folder === null ? found.title.includes(dataFolder) : found.folder === dataFolder
}

/** Null when there is no such process, when it is a zombie, or when it is no `postgres`. */
async function inspect(pid: number): Promise<OsProcess | null> {
  return process.platform === 'linux' ? inspectProc(pid) : inspectPs(pid)
}

async function inspectProc(pid: number): Promise<OsProcess | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // "pid (name) state parent …"; the name may hold spaces and parentheses.
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (state === 'Z' || state === 'X' || name !== 'postgres') return null
    const [folder, title] = await Promise.all([
      readlink(`/proc/${pid}/cwd`),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ])
    return { parent: Number(parent), title: title.replaceAll('\0', ' '), folder }
  } catch (error) {
    // EACCES: somebody else's process, hence not of a server that this user started.
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(systemCode(error) ?? '')) return null
    throw error
  }
}

async function inspectPs(pid: number): Promise<OsProcess | null> {
  try {
    const { stdout } = await execute('ps', ['-o', 'stat=,ppid=,command=', '-p', String(pid)], {
      env: childEnvironment,
    })
    const match = /^\s*(\S+)\s+(\d+)\s+(.*)$/.exec(stdout.trim())
    if (match === null || match[1]!.startsWith('Z')) return null
    const title = match[3]!
    if (!title.startsWith('postgres:') && basename(title.split(' -D ')[0]!) !== 'postgres') return null
    return { parent: Number(match[2]), title, folder: null }
  } catch {
    return null // `ps` ends with 1 when there is no such process
  }
}
