/** The examples whose steps programs outside perform, on a real server; one program is killed in the middle. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { WeftProcess } from '../../../examples/runner/weft-process.ts'

const EXAMPLES = join(import.meta.dirname, '../../../examples')
const hasPython = spawnSync('python3', ['--version']).status === 0
if (!hasPython) console.log('python3 is not here: example 12 is skipped')

let dataDirectory: string
let weft: WeftProcess
const workers = new Set<ChildProcess>()

beforeAll(async () => {
  dataDirectory = await mkdtemp(join(tmpdir(), 'weft-external-'))
  const { PATH, HOME } = process.env
  weft = new WeftProcess({
    dataDirectory,
    environment: { PATH, HOME, WEFT_PORT: '0', WEFT_LOG_LEVEL: 'warn' },
  })
  await weft.start()
})
afterEach(() => {
  for (const worker of workers) worker.kill('SIGKILL')
  workers.clear()
})
afterAll(async () => {
  await weft?.stop()
  await rm(dataDirectory, { recursive: true, force: true })
})

interface StartedWorker {
  readonly process: ChildProcess
  /** Resolves when the program has said that it claimed a task. */
  readonly claimed: Promise<unknown>
}

/** Starts a worker with a key that may perform tasks and nothing else; answers when its type is known. */
async function startWorker(command: string, file: string, type: string): Promise<StartedWorker> {
  const { key } = await weft.client.call<{ key: string }>('POST', '/api/v1/keys', {
    body: { name: `worker-${crypto.randomUUID()}`, role: 'worker' },
  })
  const process = spawn(command, [join(EXAMPLES, file)], {
    env: { PATH: globalThis.process.env.PATH, WEFT_URL: weft.client.address.url, WEFT_API_KEY: key },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  workers.add(process)
  const claimed = once(createInterface({ input: process.stdout }), 'line')
  for (;;) {
    const { items } = await weft.client.call<{ items: { type: string; served: boolean }[] }>(
      'GET',
      '/api/v1/node-types',
    )
    if (items.some((item) => item.type === type && item.served)) return { process, claimed }
    if (process.exitCode !== null) throw new Error(`${file} ended with ${process.exitCode}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const submit = (file: string, input: object, wait: string) =>
  weft.client.call<{ id: string; status: string; output: unknown }>('POST', '/api/v1/runs', {
    query: { wait },
    body: { source: readFileSync(join(EXAMPLES, file), 'utf8'), input },
  })

const expected = (folder: string) => JSON.parse(readFileSync(join(EXAMPLES, folder, 'expected.json'), 'utf8'))

test.skipIf(!hasPython)('12: a program in Python performs the step', async () => {
  await startWorker('python3', '12-python-worker/worker.py', 'text.count_words')
  expect(await submit('12-python-worker/count-words.yaml', {}, '30s')).toMatchObject(
    expected('12-python-worker'),
  )
})

test('13: a program in TypeScript is killed in the middle, and another one performs the step', async () => {
  const start = () => startWorker(process.execPath, '13-typescript-worker/worker.ts', 'text.slug')
  const first = await start()
  const running = submit('13-typescript-worker/slug.yaml', { pauseMs: 3_000 }, '50s')
  await first.claimed
  first.process.kill('SIGKILL')
  const second = await start()
  const outcome = await running
  expect(outcome).toMatchObject(expected('13-typescript-worker'))
  await second.claimed
  const { steps } = await weft.client.call<{ steps: { attempts: number }[] }>(
    'GET',
    `/api/v1/runs/${outcome.id}`,
  )
  expect(steps.map(({ attempts }) => attempts)).toEqual([2])
})
