/**
 * `npm run rolling -- [--rate R] [--apis A] [--coordinators C] [--workers W] [--json FILE]`: restarts every process of a
 * deployment, one by one, at R submits a second. Exits with 1 when any accepted run is lost or does not complete, when a
 * client saw anything but a broken connection, or when a process did not end with 0.
 *
 * On a PostgreSQL and a Redis of its own, or on those that WEFT_TEST_DATABASE_URL (an empty database) and
 * WEFT_TEST_REDIS_URL name.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { systemClock } from '../../src/clock.ts'
import { startEmbeddedPostgres } from '../../src/store/embedded.ts'
import { RedisServer } from '../servers/redis.ts'
import { newDataDirectory, removeDataDirectory } from '../weft-process.ts'
import { Deployment } from './deployment.ts'
import { Service } from './load.ts'
import { type RollingReport, rollingRestart } from './rolling.ts'

// Ended early, it ends and removes what it started (see role-process.ts).
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '200' },
    apis: { type: 'string', default: '2' },
    coordinators: { type: 'string', default: '2' },
    workers: { type: 'string', default: '2' },
    json: { type: 'string' },
  },
})

function numberOf(name: 'rate' | 'apis' | 'coordinators' | 'workers'): number {
  const value = Number(values[name])
  if (Number.isInteger(value) && value >= 1 && value <= 10_000) return value
  process.stderr.write(`--${name} must be a whole number from 1, and \`${values[name]}\` is none.\n`)
  process.exit(2)
}

const shape = { apis: numberOf('apis'), coordinators: numberOf('coordinators'), workers: numberOf('workers') }
const perSecond = numberOf('rate')
const print = (line: string): void => void process.stdout.write(`${line}\n`)

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
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
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
