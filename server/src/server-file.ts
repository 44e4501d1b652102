/**
 * Three files of the data directory: `server.json`, which says who serves it (the CLI finds its server by it, and a second
 * server is refused), `api-key`, the first admin key, and `master-key`, which encrypts credentials; readable by their
 * owner only.
 *
 * A killed server leaves its `server.json` behind. It is believed only while its process lives and answers.
 */
import { link, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Clock } from './clock.ts'
import { HOW_TO_MAKE, joinMasterKeys, type MasterKeys, parseMasterKeys } from './vault/master-keys.ts'

export interface ServerFile {
  readonly url: string
  readonly pid: number
  readonly startedAt: number
  /** It does not answer yet: another server that starts now must not adopt its database. */
  readonly starting?: true
}

const SERVER_FILE = 'server.json'
const KEY_FILE = 'api-key'
const MASTER_KEY_FILE = 'master-key'
const MASTER_KEY_BYTES = 32
const KEY_BYTES = 24
const ANSWER_WITHIN_MS = 2_000
const POLL_MS = 100
/** A process that has been starting for longer is another one that got the number of a dead one. */
const STARTING_FOR_MS = 60_000

export class DataDirectoryTaken extends Error {
  override readonly name = 'DataDirectoryTaken'
  readonly code = 'data_directory_taken'
  constructor(directory: string, { url, pid }: ServerFile) {
    super(
      `the data directory ${directory} is served already, by process ${pid} at ${url}. ` +
        'Use that server, stop it, or give this one a directory of its own (WEFT_DATA_DIR).',
    )
  }
}

/** What the file says, whether or not that server still lives; `null` without a readable file. */
export async function readServerFile(directory: string): Promise<ServerFile | null> {
  try {
    const { url, pid, startedAt, starting } = JSON.parse(
      await readFile(join(directory, SERVER_FILE), 'utf8'),
    ) as Partial<ServerFile>
    if (typeof url !== 'string' || typeof pid !== 'number' || typeof startedAt !== 'number') return null
    if (!URL.canParse(url)) return null
    return { url, pid, startedAt, ...(starting ? { starting } : {}) }
  } catch {
    return null
  }
}

/** The server that serves this directory and answers, if any. */
export async function liveServer(directory: string): Promise<ServerFile | null> {
  const file = await readServerFile(directory)
  if (!file || file.starting || !processLives(file.pid)) return null
  return (await answers(file.url)) ? file : null
}

/** As `liveServer`; one that is starting is waited for, and `onWait` hears of it once. */
export async function startedServer(
  directory: string,
  onWait: (file: ServerFile) => void,
): Promise<ServerFile | null> {
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const file = await readServerFile(directory)
    const isStarting = file?.starting === true && processLives(file.pid)
    if (!isStarting || waitedMs >= STARTING_FOR_MS) return liveServer(directory)
    if (waitedMs === 0) onWait(file)
    await setTimeout(POLL_MS)
  }
}

/** Throws `DataDirectoryTaken` when another live server has the directory, or is about to. */
export async function refuseSecondServer(directory: string, clock: Clock): Promise<void> {
  const file = await readServerFile(directory)
  if (!file || file.pid === process.pid || !processLives(file.pid)) return
  const isStarting = file.starting === true && Math.abs(clock.now() - file.startedAt) < STARTING_FOR_MS
  if (isStarting || (await answers(file.url))) throw new DataDirectoryTaken(directory, file)
}

/** Says who serves the directory from now on; the returned function takes that back. */
export async function writeServerFile(directory: string, file: ServerFile): Promise<() => Promise<void>> {
  await writeWhole(directory, SERVER_FILE, `${JSON.stringify(file)}\n`)
  return async () => {
    const current = await readServerFile(directory)
    if (current?.pid === file.pid && current.startedAt === file.startedAt)
      await rm(join(directory, SERVER_FILE), { force: true })
  }
}

/** The key of the data directory; made at the first start. A given one replaces it, so that the CLI finds it. */
export async function ensureApiKey(directory: string, given: string | null, clock: Clock): Promise<string> {
  const stored = await readApiKey(directory)
  const key = given ?? stored
  if (key === null) {
    const made = `weft_${clock.token(KEY_BYTES)}`
    // Another process may have made one this moment; a file that holds nothing is replaced.
    if (await writeNew(directory, KEY_FILE, `${made}\n`)) return made
    const theirs = await readApiKey(directory)
    if (theirs !== null) return theirs
    await writeWhole(directory, KEY_FILE, `${made}\n`)
    return made
  }
  if (key !== stored) await writeWhole(directory, KEY_FILE, `${key}\n`)
  return key
}

export async function readApiKey(directory: string): Promise<string | null> {
  try {
    return (await readFile(join(directory, KEY_FILE), 'utf8')).trim() || null
  } catch {
    return null
  }
}

export class MasterKeyUnusable extends Error {
  override readonly name = 'MasterKeyUnusable'
  readonly code = 'master_key_unusable'
}

/**
 * The given keys, with those of the data directory behind them, so that credentials from before still open. Without a
 * given one a key is made at the first start. A file that cannot be used is never replaced: what was encrypted with its
 * key would be lost.
 */
export async function ensureMasterKeys(
  directory: string,
  given: MasterKeys | null,
  clock: Clock,
): Promise<MasterKeys> {
  const path = join(directory, MASTER_KEY_FILE)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw new MasterKeyUnusable(`the master key ${path} cannot be read (${error.message}). Make it readable.`)
  })
  if (text === null) {
    if (given !== null) return given
    const key = clock.token(MASTER_KEY_BYTES)
    if (await writeNew(directory, MASTER_KEY_FILE, `${key}\n`)) return parseMasterKeys(key) as MasterKeys
    return ensureMasterKeys(directory, given, clock)
  }
  const stored = parseMasterKeys(text)
  if (stored !== null) return given === null ? stored : joinMasterKeys(given, stored)
  throw new MasterKeyUnusable(
    `${path} is not a master key: it holds one per line, 64 hexadecimal digits or base64 of 32 bytes. Restore it from a backup; if there is none, remove it to have a new one made (${HOW_TO_MAKE}, too), and give the stored credentials their values again.`,
  )
}

/** Whole or not at all, and for its owner only. */
async function writeWhole(directory: string, name: string, text: string): Promise<void> {
  await rename(await writeDraft(directory, name, text), join(directory, name))
}

/** As `writeWhole`, but never over a file that is there; `false`: there is one. */
async function writeNew(directory: string, name: string, text: string): Promise<boolean> {
  const draft = await writeDraft(directory, name, text)
  try {
    await link(draft, join(directory, name))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

async function writeDraft(directory: string, name: string, text: string): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const draft = join(directory, `.${name}.${process.pid}`)
  await writeFile(draft, text, { mode: 0o600 })
  const file = await open(draft, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
  return draft
}

function processLives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Whether something that speaks HTTP answers there. The server's own address: no request of a user goes this way. */
function answers(address: string): Promise<boolean> {
  const { hostname, port } = new URL(address)
  return new Promise((resolve) => {
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port),
      timeout: ANSWER_WITHIN_MS,
    })
    const end = (live: boolean): void => {
      socket.destroy()
      resolve(live)
    }
    socket.once('connect', () =>
      socket.write(`GET /healthz HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\n\r\n`),
    )
    socket.once('data', (bytes) => end(bytes.toString('latin1').startsWith('HTTP/1.1 ')))
    socket.once('error', () => end(false))
    socket.once('timeout', () => end(false))
    socket.once('close', () => end(false))
  })
}
