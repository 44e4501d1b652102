import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { openStore } from '../../src/store/postgres.ts'
import type { Store } from '../../src/store/store.ts'
import { createUpkeep, followDatabaseClock } from '../../src/upkeep.ts'
import { testDatabase } from '../postgres.ts'

const DAY_MS = 86_400_000

async function store(): Promise<Store> {
  const database = await testDatabase()
  const opened = await openStore({
    url: database.url,
    clock: systemClock(),
    applicationName: 'test',
    poolSize: 2,
  })
  onTestFinished(async () => {
    await opened.close()
    await database.drop()
  })
  return opened
}

test('finished runs go after their time; running ones stay, however old', async () => {
  const opened = await store()
  const clock = systemClock()
  const begin = async (at: number): Promise<string> => {
    const id = randomUUID()
    const started = {
      type: 'run.started',
      at,
      graph: 'sha256:g',
      input: {},
      labels: {},
      workflow: { name: 'w', version: null },
      vars: {},
      actor: 'test',
    } as const
    await opened.runs.begin({
      id,
      workspace: 'default',
      workflow: 'w',
      version: null,
      graph: 'sha256:g',
      started,
    })
    return id
  }
  const session = await opened.openOwner('test')
  onTestFinished(() => session.close())
  await session.claim(Array.from({ length: 16 }, (_, partition) => partition))
  const finish = (runId: string, at: number): Promise<void> =>
    session.append([
      {
        runId,
        workspace: 'default',
        firstSeq: 2,
        events: [{ type: 'run.completed', at, output: null }],
        status: 'completed',
        waitingFor: [],
        wakeAt: null,
        finished: { at, output: null, error: null },
        verdicts: [],
        waitsOpened: [],
        waitsClosed: [],
      },
    ])
  const now = clock.now()
  const [old, recent, running] = [
    await begin(now - 60 * DAY_MS),
    await begin(now - DAY_MS),
    await begin(now - 90 * DAY_MS),
  ]
  await finish(old, now - 40 * DAY_MS)
  await finish(recent, now - DAY_MS)

  const upkeep = createUpkeep({
    isCleaning: true,
    store: opened,
    clock,
    log: pino({ level: 'silent' }),
    retentionMs: 30 * DAY_MS,
  })
  await upkeep.tick()
  expect(await opened.runs.get({ workspace: 'default', id: old })).toBeNull()
  expect(await opened.runs.get({ workspace: 'default', id: recent })).not.toBeNull()
  expect(await opened.runs.get({ workspace: 'default', id: running })).not.toBeNull()
})

test('the clock follows the database’s when they differ', async () => {
  const clock = systemClock()
  const nowMs = clock.now() + 90_000
  const ahead = { describe: async () => ({ version: '18', databaseId: 'a', nowMs, settings: {} }) }
  await followDatabaseClock(ahead, clock)
  expect(Math.abs(clock.offsetMs - 90_000)).toBeLessThan(1_000)
})
