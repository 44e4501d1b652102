import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { expect, test } from 'vitest'
import { isAlive, readPostmasterFile } from '../../src/store/embedded/processes.ts'
import { embeddedGround, query, serverPid } from './embedded-ground.ts'

const ground = embeddedGround()

/** Resolves with the first log line that matches; pass `log` to the server. */
function watched(pattern: RegExp) {
  let seen = (_line: string) => {}
  const line = new Promise<string>((resolve) => {
    seen = resolve
  })
  return { line, log: (text: string) => void (pattern.test(text) && seen(text)) }
}

test('the engine is killed: the next one adopts its server, and ends it when it stops', async () => {
  const directory = await ground.usedDirectory()
  const engine = ground.engine(directory)
  const { url, pid } = await engine.line((line) => line.kind === 'ready')
  await query(url!, 'create table kept as select 1 as n')
  await engine.kill()

  const server = await ground.start(directory)
  expect(server).toMatchObject({ adopted: true, pid, url })
  expect(await query(server.url, 'select n from kept')).toEqual([{ n: 1 }])
  await server.stop()
  expect(await serverPid(directory)).toBeNull()
})

test('engine and server are killed: what was committed is there', async () => {
  const directory = await ground.usedDirectory()
  const engine = ground.engine(directory)
  const { url, pid } = await engine.line((line) => line.kind === 'ready')
  await query(url!, 'create table kept as select 1 as n')
  await engine.kill()
  process.kill(pid!, 'SIGKILL')

  const server = await ground.start(directory)
  expect(server.adopted).toBe(false)
  expect(await query(server.url, 'select n from kept')).toEqual([{ n: 1 }])
})

test.skipIf(process.platform !== 'linux')(
  'the server is killed while sessions compute: they are ended, and the next start works',
  async () => {
    const directory = await ground.usedDirectory()
    const engine = ground.engine(directory)
    const { url, pid } = await engine.line((line) => line.kind === 'ready')
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    await client.connect()
    const { rows } = await client.query('select pg_backend_pid() as pid')
    // Such a session does not notice that its server died, and holds the shared memory.
    const computing = client.query('do $$ begin loop end loop; end $$').catch(() => 'ended')
    await engine.kill()
    process.kill(pid!, 'SIGKILL')

    const server = await ground.start(directory)
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(await computing).toBe('ended')
    expect(await isAlive(rows[0].pid)).toBe(false)
    await client.end().catch(() => {})
  },
)

test('the server is killed under a live engine: it comes back at the same address', async () => {
  const directory = await ground.usedDirectory()
  const { line, log } = watched(/runs again/)
  const server = await ground.start(directory, log)
  const firstPid = server.pid
  await query(server.url, 'create table kept as select 1 as n')
  process.kill(firstPid, 'SIGKILL')
  await line
  expect(server.pid).not.toBe(firstPid)
  expect(await query(server.url, 'select n from kept')).toEqual([{ n: 1 }])
  await server.stop()
  expect(await serverPid(directory)).toBeNull()
})

