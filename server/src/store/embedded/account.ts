/**
 * As whom PostgreSQL runs. It refuses uid 0, so a Weft that runs as root starts it as another OS user and gives that
 * user its folder. The catch: node_modules or the data directory may lie below a folder that only root may enter
 * (/root/weft, a fresh HOME with mode 0700), and folders that are not Weft's are not opened to others. There, and only
 * there, `setpriv` starts PostgreSQL with the one capability that lets it walk through: CAP_DAC_READ_SEARCH, or
 * CAP_DAC_OVERRIDE where a container's bounding set lacks the former.
 */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, chown, lstat, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import type { Binaries } from './binaries.ts'
import { EmbeddedPostgresError, systemCode } from './error.ts'

const execute = promisify(execFile)

/** Environment of every process started here: nothing of Weft's own, which holds credentials (R14). */
export const childEnvironment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' }

export interface OsUser {
  readonly uid: number
  readonly gid: number
}

export interface Launcher {
  /** Whom files must belong to; null when Weft is an ordinary user and PostgreSQL simply runs as the same one. */
  readonly user: OsUser | null
  command(binary: string, args: readonly string[]): LaunchCommand
  /** Gives a file or folder that Weft made to PostgreSQL's user. */
  own(path: string): Promise<void>
}

export interface LaunchCommand {
  readonly file: string
  readonly args: readonly string[]
  readonly uid?: number
  readonly gid?: number
}

/** `dataFolder` is PostgreSQL's folder; it need not exist yet, its parent must. */
export async function chooseLauncher(binaries: Binaries, dataFolder: string): Promise<Launcher> {
  const ownUid = process.geteuid?.()
  const owner = await ownerOf(dataFolder)
  if (ownUid !== 0) {
    if (owner !== null && ownUid !== undefined && owner.uid !== ownUid) {
      throw new EmbeddedPostgresError(
        'postgres_data_owner',
        `The PostgreSQL data in ${dataFolder} belongs to the user with uid ${owner.uid}, but Weft runs as uid ${ownUid}; ` +
          'most likely it was started as root before. Start Weft as it was started then, give the folder to this user ' +
          `(sudo chown -R ${ownUid} ${dataFolder}), or set WEFT_DATA_DIR to another folder.`,
      )
    }
    return { user: null, command: (file, args) => ({ file, args }), own: async () => {} }
  }

  // Existing data keeps its owner, so that `sudo` once does not lock the ordinary user out for ever.
  const user = owner !== null && owner.uid !== 0 ? owner : await postgresUser()
  const own = (path: string) => chown(path, user.uid, user.gid)
  const blocked = await firstUnreachable(user, [binaries.postgres, binaries.share], [dirname(dataFolder)])
  if (blocked === null) {
    return { user, own, command: (file, args) => ({ file, args, uid: user.uid, gid: user.gid }) }
  }
  const setpriv = await firstExisting(['/usr/bin/setpriv', '/bin/setpriv', '/usr/local/bin/setpriv'])
  const capability = await traversalCapability(user, binaries.postgres)
  if (setpriv === null || capability === null) {
    throw new EmbeddedPostgresError(
      'postgres_cannot_run_as_root',
      `Weft runs as root, PostgreSQL refuses to, and the OS user it runs as instead (uid ${user.uid}) may not enter ` +
        `${blocked}. Either set WEFT_DATA_DIR to (and install Weft in) a folder that every user may enter, such as ` +
        '/var/lib/weft, or run Weft as an ordinary user, or install util-linux (setpriv), or set WEFT_DATABASE_URL to ' +
        'a PostgreSQL (15 or newer) of your own.',
    )
  }
  return {
    user,
    own,
    command: (file, args) => ({
      file: setpriv,
      args: [...privileges(user, capability), '--', file, ...args],
    }),
  }
}

/**
 * `no_setuid_fixup` matters: without it access(2), with which PostgreSQL finds its own program, ignores the capability
 * although open(2) honours it.
 */
function privileges(user: OsUser, capability: string): string[] {
  const only = `-all,+${capability}`
  return [
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    '--clear-groups',
    '--securebits=+no_setuid_fixup',
    `--bounding-set=${only}`,
    `--inh-caps=${only}`,
    `--ambient-caps=${only}`,
  ]
}

async function ownerOf(folder: string): Promise<OsUser | null> {
  try {
    const { uid, gid } = await lstat(folder)
    return { uid, gid }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
}

/** The OS user `postgres`, made if the system can make one, else `nobody`, which every system has. */
async function postgresUser(): Promise<OsUser> {
  const existing = await lookUp('postgres')
  if (existing !== null) return existing
  // shadow-utils (Debian, Fedora), then busybox (Alpine). Either fails where /etc is read-only.
  for (const [file, ...args] of [
    ['useradd', '--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres'],
    ['adduser', '-S', '-D', '-H', '-s', '/sbin/nologin', 'postgres'],
  ] as const) {
    await execute(file, args, { env: childEnvironment }).catch(() => {})
    const made = await lookUp('postgres')
    if (made !== null) return made
  }
  const nobody = await lookUp('nobody')
  if (nobody !== null) return nobody
  throw new EmbeddedPostgresError(
    'postgres_cannot_run_as_root',
    'Weft runs as root, PostgreSQL refuses to, and this system has no OS user `postgres` and lets none be made. ' +
      'Run Weft as an ordinary user, add the user (useradd --system postgres), or set WEFT_DATABASE_URL to a ' +
      'PostgreSQL (15 or newer) of your own.',
  )
}

async function lookUp(name: string): Promise<OsUser | null> {
  try {
    const [uid, gid] = await Promise.all(
      ['-u', '-g'].map(async (flag) =>
        Number((await execute('id', [flag, name], { env: childEnvironment })).stdout),
      ),
    )
    return uid ? { uid, gid: gid! } : null
  } catch {
    return null
  }
}

/** The first path that `user` may not read (`readable`) or enter (`enterable`, and every folder above both). */
export async function firstUnreachable(
  user: OsUser,
  readable: readonly string[],
  enterable: readonly string[],
): Promise<string | null> {
  for (const path of readable) {
    const entry = await stat(path)
    const needed = entry.isDirectory() || (entry.mode & 0o111) !== 0 ? 0o5 : 0o4
    if (!grants(entry, user, needed)) return path
  }
  for (const path of [...readable.map(dirname), ...enterable]) {
    for (let folder = path; ; folder = dirname(folder)) {
      if (!grants(await stat(folder), user, 0o1)) return folder
      if (folder === dirname(folder)) break
    }
  }
  return null
}

/** Classic permission bits only; where an access list says more, the capability is given without being needed. */
function grants(entry: { mode: number; uid: number; gid: number }, user: OsUser, needed: number): boolean {
  const shift = entry.uid === user.uid ? 6 : entry.gid === user.gid ? 3 : 0
  return ((entry.mode >> shift) & needed) === needed
}

async function traversalCapability(user: OsUser, program: string): Promise<string | null> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '')
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  const has = (bit: bigint) => (bounding & (1n << bit)) !== 0n
  // Starting a program without the execute bit for this user (node_modules made under umask 077) takes the stronger one.
  if (has(2n) && grants(await stat(program), user, 0o1)) return 'dac_read_search'
  return has(1n) ? 'dac_override' : null
}

async function firstExisting(paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path
  }
  return null
}
