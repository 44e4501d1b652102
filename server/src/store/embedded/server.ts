/**
 * One PostgreSQL server process on a whole data folder: found running (adopted) or started, and ended.
 *
 * Invariants: at most one server works on a folder (PostgreSQL's own lock decides between two starts at once; the
 * loser adopts). A start that fails leaves no process behind. `stop()` ends an adopted server too: it belongs to the
 * data directory, not to whoever started it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '../../clock.ts'
import { childEnvironment, type Launcher } from './account.ts'
import type { Binaries } from './binaries.ts'
import { type Credentials, rememberPort } from './credentials.ts'
import { EmbeddedPostgresError, explainOutput } from './error.ts'
import { openLog, readLog } from './log.ts'
import {
  endOrphans,
  isAlive,
  isPostmasterOf,
  readPostmasterFile,
  removeStalePostmasterFile,
  send,
  waitUntilGone,
} from './processes.ts'
import { cannotRun, identity, runProgram } from './program.ts'
import { greet, resetPasswordStatement } from './session.ts'
import { serverArguments } from './settings.ts'

export interface Ground {
  /** Weft's data directory and PostgreSQL's folder in it, both without symbolic links. */
  readonly dataDirectory: string
  readonly folder: string
  readonly binaries: Binaries
  readonly launcher: Launcher
  readonly credentials: Credentials
  readonly clock: Clock
  readonly progress: (message: string) => void
  /** The server's process has been started, or was found. */
  readonly launched: () => void
}

export interface Server {
  readonly pid: number
  readonly port: number
  readonly version: string
  readonly adopted: boolean
  /** Resolves when the process has ended, for whatever reason. */
  readonly gone: Promise<void>
}

type Outcome =
  | { readonly kind: 'running'; readonly server: Server }
  | { readonly kind: 'port_taken' | 'locked' | 'shared_memory' | 'wrong_password' | 'ended' }

const attempts = 12
const saysItStillWorksEveryMs = 5_000

/** Adopts the server of this folder or starts one. `fixedPort`: a server whose address is already known to others. */
export async function bringUp(ground: Ground, cancelled: AbortSignal, fixedPort?: number): Promise<Server> {
  let port = fixedPort ?? ground.credentials.port ?? (await freePort())
  let passwordReset = false
  for (let attempt = 1; attempt <= attempts; attempt++) {
    cancelled.throwIfAborted()
    const outcome = (await adopt(ground, cancelled)) ?? (await launch(ground, port, cancelled))
    switch (outcome.kind) {
      case 'running':
        await rememberPort(ground.dataDirectory, ground.credentials, outcome.server.port, ground.clock)
        return outcome.server
      case 'port_taken':
        if (fixedPort === undefined) port = await freePort()
        else await pause(200)
        break
      case 'shared_memory':
        await endOrphans(ground.folder, ground.clock)
        await pause(250)
        break
      case 'wrong_password':
        if (passwordReset)
          throw explainOutput('logging in', ground.folder, 'password authentication failed twice')
        await resetPassword(ground)
        passwordReset = true
        break
      case 'locked': // another start was faster: look again, and adopt what it started
      case 'ended': // it was shutting down while we looked
        await pause(50)
        break
    }
  }
  throw new EmbeddedPostgresError(
    'postgres_data_locked',
    `PostgreSQL cannot be started on ${ground.folder}: another PostgreSQL holds the folder or its port and neither ends ` +
      'nor answers. Look for a second Weft on this data directory and stop it, or set WEFT_DATA_DIR to another folder.',
  )
}

/** Fast shutdown: sessions are ended, a checkpoint is written. Resolves when the process is gone. */
export async function endServer(pid: number, ground: Ground): Promise<void> {
  // The pid is judged anew before each signal: it may have been given to somebody else since.
  for (const [signal, limitMs] of [
    ['SIGINT', 30_000],
    ['SIGQUIT', 5_000], // without the checkpoint: the next start recovers
    ['SIGKILL', 5_000],
  ] as const) {
    if (!(await isPostmasterOf(pid, ground.folder))) return
    send(pid, signal)
    if (await waitUntilGone(pid, ground.clock, limitMs)) return
  }
}

