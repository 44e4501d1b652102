/**
 * Task graphs of real scientific workflows, through the whole server on a real PostgreSQL: every task is performed once,
 * and none begins before everything that it needs is done.
 *
 * The files are not part of this repository: `WEFT_CASES_DIR` names the folder whose `dags/*.json` are run, and without
 * it they are skipped with a word. Graphs of the same shape, drawn from a seed, always run.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RunEvent } from '@weft/engine'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { DEFAULT_WORKSPACE, startWeft, type Weft } from '../../src/main.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { randomFrom } from '../random.ts'
import { redisUrl } from '../redis.ts'
import { isOnRedis } from '../stack.ts'
import { type Dag, definitionOf, drawDag, readDag } from './dag.ts'

const casesFolder = process.env.WEFT_CASES_DIR
const dagsFolder = casesFolder === undefined ? null : join(casesFolder, 'dags')
const files =
  dagsFolder !== null && existsSync(dagsFolder)
    ? readdirSync(dagsFolder).filter((name) => name.endsWith('.json'))
    : []
if (files.length === 0) {
  const why = casesFolder === undefined ? 'WEFT_CASES_DIR is not set' : `${dagsFolder} holds no *.json`
  process.stdout.write(`skipped: the task graphs of scientific workflows (${why})\n`)
}

let database: TestDatabase
let dataDirectory: string
let weft: Weft

beforeAll(async () => {
  database = await testDatabase()
  dataDirectory = mkdtempSync(join(tmpdir(), 'weft-dags-'))
  const read = readConfig({
    environment: {
      WEFT_DATABASE_URL: database.url,
      WEFT_DATA_DIR: dataDirectory,
      WEFT_PORT: '0',
      WEFT_LOG_LEVEL: 'error',
      ...(isOnRedis ? { WEFT_REDIS_URL: redisUrl as string } : {}),
    },
  })
  if (!read.ok) throw new Error(read.problems.join('\n'))
  weft = await startWeft(read.config)
})

afterAll(async () => {
  await weft?.stop()
  await database?.drop()
  if (dataDirectory) rmSync(dataDirectory, { recursive: true, force: true })
})

describe('task graphs of real scientific workflows', () => {
  // A suite without tests is an error: without files one skipped test stands for them.
  test.skipIf(files.length === 0).for(files.length > 0 ? files : ['dags/*.json'])(
    '%s runs in the order of its needs, every task once',
    async (file) => {
      await expectOrder(readDag(join(dagsFolder as string, file)))
    },
  )
})

describe('task graphs of the same shape, drawn from a seed', () => {
  test.for([
    { seed: 1, layers: 8, widest: 20, mostParents: 6 },
    { seed: 2, layers: 8, widest: 200, mostParents: 66 },
    { seed: 3, layers: 3, widest: 570, mostParents: 25 },
    { seed: 4, layers: 9, widest: 420, mostParents: 300 },
  ])('seed $seed: $layers layers of up to $widest tasks', async ({ seed, ...size }) => {
    await expectOrder(drawDag(randomFrom(seed), size))
  })
})

interface Performed {
  /** Place of the completion in the log. */
  readonly seq: number
  readonly at: number
  /** When the worker began; the engine's own steps have none. */
  readonly startedAt: number | null
}

async function expectOrder(dag: Dag): Promise<void> {
  const { definition, ids, workerTasks } = definitionOf(dag)
  const id = crypto.randomUUID()
  const attempts = new Map<string, number>()
  const ended = new Promise<void>((resolve) => {
    const unsubscribe = weft.transport.live.subscribe((message) => {
      if (message.kind === 'attempt' && message.runId === id && message.state === 'started') {
        attempts.set(message.key, (attempts.get(message.key) ?? 0) + 1)
      }
      if (message.kind !== 'event' || message.runId !== id) return
      if (!/^run\.(completed|failed|cancelled)$/.test((message.event as RunEvent).type)) return
      unsubscribe()
      resolve()
    })
  })
  await weft.submit({ workspace: DEFAULT_WORKSPACE, actor: 'test', what: { definition } }, id)
  await ended

  const performed = await completionsOf(id)
  expect(performed.size).toBe(dag.tasks.length)
  expect([...performed.keys()].sort()).toEqual([...ids.values()].sort())
  expect(attempts.size).toBe(workerTasks)
  expect([...attempts].filter(([, count]) => count !== 1)).toEqual([])
  expect(earlyStarts(dag, ids, performed)).toEqual([])
}

/** The completion of every step. Fails when one was completed twice, or when the run did not complete. */
async function completionsOf(runId: string): Promise<Map<string, Performed>> {
  const performed = new Map<string, Performed>()
  let last: RunEvent | null = null
  for (let afterSeq = 0; ; ) {
    const page = await weft.store.runs.events({ runId, afterSeq, limit: 1000 })
    for (const { seq, event } of page) {
      last = event
      if (event.type !== 'step.completed') continue
      expect(performed.has(event.key), `${event.key} was completed twice`).toBe(false)
      performed.set(event.key, { seq, at: event.at, startedAt: event.startedAt ?? null })
    }
    const end = page.at(-1)
    if (end === undefined) break
    afterSeq = end.seq
  }
  expect(last?.type).toBe('run.completed')
  return performed
}

/** Tasks that stand in the log before one that they need, or whose worker began before that one was done. */
function earlyStarts(
  dag: Dag,
  ids: ReadonlyMap<string, string>,
  performed: ReadonlyMap<string, Performed>,
): string[] {
  return dag.edges.flatMap(([from, to]) => {
    const before = performed.get(ids.get(from) as string) as Performed
    const after = performed.get(ids.get(to) as string) as Performed
    const isEarly = after.seq < before.seq || (after.startedAt !== null && after.startedAt < before.at)
    return isEarly ? [`${to} before ${from}`] : []
  })
}
