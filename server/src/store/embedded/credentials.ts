/**
 * `postgres.json` in Weft's data directory (mode 0600): the password of the role `weft` and the port used last. The
 * password is made once and is never on a command line, in the environment, or in a log.
 */
import { link, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../clock.ts'
import { systemCode } from './error.ts'

export interface Credentials {
  readonly password: string
  /** Null until a server has started once. */
  readonly port: number | null
}

const fileOf = (dataDirectory: string) => join(dataDirectory, 'postgres.json')

/** Reads the file, or makes it. Of two processes that make it at once, both end up with the same password. */
export async function loadCredentials(dataDirectory: string, clock: Clock): Promise<Credentials> {
  const stored = await readCredentials(dataDirectory)
  if (stored !== null) return stored
  await rm(fileOf(dataDirectory), { force: true }) // unreadable: the password is set anew, see `resetPassword`
  const fresh: Credentials = { password: clock.token(24), port: null }
  const draft = await writeDraft(dataDirectory, fresh, clock)
  try {
    await link(draft, fileOf(dataDirectory))
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  } finally {
    await rm(draft, { force: true })
  }
  return (await readCredentials(dataDirectory)) ?? fresh
}

export async function rememberPort(
  dataDirectory: string,
  credentials: Credentials,
  port: number,
  clock: Clock,
): Promise<void> {
  if (credentials.port === port) return
  await rename(await writeDraft(dataDirectory, { ...credentials, port }, clock), fileOf(dataDirectory))
}

async function readCredentials(dataDirectory: string): Promise<Credentials | null> {
  try {
    const stored = JSON.parse(await readFile(fileOf(dataDirectory), 'utf8')) as Partial<Credentials>
    if (typeof stored?.password !== 'string' || stored.password.length < 16) return null
    return { password: stored.password, port: typeof stored.port === 'number' ? stored.port : null }
  } catch (error) {
    if (error instanceof SyntaxError || systemCode(error) === 'ENOENT') return null
    throw error
  }
}

async function writeDraft(dataDirectory: string, credentials: Credentials, clock: Clock): Promise<string> {
  const draft = `${fileOf(dataDirectory)}.${clock.token(6)}`
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(`${JSON.stringify(credentials)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  return draft
}