/** Null when no server of this folder runs; a `postmaster.pid` that would hinder a start is then out of the way. */
async function adopt(ground: Ground, cancelled: AbortSignal): Promise<Outcome | null> {
  const found = await readPostmasterFile(ground.folder)
  if (found === null) return null
  if (await isPostmasterOf(found.pid, ground.folder)) {
    ground.progress(`Found this data directory's PostgreSQL running (pid ${found.pid}); using it.`)
    const gone = untilGone(found.pid, ground.clock)
    ground.launched()
    return awaitReady(ground, found.pid, true, gone, cancelled)
  }
  await endOrphans(ground.folder, ground.clock)
  // A dead pid is PostgreSQL's own business (it takes its lock atomically); a living one it would believe.
  if (found.pid === 0 || signalReaches(found.pid)) await removeStalePostmasterFile(ground.folder, found)
  return null
}

async function launch(ground: Ground, port: number, cancelled: AbortSignal): Promise<Outcome> {
  const { launcher, binaries, folder, dataDirectory } = ground
  const command = launcher.command(binaries.postgres, serverArguments(folder, port))
  const log = await openLog(dataDirectory)
  let child: ChildProcess
  try {
    child = spawn(command.file, command.args, {
      ...identity(command),
      env: childEnvironment,
      cwd: '/',
      detached: true, // its own session: the terminal's Ctrl-C reaches Weft alone, which shuts down in order
      stdio: ['ignore', log.file.fd, log.file.fd],
    })
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', (error) => reject(cannotRun(command, error)))
    })
    ground.launched()
  } finally {
    await log.file.close()
  }
  const pid = child.pid!
  const gone = new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    else child.once('exit', () => resolve())
  })
  let outcome: Outcome | undefined
  try {
    outcome = await awaitReady(ground, pid, false, gone, cancelled)
  } finally {
    if (outcome?.kind !== 'running') {
      child.kill('SIGINT')
      await gone
    }
  }
  return outcome.kind === 'ended' ? explainEnd(ground, await readLog(dataDirectory, log.startsAt)) : outcome
}

function explainEnd(ground: Ground, said: string): Outcome {
  if (/could not bind .*Address already in use/i.test(said)) return { kind: 'port_taken' }
  if (/lock file "postmaster\.pid" (already exists|is empty)/.test(said)) return { kind: 'locked' }
  if (/pre-existing shared memory block/.test(said)) return { kind: 'shared_memory' }
  throw explainOutput('starting', ground.folder, said)
}

/** Waits as long as the process lives: recovery after a crash may take a while, and then it says so. */
async function awaitReady(
  ground: Ground,
  pid: number,
  adopted: boolean,
  gone: Promise<void>,
  cancelled: AbortSignal,
): Promise<Outcome> {
  const { folder, credentials, clock } = ground
  let ended = false
  void gone.then(() => {
    ended = true
  })
  let sayAt = clock.monotonic() + saysItStillWorksEveryMs
  while (!ended) {
    cancelled.throwIfAborted()
    const file = await readPostmasterFile(folder)
    if (file?.pid === pid && file.port > 0 && (file.status === 'ready' || adopted)) {
      const greeting = await greet(file.port, credentials.password, folder)
      switch (greeting.kind) {
        case 'ready':
          return {
            kind: 'running',
            server: { pid, port: file.port, version: greeting.version, adopted, gone },
          }
        case 'wrong_password':
          if (adopted) await endServer(pid, ground)
          return { kind: 'wrong_password' }
        case 'stranger':
          return { kind: 'port_taken' }
        case 'not_yet':
          await pause(25)
      }
    }
    if (clock.monotonic() > sayAt) {
      ground.progress('PostgreSQL is still recovering what was written before the last stop …')
      sayAt = clock.monotonic() + saysItStillWorksEveryMs
    }
    await Promise.race([gone, pause(5)])
  }
  return { kind: 'ended' }
}

/** The file with the password was lost or replaced: who owns the folder may set another. The server does not run. */
async function resetPassword(ground: Ground): Promise<void> {
  const { launcher, binaries, folder, credentials } = ground
  ground.progress('The password of the own PostgreSQL is unknown; setting a new one.')
  const command = launcher.command(binaries.postgres, ['--single', '-D', folder, 'postgres'])
  const { code, output } = await runProgram(command, resetPasswordStatement(credentials.password))
  if (code !== 0) throw explainOutput('setting a new password', folder, output)
}

/** An adopted server is nobody's child here, so its end is looked for. Does not keep the process alive. */
function untilGone(pid: number, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const look = async () => {
      if (await isAlive(pid)) clock.after(200, () => void look())
      else resolve()
    }
    void look()
  })
}

function signalReaches(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
}
