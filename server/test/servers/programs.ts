/**
 * The server programs that the tests need and npm does not bring: Redis, and a PostgreSQL older than the one that Weft
 * brings along. Owns: where they are looked for, and their installation. Does not own: a running server.
 *
 * Software is installed on a machine that nobody sits at (root, no terminal: a container, a runner), or when
 * WEFT_TEST_INSTALL=1 says so. A person's machine is left alone: the line to type is printed, and the tests that need
 * the program are skipped with that reason.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Below the one that Weft brings along, and supported. */
const OLDER_POSTGRES_MAJORS = [15, 16, 17]
/** Debian's rule for "install, but start nothing": exit code 101 of this script. */
const POLICY_FILE = '/usr/sbin/policy-rc.d'

export interface OlderPostgres {
  readonly major: number
  /** The folder with `initdb` and `postgres`. */
  readonly binaries: string
}

/** The path of a Redis or Valkey server; `null` when this machine has none. */
export function findRedis(): string | null {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin']
  for (const name of ['redis-server', 'valkey-server']) {
    for (const folder of folders) if (existsSync(join(folder, name))) return join(folder, name)
  }
  return null
}

/** The oldest supported PostgreSQL of this machine that is older than Weft's own. */
export function findOlderPostgres(): OlderPostgres | null {
  for (const major of OLDER_POSTGRES_MAJORS) {
    for (const binaries of [
      `/usr/lib/postgresql/${major}/bin`, // Debian
      `/usr/pgsql-${major}/bin`, // Red Hat
      `/opt/homebrew/opt/postgresql@${major}/bin`,
    ]) {
      if (existsSync(join(binaries, 'initdb'))) return { major, binaries }
    }
  }
  return null
}

const isMissing = {
  redis: () => !process.env.WEFT_TEST_REDIS_URL && findRedis() === null,
  postgres: () => findOlderPostgres() === null,
}

/** Installs what is missing where that may be done; says what to do where it may not. */
export async function ensurePrograms(): Promise<void> {
  if (!isMissing.redis() && !isMissing.postgres()) return
  const isUnattended = process.getuid?.() === 0 && !process.stdin.isTTY && !process.stderr.isTTY
  if (isUnattended || process.env.WEFT_TEST_INSTALL === '1') await install()
  const missing = [
    ...(isMissing.redis() ? ['redis-server'] : []),
    ...(isMissing.postgres() ? ['postgresql-15'] : []),
  ]
  if (missing.length === 0) return
  process.stderr.write(
    `The tests that need ${missing.join(' and ')} are skipped. To run them too:\n` +
      `  sudo apt-get install -y ${missing.join(' ')}\n` +
      '  (or WEFT_TEST_INSTALL=1 npm test; WEFT_TEST_REDIS_URL=redis://… uses a Redis of yours, which the tests fill and empty)\n',
  )
}

async function install(): Promise<void> {
  if (!existsSync('/usr/bin/apt-get')) return
  process.stderr.write('Installing servers that the tests need (once) …\n')
  // Their packages would start servers of their own on the usual ports.
  const startsNothing = !existsSync(POLICY_FILE) && process.getuid?.() === 0
  if (startsNothing) await writeFile(POLICY_FILE, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await apt('update')
    if (isMissing.redis()) await aptInstall(['redis-server', 'valkey-server'])
    if (isMissing.postgres()) await aptInstall(['postgresql-15', 'postgresql'])
  } finally {
    if (startsNothing) await rm(POLICY_FILE, { force: true })
  }
}

/** The first of these packages that the distribution has; what goes wrong is said, and the tests are skipped. */
async function aptInstall(packages: readonly string[]): Promise<void> {
  const failures: string[] = []
  for (const name of packages) {
    const failure = await apt('install', '--no-install-recommends', name)
    if (failure === null) return
    failures.push(`${name}: ${failure}`)
  }
  process.stderr.write(`apt-get could not install ${failures.join('; ')}\n`)
}

async function apt(...words: readonly string[]): Promise<string | null> {
  const isRoot = process.getuid?.() === 0
  const command = ['apt-get', '-y', '-qq', '-o', 'DPkg::Lock::Timeout=300', ...words]
  const [file, ...args] = isRoot ? command : ['sudo', '-n', ...command]
  try {
    await execute(file as string, args, { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
    return null
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string }
    return (stderr || message).trim().split('\n').at(-1) ?? ''
  }
}
