import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { firstUnreachable } from '../../src/store/embedded/account.ts'
import { locateBinaries, restoreSymlinks } from '../../src/store/embedded/binaries.ts'
import { boundLog, logFile, openLog } from '../../src/store/embedded/log.ts'
import { embeddedGround, isRoot, processStatus, query, serverPid } from './embedded-ground.ts'

const ground = embeddedGround()
const onLinux = process.platform === 'linux'

test('a first start makes a database that is durable, in UTF-8, and called weft', async () => {
  const server = await ground.start(await ground.emptyDirectory())
  expect(server.adopted).toBe(false)
  expect(server.version).toMatch(/^18\.\d+$/)
  expect(server.url).toMatch(/^postgres:\/\/weft:[0-9a-f]{48}@127\.0\.0\.1:\d+\/weft$/)
  const [row] = await query(
    server.url,
    `select current_database() as name, current_setting('fsync') as fsync,
            current_setting('synchronous_commit') as commit, current_setting('full_page_writes') as pages,
            current_setting('server_encoding') as encoding, current_setting('data_checksums') as checksums,
            lower('ÄÖ') as lower, 'a' > 'B' as by_code_point`,
  )
  expect(row).toEqual({
    name: 'weft',
    fsync: 'on',
    commit: 'on',
    pages: 'on',
    encoding: 'UTF8',
    checksums: 'on',
    lower: 'äö',
    by_code_point: true,
  })
})

test('what was written is there after a stop and a start, at the same address', async () => {
  const directory = await ground.usedDirectory()
  const first = await ground.start(directory)
  await query(first.url, 'create table kept as select 7 as n')
  await first.stop()
  const second = await ground.start(directory)
  expect(second.url).toBe(first.url)
  expect(second.adopted).toBe(false)
  expect(await query(second.url, 'select n from kept')).toEqual([{ n: 7 }])
})

test('only who can read the 0600 file gets in, and only from this machine', async () => {
  const directory = await ground.usedDirectory()
  const server = await ground.start(directory)
  expect((await stat(join(directory, 'postgres.json'))).mode & 0o777).toBe(0o600)
  expect((await stat(join(directory, 'postgres'))).mode & 0o077).toBe(0)
  expect((await stat(directory)).mode & 0o077).toBe(0)
  const guessed = new URL(server.url)
  guessed.password = 'weft'
  await expect(query(guessed.href, 'select 1')).rejects.toMatchObject({ code: '28P01' })
  const [row] = await query(
    server.url,
    `select current_setting('listen_addresses') as addresses, current_setting('unix_socket_directories') as sockets,
            (select array_agg(distinct auth_method) from pg_hba_file_rules) as methods,
            (select left(rolpassword, 13) from pg_authid where rolname = 'weft') as stored`,
  )
  expect(row).toEqual({
    addresses: '127.0.0.1',
    sockets: '',
    methods: ['scram-sha-256'],
    stored: 'SCRAM-SHA-256',
  })
})

test.skipIf(!onLinux)('the password is in no command line, no environment and no log', async () => {
  const directory = await ground.emptyDirectory()
  const commandLines: string[] = []
  let looking = true
  const password = async () => {
    try {
      return (JSON.parse(await readFile(join(directory, 'postgres.json'), 'utf8')) as { password: string })
        .password
    } catch {
      return null
    }
  }
  const look = async () => {
    while (looking) {
      for (const pid of await readdir('/proc')) {
        if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue
        for (const file of ['cmdline', 'environ']) {
          commandLines.push(await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => ''))
        }
      }
    }
  }
  const looked = look() // while initdb and the server run
  const server = await ground.start(directory)
  looking = false
  await looked
  expect(commandLines.some((line) => line.includes(directory))).toBe(true)
  expect(commandLines.filter((line) => line.includes(new URL(server.url).password))).toEqual([])
  expect(await password()).toBe(new URL(server.url).password)
  expect(await readFile(logFile(directory), 'utf8')).not.toContain(new URL(server.url).password)
})

test('the server log holds no data of rows or statements', async () => {
  const directory = await ground.usedDirectory()
  const server = await ground.start(directory)
  await query(server.url, `create table once (token text primary key); insert into once values ('tok_4711')`)
  await expect(query(server.url, `insert into once values ('tok_4711')`)).rejects.toMatchObject({
    code: '23505',
  })
  const said = await readFile(logFile(directory), 'utf8')
  expect(said).toContain('duplicate key')
  expect(said).not.toContain('tok_4711')
})

test('the remembered port is taken by another program: another one is used and remembered', async () => {
  const directory = await ground.usedDirectory()
  const first = await ground.start(directory)
  const port = Number(new URL(first.url).port)
  await first.stop()
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve))
  try {
    const second = await ground.start(directory)
    expect(second.url).not.toBe(first.url)
    expect(await query(second.url, 'select 1 as one')).toEqual([{ one: 1 }])
    await second.stop()
    const third = await ground.start(directory)
    expect(third.url).toBe(second.url)
  } finally {
    await new Promise((resolve) => other.close(resolve))
  }
})

