/** A database that goes away comes back without anybody's help, and what was accepted is there. */
import { expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { openStore } from '../../src/store/postgres.ts'
import { SessionLost, StoreError } from '../../src/store/store.ts'
import { appendOf, EVERY_PARTITION, failureOf, newRun, whileOwning } from '../suites/store-fixture.ts'
import { embeddedGround } from './embedded-ground.ts'

const ground = embeddedGround()

test('PostgreSQL is killed and comes back: the pool heals, the owner knows, no accepted run is lost', async () => {
  const directory = await ground.usedDirectory()
  let seen = () => {}
  const runsAgain = new Promise<void>((resolve) => {
    seen = resolve
  })
  const server = await ground.start(directory, (line) => void (/runs again/.test(line) && seen()))
  const store = await openStore({
    url: server.url,
    clock: systemClock(),
    applicationName: 'outage',
    poolSize: 4,
  })
  const accepted = Array.from({ length: 50 }, () => newRun())
  await Promise.all(accepted.map((run) => store.runs.begin(run)))
  const session = await store.openOwner('owner')
  await session.claim(EVERY_PARTITION)

  const racing = Array.from({ length: 200 }, () => newRun())
  const outcomes = Promise.allSettled(racing.map((run) => store.runs.begin(run)))
  process.kill(server.pid, 'SIGKILL')
  await session.ended
  expect(await failureOf(session.append([appendOf(accepted[0]!)]))).toBeInstanceOf(SessionLost)
  const settled = await outcomes
  for (const result of settled) {
    if (result.status === 'fulfilled') continue
    expect(result.reason).toBeInstanceOf(StoreError)
    expect(result.reason).toMatchObject({ code: 'database_unavailable', retryable: true })
  }

  await runsAgain
  await store.ping()
  const found = async (id: string) => (await store.runs.get({ workspace: 'default', id })) !== null
  for (const run of accepted) expect(await found(run.id)).toBe(true)
  for (const [index, run] of racing.entries()) {
    if (settled[index]?.status === 'fulfilled') expect(await found(run.id)).toBe(true)
  }
  // What was not answered may be there or not; begun again, it is there once.
  await Promise.all(racing.map((run) => store.runs.begin(run)))
  await whileOwning(store, (next) => next.append(accepted.map((run) => appendOf(run))))
  await session.close()
  await store.close()
})
