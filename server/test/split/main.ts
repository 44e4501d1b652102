/**
 * `npm run rolling`: restarts every process of a deployment, one by one, under load.
 *
 * On a PostgreSQL and a Redis of its own, or on those that WEFT_TEST_DATABASE_URL (an empty database) and
 * WEFT_TEST_REDIS_URL name.
 */
import { writeFileSync } from 'node:fs'
import { systemClock } from '../../src/clock.ts'
import { startEmbeddedPostgres } from '../../src/store/embedded.ts'
import { RedisServer } from '../servers/redis.ts'
import { print, tool, whole } from '../tool.ts'
import { newDataDirectory, removeDataDirectory } from '../weft-process.ts'
import { Deployment } from './deployment.ts'
import { Service } from './load.ts'
import { type RollingReport, rollingRestart } from './rolling.ts'

interface Options {
  readonly rate: number
  readonly apis: number
  readonly coordinators: number
  readonly workers: number
  readonly json?: string
}

const MOST_OF_A_ROLE = 16
const {
  rate: perSecond,
  json,
  ...shape
} = tool(
  'rolling',
  'Restarts every process of a deployment, one by one, at a steady rate of submits. Exit code 1 when an accepted run is lost or does not complete, when a client sees anything but a broken connection, or when a process does not end with 0.',
  ['--rate 200', '--apis 2 --coordinators 3 --workers 4 --json rolling.json'],
)
  .option('--rate <perSecond>', 'submits', whole(1, 10_000), 200)
  .option('--apis <count>', 'processes of this role', whole(1, MOST_OF_A_ROLE), 2)
  .option('--coordinators <count>', 'processes of this role', whole(1, MOST_OF_A_ROLE), 2)
  .option('--workers <count>', 'processes of this role', whole(1, MOST_OF_A_ROLE), 2)
  .option('--json <file>', 'writes the report there')
  .parse()
  .opts<Options>()

const dataDirectory = newDataDirectory('rolling-postgres')
const givenDatabase = process.env.WEFT_TEST_DATABASE_URL
const postgres = givenDatabase ? null : await startEmbeddedPostgres({ dataDirectory, clock: systemClock() })
const givenRedis = process.env.WEFT_TEST_REDIS_URL
const redis = givenRedis ? null : await RedisServer.start()
const databaseUrl = givenDatabase ?? (postgres?.url as string)
const service = await Service.start()
let deployment: Deployment | null = null
try {
  deployment = await Deployment.start({
    ...shape,
    databaseUrl,
    redisUrl: givenRedis ?? (redis?.url as string),
    allow: service.host,
  })
  print(`${deployment.members.length} processes are ready; ${perSecond} submits a second from here on`)
  const report = await rollingRestart(deployment, service, { perSecond, databaseUrl, report: print })
  print(summaryOf(report))
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`)
  process.exitCode = report.problems.length === 0 ? 0 : 1
} finally {
  await deployment?.end()
  await service.stop()
  await redis?.stop()
  await postgres?.stop()
  await removeDataDirectory(dataDirectory)
}

function summaryOf({ load, restarts, problems }: RollingReport): string {
  return [
    '',
    `restarts               ${restarts.length}, every process once`,
    `submits                ${load.submitted}, ${load.accepted} accepted; ${load.retriedConnections} connections broke and were tried again`,
    `runs                   ${Object.entries(load.statuses)
      .map(([status, count]) => `${count} ${status}`)
      .join(', ')}`,
    `duration of a run      p50 ${load.durationMs.p50} ms, p99 ${load.durationMs.p99} ms, longest ${load.durationMs.max} ms`,
    `pause of runs          ${restarts.map(({ name, pauseMs }) => `${name} ${pauseMs} ms`).join(', ')}`,
    `longest stall          ${load.longestStallMs} ms without the end of any run`,
    `calls                  ${load.calls}, ${load.repeatedCalls} repeated, ${load.lateCalls} after the completion of their step`,
    `problems               ${problems.length}`,
    ...problems.slice(0, 50).map((problem) => `  ${problem}`),
  ].join('\n')
}
