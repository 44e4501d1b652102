/** Weft in many processes, under load, while one of them is killed, stopped or asked to go: no accepted run is lost. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../coordinator/fleet.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { redisUrl } from '../redis.ts'
import { Deployment, type Member } from './deployment.ts'
import { Load, type LoadReport, Service } from './load.ts'
import { rollingRestart } from './rolling.ts'

const PER_SECOND = 20
const SETTLE_MS = 50_000

describe.skipIf(redisUrl === null)('a deployment in many processes', () => {
  let database: TestDatabase
  let service: Service
  let deployment: Deployment

  beforeAll(async () => {
    database = await testDatabase()
    service = await Service.start()
    deployment = await Deployment.start({
      apis: 1,
      coordinators: 2,
      workers: 1,
      databaseUrl: database.url,
      redisUrl: redisUrl!,
      allow: service.host,
    })
  })
  afterEach(async () => {
    // Whatever happened to one: the shares are even again.
    await evenly()
  })
  afterAll(async () => {
    await deployment?.end()
    await service?.stop()
    await database?.drop()
  })

  const owner = (): Member => deployment.of('coordinator')[0] as Member
  const heir = (): Member => deployment.of('coordinator')[1] as Member

  const evenly = (): Promise<void> =>
    until(async () => (await deployment.owned(owner())) === 8 && (await deployment.owned(heir())) === 8)

  const heirHasAll = (): Promise<void> => until(async () => (await deployment.owned(heir())) === 16)

  /** Load from before to after what is done, and what became of every run of it. */
  async function during(work: (load: Load) => Promise<void>): Promise<LoadReport> {
    await evenly()
    const load = new Load(deployment, service).start(PER_SECOND)
    await until(() => load.accepted >= PER_SECOND)
    await work(load)
    const before = load.accepted
    await until(() => load.accepted >= before + PER_SECOND)
    await load.stop()
    const report = await load.settle(database.url, SETTLE_MS)
    expect(report).toMatchObject({
      refusals: [],
      lost: 0,
      lateCalls: 0,
      statuses: { completed: report.accepted },
    })
    return report
  }

  test('an owner that is killed: a peer has its partitions, and every run ends', async () => {
    await during(async () => {
      await owner().weft.kill()
      await heirHasAll()
    })
    await owner().weft.start()
  })

  test('an owner that is stopped and wakes up later: a peer took over, and it does no harm', async () => {
    await during(async () => {
      owner().weft.signal('SIGSTOP')
      try {
        await heirHasAll()
      } finally {
        owner().weft.signal('SIGCONT')
      }
      await evenly()
    })
  })

  test('a rolling restart of every process: clients see broken connections at most, and every run ends', async () => {
    const { load, restarts, problems } = await rollingRestart(deployment, service, {
      perSecond: PER_SECOND,
      databaseUrl: database.url,
    })
    expect(problems).toEqual([])
    expect(restarts).toHaveLength(deployment.members.length)
    expect(load.accepted).toBe(load.submitted)
  })

  test('an owner that is asked to go hands everything over and ends with 0', async () => {
    await during(async () => {
      expect(await owner().weft.stop()).toBe(0)
      await heirHasAll()
    })
    await owner().weft.start()
  })
})
