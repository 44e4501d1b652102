import { execFile } from 'node:child_process'
import { appendFile, chmod, chown, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { firstUnreachable } from '../../src/store/embedded/account.ts'
import { locateBinaries } from '../../src/store/embedded/binaries.ts'
import { EmbeddedPostgresError } from '../../src/store/embedded.ts'
import { embeddedGround, isRoot, query, serverPid } from './embedded-ground.ts'

const ground = embeddedGround()
const execute = promisify(execFile)
const someone = { uid: 65_534, gid: 65_534 }

async function refusal(dataDirectory: string): Promise<EmbeddedPostgresError> {
  const error = await ground.start(dataDirectory).then(
    () => new Error('it started'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(EmbeddedPostgresError)
  return error as EmbeddedPostgresError
}

/** An ordinary user can be tried from root, if it may enter the folder in which the programs are. */
async function ordinaryUserCanRun(): Promise<boolean> {
  const { postgres, share } = await locateBinaries()
  const here = new URL('.', import.meta.url).pathname
  return isRoot && (await firstUnreachable(someone, [postgres, share, process.execPath], [here])) === null
}

test('data of another major version: a sentence with both versions, nothing touched', async () => {
  const directory = await ground.usedDirectory()
  const folder = join(directory, 'postgres')
  await writeFile(join(folder, 'PG_VERSION'), '15\n')
  const before = await readdir(folder)
  const error = await refusal(directory)
  expect(error.code).toBe('postgres_data_version')
  expect(error.message).toContain(folder)
  expect(error.message).toMatch(/PostgreSQL 15.*PostgreSQL 18/s)
  expect(error.message).toContain('WEFT_DATA_DIR')
  expect(await readdir(folder)).toEqual(before)
  expect(await readFile(join(folder, 'PG_VERSION'), 'utf8')).toBe('15\n')
})

test("somebody's files where the database should be: named, and left alone", async () => {
  const directory = await ground.emptyDirectory()
  await mkdir(join(directory, 'postgres'), { recursive: true })
  await writeFile(join(directory, 'postgres', 'thesis.tex'), 'important')
  const error = await refusal(directory)
  expect(error.code).toBe('postgres_data_foreign')
  expect(error.message).toContain('thesis.tex')
  expect(await readFile(join(directory, 'postgres', 'thesis.tex'), 'utf8')).toBe('important')
})

test('data from which files were removed is not taken for a new folder', async () => {
  const directory = await ground.usedDirectory()
  await rm(join(directory, 'postgres', 'global', 'pg_control'))
  expect((await refusal(directory)).code).toBe('postgres_data_foreign')
  expect(await readdir(join(directory, 'postgres', 'base'))).not.toEqual([])
})

test('an empty folder in its place is used', async () => {
  const directory = await ground.emptyDirectory()
  await mkdir(join(directory, 'postgres'), { recursive: true })
  expect(await query((await ground.start(directory)).url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('a data directory that is a file', async () => {
  const directory = await ground.emptyDirectory()
  await writeFile(directory, '')
  const error = await refusal(directory)
  expect(error.code).toBe('postgres_data_unwritable')
  expect(error.message).toContain(directory)
})

test.skipIf(isRoot)('a data directory that may not be written to', async () => {
  const directory = await ground.emptyDirectory()
  await mkdir(directory, { mode: 0o500 })
  expect((await refusal(directory)).code).toBe('postgres_data_unwritable')
})

test.skipIf(!(await ordinaryUserCanRun()))(
  'an ordinary user runs it; in a foreign folder it gets a sentence',
  async () => {
    const theirs = await ground.emptyDirectory()
    await chmod(dirname(theirs), 0o755)
    await mkdir(theirs)
    const refused = await ground.engine(theirs, someone).line((line) => line.kind !== 'progress')
    expect(refused).toMatchObject({ kind: 'failed', code: 'postgres_data_unwritable' })

    await chown(theirs, someone.uid, someone.gid)
    const engine = ground.engine(theirs, someone)
    const ready = await engine.line((line) => line.kind !== 'progress')
    expect(ready).toMatchObject({ kind: 'ready', adopted: false })
    expect(await query(ready.url!, 'select 1 as one')).toEqual([{ one: 1 }])
    await engine.kill()

    // Root finds that user's server, and later starts it as that user, so that the user is not locked out.
    const adopted = await ground.start(theirs)
    expect(adopted.adopted).toBe(true)
    await adopted.stop()
    await (await ground.start(theirs)).stop()
    const again = await ground.engine(theirs, someone).line((line) => line.kind !== 'progress')
    expect(again.message).toBeUndefined()
    expect(again.kind).toBe('ready')
  },
)

test.skipIf(!(await ordinaryUserCanRun()))(
  'data made by root, then an ordinary user: whose it is, and what to do',
  async () => {
    const directory = await ground.usedDirectory()
    await chmod(dirname(directory), 0o755)
    await chown(directory, someone.uid, someone.gid)
    const line = await ground.engine(directory, someone).line((line) => line.kind !== 'progress')
    expect(line).toMatchObject({ kind: 'failed', code: 'postgres_data_owner' })
    expect(line.message).toMatch(/belongs to the user with uid \d+/)
  },
)

const onLinuxAsRoot = isRoot && process.platform === 'linux'
const succeeds = (file: string, ...args: string[]) =>
  execute(file, args).then(
    () => true,
    () => false,
  )

const fewerPrivileges = ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--']
test.skipIf(!onLinuxAsRoot || !(await succeeds(fewerPrivileges[0]!, ...fewerPrivileges.slice(1), 'true')))(
  'root of a container that may not lift permissions, below a closed folder: which folder, and four ways out',
  async () => {
    const directory = await ground.emptyDirectory()
    const line = await ground
      .engine(directory, undefined, fewerPrivileges)
      .line((line) => line.kind !== 'progress')
    expect(line).toMatchObject({ kind: 'failed', code: 'postgres_cannot_run_as_root' })
    expect(line.message).toMatch(
      /may not enter \/\S*[^.]\. Either set WEFT_DATA_DIR .*ordinary user.*WEFT_DATABASE_URL/,
    )
    expect(await readdir(directory)).toEqual([])
  },
)

/** Runs a command with an /etc of its own in which the given users are missing. */
const withoutUsers = (folder: string, users: string, readOnly: boolean) => [
  'unshare',
  '--mount',
  'sh',
  '-ec',
  `mkdir -p ${folder}/up ${folder}/work
   mount -t overlay overlay -o lowerdir=/etc,upperdir=${folder}/up,workdir=${folder}/work /etc
   for file in passwd group shadow gshadow; do
     [ ! -e /etc/$file ] || sed -i -E '/^(${users}):/d' /etc/$file
   done
   [ ! -e /etc/nsswitch.conf ] || sed -i 's/ systemd//' /etc/nsswitch.conf
   ${readOnly ? 'mount -o remount,ro /etc' : ''}
   exec "$@"`,
  'sh',
]
const canHideUsers =
  onLinuxAsRoot &&
  (await succeeds(
    'unshare',
    '--mount',
    'sh',
    '-ec',
    'mount -t tmpfs tmpfs /mnt && [ -x "$(command -v useradd)" ]',
  ))

test.skipIf(!canHideUsers).each([
  { what: 'no user postgres: it is made', users: 'postgres', readOnly: false },
  { what: 'no user postgres and none can be made: nobody', users: 'postgres', readOnly: true },
])('root, $what', async ({ users, readOnly }) => {
  const directory = await ground.emptyDirectory()
  const engine = ground.engine(directory, undefined, withoutUsers(dirname(directory), users, readOnly))
  const line = await engine.line((line) => line.kind !== 'progress')
  expect(line.message).toBeUndefined()
  const { uid } = await stat(join(directory, 'postgres'))
  expect(uid).toBeGreaterThan(0)
  expect(uid === 65_534).toBe(readOnly)
  await engine.kill()
  await (await ground.start(directory)).stop() // its owner has no name out here; the data starts all the same
  expect(await query((await ground.start(directory)).url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test.skipIf(!canHideUsers)('root, with no user that PostgreSQL could run as: a sentence', async () => {
  const directory = await ground.emptyDirectory()
  const wrapper = withoutUsers(dirname(directory), 'postgres|nobody', true)
  const line = await ground.engine(directory, undefined, wrapper).line((line) => line.kind !== 'progress')
  expect(line).toMatchObject({ kind: 'failed', code: 'postgres_cannot_run_as_root' })
  expect(line.message).toContain('useradd --system postgres')
})

test('the server does not accept its configuration: its own words, and no process stays', async () => {
  const directory = await ground.usedDirectory()
  const configuration = join(directory, 'postgres', 'postgresql.auto.conf')
  const before = await readFile(configuration, 'utf8')
  await appendFile(configuration, "no_such_setting = 'on'\n")
  const error = await refusal(directory)
  expect(error.code).toBe('postgres_start_failed')
  expect(error.message).toContain('no_such_setting')
  expect(error.message).toContain('WEFT_DATABASE_URL')
  expect(await serverPid(directory)).toBeNull()
  await writeFile(configuration, before)
  expect(await query((await ground.start(directory)).url, 'select 1 as one')).toEqual([{ one: 1 }])
})

const canMount = isRoot && process.platform === 'linux' && (await mountable())

async function mountable(): Promise<boolean> {
  const point = `/tmp/weft-embedded-mount-${process.pid}`
  await mkdir(point)
  try {
    await execute('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', point])
    await execute('umount', [point])
    return true
  } catch {
    return false
  } finally {
    await rm(point, { recursive: true })
  }
}

test.skipIf(!canMount)(
  'a full disk, on the first start and on a later one: a sentence; with room it works',
  async () => {
    const directory = await ground.emptyDirectory()
    await mkdir(directory)
    await execute('mount', ['-t', 'tmpfs', '-o', 'size=20m,mode=0700', 'tmpfs', directory])
    try {
      const first = await refusal(directory)
      expect(first.code).toBe('postgres_disk_full')
      expect(first.message).toContain('Free some space')
      expect((await readdir(directory)).filter((name) => name.startsWith('postgres.new-'))).toEqual([])

      await execute('mount', ['-o', 'remount,size=400m', directory])
      const server = await ground.start(directory)
      await query(server.url, 'create table kept as select 1 as n')
      await server.stop()

      const filler = join(directory, 'filler')
      await execute('sh', ['-c', `cat /dev/zero > ${filler} 2>/dev/null || true`])
      const later = await refusal(directory)
      expect(later.code).toBe('postgres_disk_full')
      expect(await serverPid(directory)).toBeNull()

      await rm(filler)
      expect(await query((await ground.start(directory)).url, 'select n from kept')).toEqual([{ n: 1 }])
      expect((await stat(directory)).mode & 0o777).toBe(0o700)
    } finally {
      const pid = await serverPid(directory)
      if (pid !== null) process.kill(pid, 'SIGKILL')
      await execute('umount', ['-l', directory])
    }
  },
)

test.skipIf(!canMount)(
  'the disk fills up under a running server: it goes on when there is room, nothing is lost',
  async () => {
    const directory = await ground.emptyDirectory()
    await mkdir(directory)
    await execute('mount', ['-t', 'tmpfs', '-o', 'size=400m,mode=0700', 'tmpfs', directory])
    try {
      let seen = (_line: string) => {}
      const ended = new Promise<string>((resolve) => {
        seen = (line) => void (line.includes('ended by itself') && resolve(line))
      })
      const server = await ground.start(directory, (line) => seen(line))
      await query(server.url, 'create table kept (n int, filling text)')
      await execute('sh', ['-c', `cat /dev/zero > ${join(directory, 'filler')} 2>/dev/null || true`])
      let committed = 0
      const noMoreTables = await untilItFails(async () => {
        await query(
          server.url,
          `insert into kept values (${committed + 1}, repeat(md5(random()::text), 30000))`,
        )
        committed++
      })
      expect(String(noMoreTables)).toContain('No space left')
      // Fills the log of transactions alone: where that has no room, PostgreSQL itself ends.
      await untilItFails(() =>
        query(server.url, `select pg_logical_emit_message(false, 'x', repeat('x', 1000000))`),
      )
      await ended
      await rm(join(directory, 'filler'))
      // The server may have ended; the same address answers again without anybody's help.
      let kept: Record<string, unknown>[] | undefined
      while (kept === undefined)
        kept = await query(server.url, 'select n from kept order by n').catch(() => undefined)
      // The insert whose answer was lost may count or not; what was acknowledged does.
      expect(kept.slice(0, committed).map((row) => row.n)).toEqual(
        Array.from({ length: committed }, (_, i) => i + 1),
      )
      expect(kept.length - committed).toBeLessThanOrEqual(1)
      await server.stop()
    } finally {
      const pid = await serverPid(directory)
      if (pid !== null) process.kill(pid, 'SIGKILL')
      await execute('umount', ['-l', directory])
    }
  },
)

async function untilItFails(act: () => Promise<unknown>): Promise<unknown> {
  for (;;) {
    try {
      await act()
    } catch (error) {
      return error
    }
  }
}
