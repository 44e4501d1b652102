/**
 * `npm start` as somebody meets it first: an empty data directory, nothing configured, with a terminal and without. What it says must be
 * what happened, and when it is told to end nothing may be left.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Client } from '../../src/cli/client.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')

interface Started {
  readonly child: ChildProcess
  /** Everything that was printed until the tour was over. */
  readonly printed: string
  readonly weft: Client
  readonly service: string
}

let home: string
let child: ChildProcess | undefined

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'weft-start-'))
})
afterEach(async () => {
  if (child?.exitCode === null && child.kill('SIGTERM')) await once(child, 'exit')
  await rm(home, { recursive: true, force: true })
})

async function start(
  environment: Record<string, string> = {},
  [command, ...args]: readonly [string, ...string[]] = ['npm', 'start'],
  read: (printed: string, child: ChildProcess) => void = () => {},
): Promise<Started> {
  const dataDirectory = join(home, 'data')
  const started = spawn(command, args, {
    cwd: ROOT,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      HOME: home,
      WEFT_DATA_DIR: dataDirectory,
      WEFT_PORT: '0',
      WEFT_TOUR_SERVICE_PORT: '0',
      ...environment,
    },
  })
  child = started
  const printed = await new Promise<string>((resolve, reject) => {
    let text = ''
    for (const stream of [started.stdout, started.stderr]) {
      stream.setEncoding('utf8').on('data', (part: string) => {
        text += part
        read(text, started)
        if (text.includes('Weft goes on at ')) resolve(text)
      })
    }
    started.once('exit', (code) => reject(new Error(`npm start ended with ${code}:\n${text}`)))
  })
  const { url } = JSON.parse(await readFile(join(dataDirectory, 'server.json'), 'utf8')) as { url: string }
  const apiKey = (await readFile(join(dataDirectory, 'api-key'), 'utf8')).trim()
  const service = /service (http:\S+)/.exec(printed)?.[1] ?? ''
  return { child: started, printed, weft: new Client({ url, apiKey }), service }
}

const read = async <Answer>(url: string): Promise<Answer> => (await fetch(url)).json() as Promise<Answer>

const onlyRun = async (weft: Client): Promise<{ status: string; error: { message: string } | null }> => {
  const { items } = await weft.call<{ items: { status: string; error: { message: string } | null }[] }>(
    'GET',
    '/api/v1/runs',
    { query: { workflow: 'http-to-slack' } },
  )
  expect(items).toHaveLength(1)
  return items[0] as (typeof items)[number]
}

test('prints the message that the Slack receiver recorded, stays up, and leaves nothing behind', async () => {
  const { child, printed, weft, service } = await start()
  const { nonce } = await read<{ nonce: string }>(`${service}/nonce`)
  const messages = await read<{ text: string }[]>(`${service}/slack/messages`)
  expect(messages).toHaveLength(1)
  const text = messages[0]?.text ?? ''
  expect(text).toContain(nonce)
  expect(printed).toContain(text)
  expect(printed).toMatch(/ready in [\d.]+ s, own PostgreSQL 18\S*, fsync on/)
  expect((await onlyRun(weft)).status).toBe('completed')

  const postgres = join(home, 'data', 'postgres', 'postmaster.pid')
  const postgresPid = Number((await readFile(postgres, 'utf8')).split('\n')[0])
  expect(child.exitCode).toBeNull()
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
  expect(existsSync(postgres)).toBe(false)
  expect(() => process.kill(postgresPid, 0)).toThrow()
  await expect(fetch(service)).rejects.toThrow()
})

test('says which step failed when the receiver answers 500', async () => {
  const { printed, weft } = await start({ WEFT_TOUR_SLACK_STATUS: '500' })
  const run = await onlyRun(weft)
  expect(run.status).toBe('failed')
  expect(printed).toMatch(/Run \S+ ended failed at step `alarm`: slack_unavailable/)
})

// `script` of util-linux lends the child a terminal; where there is none, nobody plays the other acts.
const hasScript = spawnSync('script', ['--version']).stdout?.includes('util-linux') ?? false

test.skipIf(!hasScript)(
  'plays all four acts in a terminal, and the ledger finds no step called again',
  async () => {
    let hasDecided = false
    const { printed, weft } = await start(
      { TERM: 'xterm' },
      ['script', '--quiet', '--return', '--command', 'exec node scripts/start.mjs', '/dev/null'],
      (text, { stdin }) => {
        if (hasDecided || !text.includes('eject')) return
        hasDecided = true
        stdin?.write('a')
      },
    )
    const text = stripVTControlCharacters(printed)
    expect(text).not.toContain('The tour broke off')
    const inFlight = Number(/killed with (\d+) attempts in flight, back in [\d.]+ s,/.exec(text)?.[1])
    expect(inFlight).toBeGreaterThanOrEqual(5)
    expect(text).toContain('finished steps called again: 0')
    expect(text).toMatch(/ \+ +look_again[\s\S]* ✔ +look_again/)
    expect(text).toMatch(/Patched by key:\S+: look twice before releasing; 2 woven steps were performed/)
    expect(text).toContain('Approved: the service was called at /orders/ord_3/release')
    expect(text).toMatch(/[1-9][\d,]* durable three-step runs\/s on this machine/)

    const { items } = await weft.call<{ items: { status: string }[] }>('GET', '/api/v1/runs', {
      query: { status: ['queued', 'running', 'waiting', 'failed', 'cancelled'] },
    })
    expect(items).toEqual([])
  },
)
