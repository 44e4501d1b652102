import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { type Config, readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import {
  liveServer,
  readApiKey,
  readServerFile,
  startedServer,
  writeServerFile,
} from '../../src/server-file.ts'
import { testDatabase } from '../postgres.ts'

const log = pino({ level: 'silent' })

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-main-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function newConfig(changes: Record<string, string> = {}): Promise<Config> {
  const database = await testDatabase()
  onTestFinished(() => database.drop())
  return configOf({ WEFT_DATA_DIR: newFolder(), WEFT_DATABASE_URL: database.url, ...changes })
}

function configOf(environment: Record<string, string>): Config {
  const result = readConfig({ environment: { WEFT_PORT: '0', ...environment } })
  if (!result.ok) throw new Error(result.problems.join('\n'))
  return result.config
}

async function start(config: Config): Promise<Weft> {
  const weft = await startWeft(config, { log })
  onTestFinished(() => weft.stop())
  return weft
}

const DEFINITION = { weft: 1, name: 'hello', nodes: { greet: { type: 'log', with: { message: 'hello' } } } }

async function run(weft: Weft): Promise<{ status: string; output: unknown }> {
  const response = await fetch(`${weft.url}/api/v1/runs?wait=30s`, {
    method: 'POST',
    headers: { authorization: `Bearer ${weft.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ definition: DEFINITION }),
  })
  return (await response.json()) as { status: string; output: unknown }
}

describe('a started Weft', () => {
  test('runs a workflow over HTTP, and says that it is ready', async () => {
    const weft = await start(await newConfig())
    expect(await run(weft)).toMatchObject({ status: 'completed', output: { message: 'hello' } })
    expect((await fetch(`${weft.url}/readyz`)).status).toBe(200)
    const metrics = await (await fetch(`${weft.url}/metrics`)).text()
    expect(metrics).toContain('weft_steps_total{outcome="completed"} 1')
    expect(metrics).toContain('weft_run_duration_seconds_count{status="completed"} 1')
  })

  test('leaves its address and its key where the CLI finds them, the key for its owner only', async () => {
    const config = await newConfig()
    const weft = await start(config)
    expect(await liveServer(config.dataDirectory)).toMatchObject({ url: weft.url, pid: process.pid })
    // Somebody who comes while it is starting waits for it instead of being turned away.
    const file = await readServerFile(config.dataDirectory)
    if (!file) throw new Error('there is no server.json')
    await writeServerFile(config.dataDirectory, { ...file, starting: true })
    const found = await startedServer(config.dataDirectory, () => {
      void writeServerFile(config.dataDirectory, file)
    })
    expect(found).toMatchObject({ url: weft.url })
    expect(await readApiKey(config.dataDirectory)).toBe(weft.apiKey)
    expect(statSync(join(config.dataDirectory, 'api-key')).mode & 0o777).toBe(0o600)
  })

  test('takes everything back when it stops, and may be started again with the same key', async () => {
    const config = await newConfig()
    const first = await start(config)
    await run(first)
    await first.stop()
    expect(existsSync(join(config.dataDirectory, 'server.json'))).toBe(false)
    const second = await start(config)
    expect(second.apiKey).toBe(first.apiKey)
    expect(await run(second)).toMatchObject({ status: 'completed' })
  })
})

describe('refusals', () => {
  test('a port in use: says which, and what to do', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const { port } = server.address() as { port: number }
    const config = await newConfig({ WEFT_PORT: String(port) })
    await expect(startWeft(config, { log })).rejects.toThrow(
      new RegExp(`port ${port} .* WEFT_PORT=${port + 1}`),
    )
    expect(existsSync(join(config.dataDirectory, 'server.json'))).toBe(false)
  })

  test('a data directory that another live process serves', async () => {
    const config = await newConfig()
    const other = spawn(process.execPath, [
      '-e',
      `
      require('node:http').createServer((_, response) => response.end('{}')).listen(0, '127.0.0.1', function () { console.log(this.address().port) })
    `,
    ])
    onTestFinished(() => void other.kill('SIGKILL'))
    const port = await new Promise<string>((resolve) =>
      other.stdout.once('data', (bytes) => resolve(String(bytes).trim())),
    )
    const file = { url: `http://127.0.0.1:${port}`, pid: other.pid, startedAt: systemClock().now() }
    writeFileSync(join(config.dataDirectory, 'server.json'), JSON.stringify(file))
    await expect(startWeft(config, { log })).rejects.toThrow(/served already, by process \d+ at http/)
    expect(await readServerFile(config.dataDirectory)).toEqual(file)
    other.kill('SIGKILL')
    await new Promise((resolve) => other.once('exit', resolve))
    // What a killed server left behind is replaced.
    await start(config)
  })

  test('a database that another engine works on', async () => {
    const config = await newConfig()
    await start(config)
    const second = { ...config, dataDirectory: newFolder() }
    await expect(startWeft(second, { log })).rejects.toThrow(
      /another Weft engine is working on this database/,
    )
  })

  test('a database that cannot be reached', async () => {
    const config = configOf({
      WEFT_DATA_DIR: newFolder(),
      WEFT_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
    })
    await expect(startWeft(config, { log })).rejects.toThrow(/cannot be reached/)
  })
})

test('with its own PostgreSQL: durable settings are on, and nothing of it is left after the stop', async () => {
  const config = configOf({ WEFT_DATA_DIR: newFolder() })
  const weft = await start(config)
  expect(weft.database).toMatchObject({
    isEmbedded: true,
    settings: { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' },
  })
  expect(await run(weft)).toMatchObject({ status: 'completed' })
  await weft.stop()
  expect(existsSync(join(config.dataDirectory, 'postgres', 'postmaster.pid'))).toBe(false)
})

test('a PostgreSQL that is killed comes back, and with it every run; the API stays up meanwhile', async () => {
  const config = configOf({ WEFT_DATA_DIR: newFolder() })
  const weft = await start(config)
  const definition = {
    weft: 1,
    name: 'slow',
    nodes: {
      first: { type: 'log', with: { message: '1' } },
      pause: { type: 'delay', needs: 'first', with: { for: '200ms' } },
      second: { type: 'log', needs: 'pause', with: { message: '2' } },
      third: { type: 'log', needs: 'second', with: { message: '3' } },
    },
  } as const
  const postmaster = Number(
    readFileSync(join(config.dataDirectory, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0],
  )
  const submissions = Array.from({ length: 30 }, () =>
    weft.submit({ workspace: 'default', actor: 'test', what: { definition: structuredClone(definition) } }),
  )
  const ids = (await Promise.all(submissions)).map(({ id }) => id)
  process.kill(postmaster, 'SIGKILL')
  expect((await fetch(`${weft.url}/healthz`)).status).toBe(200)
  for (const id of ids) {
    while ((await statusOf(weft, id)) !== 'completed');
    const events = await weft.store.runs.events({ runId: id, afterSeq: 0, limit: 100 })
    const completed = events.flatMap(({ event }) => (event.type === 'step.completed' ? [event.key] : []))
    expect(completed).toEqual(['first', 'pause', 'second', 'third'])
  }
  while ((await fetch(`${weft.url}/readyz`)).status !== 200);
})

/** `null` while the database does not answer. */
async function statusOf(weft: Weft, id: string): Promise<string | null> {
  const row = await weft.store.runs.get({ workspace: 'default', id }).catch(() => null)
  return row?.status ?? null
}