test('an adopted server that is killed comes back, too', async () => {
  const directory = await ground.usedDirectory()
  const engine = ground.engine(directory)
  await engine.line((line) => line.kind === 'ready')
  await engine.kill()
  const { line, log } = watched(/runs again/)
  const server = await ground.start(directory, log)
  process.kill(server.pid, 'SIGKILL')
  await line
  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('stop while a killed server is being started again leaves none', async () => {
  const directory = await ground.usedDirectory()
  const { line, log } = watched(/ended by itself/)
  const server = await ground.start(directory, log)
  process.kill(server.pid, 'SIGKILL')
  await line
  await server.stop()
  expect(await serverPid(directory)).toBeNull()
})

test('a stale pid file whose pid no longer exists is no obstacle', async () => {
  const directory = await ground.usedDirectory()
  const ended = spawn('true')
  await new Promise((resolve) => ended.once('exit', resolve))
  await writePidFile(directory, ended.pid!)
  const server = await ground.start(directory)
  expect(server.adopted).toBe(false)
})

test('a stale pid file whose pid was given to another program is no obstacle, and that program lives on', async () => {
  const directory = await ground.usedDirectory()
  const { uid, gid } = await stat(join(directory, 'postgres'))
  // Of the same user: PostgreSQL itself would take it for a running server and refuse.
  const other = spawn('sleep', ['3600'], process.getuid?.() === 0 ? { uid, gid } : {})
  try {
    await writePidFile(directory, other.pid!)
    const server = await ground.start(directory)
    expect(server.adopted).toBe(false)
    await server.stop()
    expect(other.exitCode ?? other.signalCode).toBeNull()
  } finally {
    other.kill('SIGKILL')
  }
})

test('an empty pid file, left by a crash of the machine, is no obstacle', async () => {
  const directory = await ground.usedDirectory()
  await writeFile(join(directory, 'postgres', 'postmaster.pid'), '')
  const server = await ground.start(directory)
  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('the pid file of another directory, restored from a backup, adopts nobody', async () => {
  const [mine, theirs] = [await ground.usedDirectory(), await ground.usedDirectory()]
  const other = await ground.start(theirs)
  await writePidFile(mine, other.pid, Number(new URL(other.url).port))
  const server = await ground.start(mine)
  expect(server.adopted).toBe(false)
  expect(server.pid).not.toBe(other.pid)
  await server.stop()
  expect(await query(other.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('two first starts at once end with one server, which both use', async () => {
  const directory = await ground.emptyDirectory()
  const engines = [ground.engine(directory), ground.engine(directory), ground.engine(directory)]
  const lines = await Promise.all(engines.map((engine) => engine.line((line) => line.kind !== 'progress')))
  expect(lines.map((line) => line.message).filter(Boolean)).toEqual([])
  expect(new Set(lines.map((line) => line.pid)).size).toBe(1)
  expect(new Set(lines.map((line) => line.url)).size).toBe(1)
  expect(lines.filter((line) => !line.adopted)).toHaveLength(1)
  expect(await query(lines[0]!.url!, 'select 1 as one')).toEqual([{ one: 1 }])
  expect((await readdir(directory)).sort()).toEqual(['postgres', 'postgres.json', 'postgres.log'])
})

test('killed in the middle of the first initialisation: the next start does it again', async () => {
  const directory = await ground.emptyDirectory()
  const engine = ground.engine(directory)
  await engine.line((line) => line.kind === 'progress')
  await engine.kill()
  const server = await ground.start(directory)
  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('what a killed initialisation left is removed, what one that runs is making is not', async () => {
  const directory = await ground.usedDirectory()
  const ended = spawn('true')
  await new Promise((resolve) => ended.once('exit', resolve))
  await mkdir(join(directory, `postgres.new-${ended.pid}-AbCdEf`, 'data'), { recursive: true })
  await writeFile(join(directory, `postgres.new-${ended.pid}-AbCdEf`, 'data', 'PG_VERSION'), '18\n')
  await mkdir(join(directory, `postgres.new-${process.pid}-AbCdEf`))
  await ground.start(directory)
  const left = (await readdir(directory)).filter((name) => name.startsWith('postgres.new-'))
  expect(left).toEqual([`postgres.new-${process.pid}-AbCdEf`])
})

test.each([null, '', 'not json', '{"password":"short"}', `{"password":"${'f'.repeat(48)}"}`])(
  'the file with the password was lost or spoiled (%j): a new one is set, the data stays',
  async (content) => {
    const directory = await ground.usedDirectory()
    const first = await ground.start(directory)
    await query(first.url, 'create table kept as select 1 as n')
    await first.stop()
    const file = join(directory, 'postgres.json')
    if (content === null) await rm(file)
    else await writeFile(file, content)
    const second = await ground.start(directory)
    expect(new URL(second.url).password).not.toBe(new URL(first.url).password)
    expect(await query(second.url, 'select n from kept')).toEqual([{ n: 1 }])
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ password: new URL(second.url).password })
    expect((await stat(file)).mode & 0o777).toBe(0o600)
  },
)

async function writePidFile(directory: string, pid: number, port = 1): Promise<void> {
  const folder = join(directory, 'postgres')
  const lines = [pid, folder, 1_700_000_000, port, '', '127.0.0.1', '  2162697         4', 'ready   ', '']
  await writeFile(join(folder, 'postmaster.pid'), lines.join('\n'))
  expect(await readPostmasterFile(folder)).toEqual({ pid, port, status: 'ready' })
}
