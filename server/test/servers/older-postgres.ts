/**
 * The oldest supported PostgreSQL beside the one that Weft brings along, for suites that must pass on both: in a folder
 * of its own, on a free port, as another OS user where the tests run as root.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { systemClock } from '../../src/clock.ts'
import { childEnvironment, chooseLauncher } from '../../src/store/embedded/account.ts'
import { identity, runProgram } from '../../src/store/embedded/program.ts'
import { freePort } from './free-port.ts'
import type { OlderPostgres } from './programs.ts'

export interface OlderPostgresServer {
  readonly url: string
  stop(): Promise<void>
}

export async function startOlderPostgres({ major, binaries }: OlderPostgres): Promise<OlderPostgresServer> {
  const parent = await mkdtemp(join(tmpdir(), `weft-test-postgres-${major}-`))
  const remove = (): Promise<void> => rm(parent, { recursive: true, force: true, maxRetries: 5 })
  try {
    const folder = join(parent, 'data')
    const password = systemClock().token(24)
    const passwordFile = join(parent, 'password')
    const postgres = join(binaries, 'postgres')
    const launcher = await chooseLauncher(
      { initdb: join(binaries, 'initdb'), postgres, share: binaries, major: `${major}` },
      folder,
    )
    await mkdir(folder, { mode: 0o700 })
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
    for (const path of [parent, folder, passwordFile]) await launcher.own(path)
    const { code, output } = await runProgram(
      launcher.command(join(binaries, 'initdb'), [
        `--pgdata=${folder}`,
        '--username=weft',
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        '--no-sync',
      ]),
    )
    if (code !== 0) throw new Error(`initdb of PostgreSQL ${major} failed:\n${output}`)
    const port = await freePort()
    const settings = {
      listen_addresses: '127.0.0.1',
      port: `${port}`,
      unix_socket_directories: '',
      fsync: 'off', // what is tested here is SQL, not disks
      max_connections: '60',
      shared_buffers: '64MB',
    }
    const command = launcher.command(postgres, [
      '-D',
      folder,
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ])
    const child = spawn(command.file, command.args, {
      ...identity(command),
      env: childEnvironment,
      cwd: '/',
      detached: true,
      stdio: 'ignore',
    })
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    const end = (): void => void child.kill('SIGKILL')
    process.once('exit', end)
    const stop = async (): Promise<void> => {
      child.kill('SIGINT')
      await ended
      process.off('exit', end)
      await remove()
    }
    const url = `postgres://weft:${password}@127.0.0.1:${port}/postgres`
    await untilReady(url, child).catch(async (error: unknown) => {
      await stop()
      throw error
    })
    return { url, stop }
  } catch (error) {
    await remove()
    throw error
  }
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  for (;;) {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    try {
      await client.connect()
      return
    } catch (error) {
      if (child.exitCode !== null) throw error
      await pause(20)
    } finally {
      await client.end().catch(() => {})
    }
  }
}