test('stop ends the process, open sessions included, and may be called again', async () => {
  const directory = await ground.usedDirectory()
  const server = await ground.start(directory)
  const busy = query(server.url, 'select pg_sleep(3600)')
  const refused = expect(busy).rejects.toThrow()
  await Promise.all([server.stop(), server.stop()])
  await server.stop()
  await refused
  expect(await serverPid(directory)).toBeNull()
  await expect(query(server.url, 'select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test.skipIf(!onLinux)('Ctrl-C in the terminal reaches Weft only, which still has its database', async () => {
  const directory = await ground.usedDirectory()
  const engine = ground.engine(directory)
  await engine.line((line) => line.kind === 'ready')
  process.kill(-engine.process.pid!, 'SIGINT') // what a terminal does: the whole foreground group
  expect((await engine.line((line) => line.kind === 'answered')).message).toBe('42')
  expect(await serverPid(directory)).toBeNull()
})

test.skipIf(!isRoot || !onLinux)(
  'root, folder open to all: PostgreSQL runs as another user, without privileges',
  async () => {
    const directory = await ground.emptyDirectory()
    await chmod(dirname(directory), 0o755)
    await mkdir(directory, { mode: 0o755 })
    const server = await ground.start(directory)
    expect(Number((await processStatus(server.pid, 'Uid')).split('\t')[1])).toBeGreaterThan(0)
    // A clone of Weft below a closed folder still needs the capability, for the programs themselves.
    const { postgres, share } = await locateBinaries()
    const needed =
      (await firstUnreachable({ uid: 65_534, gid: 65_534 }, [postgres, share], [directory])) !== null
    expect(BigInt(`0x${await processStatus(server.pid, 'CapEff')}`) !== 0n).toBe(needed)
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  },
)

test.skipIf(!isRoot || !onLinux)(
  'root, below a folder that only root may enter: one capability lets it through',
  async () => {
    const directory = await ground.emptyDirectory()
    const server = await ground.start(directory)
    expect((await stat(dirname(directory))).mode & 0o777).toBe(0o700) // not opened to others
    const children = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    let checked = 0
    for (const child of children) {
      const parent = await processStatus(Number(child), 'PPid').catch(() => '')
      if (parent !== String(server.pid) && child !== String(server.pid)) continue
      expect(Number((await processStatus(Number(child), 'Uid')).split('\t')[1])).toBeGreaterThan(0)
      expect([2n, 4n]).toContain(BigInt(`0x${await processStatus(Number(child), 'CapEff')}`))
      expect([2n, 4n]).toContain(BigInt(`0x${await processStatus(Number(child), 'CapBnd')}`))
      checked++
    }
    expect(checked).toBeGreaterThan(3)
    await query(server.url, 'create table t as select generate_series(1, 10000) as n; checkpoint')
    expect(await query(server.url, 'select count(*)::int as n from t')).toEqual([{ n: 10_000 }])
  },
)

test('the log is cut when it grows, at a start and while running', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'weft-embedded-log-'))
  try {
    await writeFile(logFile(directory), 'old\n')
    await truncate(logFile(directory), 2 << 20)
    const { file, startsAt } = await openLog(directory)
    await file.write('new\n')
    await file.close()
    expect(startsAt).toBe(0)
    expect(await readFile(logFile(directory), 'utf8')).toBe('new\n')
    expect((await stat(`${logFile(directory)}.1`)).size).toBe(2 << 20)
    await boundLog(directory, 100)
    expect((await stat(logFile(directory))).size).toBe(4)
    await boundLog(directory, 3)
    expect((await stat(logFile(directory))).size).toBe(0)
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('an installation without npm install scripts gets the libraries that PostgreSQL links to', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weft-embedded-links-'))
  try {
    const lib = join(folder, 'native', 'lib')
    await mkdir(lib, { recursive: true })
    await writeFile(join(lib, 'libone.so.1.2'), 'library')
    await symlink('libone.so.1.2', join(lib, 'libone.so'))
    await writeFile(
      join(folder, 'native', 'pg-symlinks.json'),
      JSON.stringify(
        ['libone.so', 'libone.so.1'].map((name) => ({
          source: 'native/lib/libone.so.1.2',
          target: `native/lib/${name}`,
        })),
      ),
    )
    await restoreSymlinks(folder)
    expect(await readlink(join(lib, 'libone.so.1'))).toBe('libone.so.1.2')
    expect(await readFile(join(lib, 'libone.so.1'), 'utf8')).toBe('library')
  } finally {
    await rm(folder, { recursive: true })
  }
})
