/**
 * `npm run chaos:live -- [--runs N] [--clients N] [--restarts N] [--seed S] [--split] [--json FILE]`: clients of the live
 * streams, cut at random and by restarts; with `--split` of an API that is a process of its own. Exits with 1 when a client's list is not the log.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { systemClock } from '../../../src/clock.ts'
import { startEmbeddedPostgres } from '../../../src/store/embedded.ts'
import { findRedis } from '../../servers/programs.ts'
import { RedisServer } from '../../servers/redis.ts'
import { newDataDirectory, removeDataDirectory } from '../../weft-process.ts'
import { runLiveTrial } from './trial.ts'

// Ended early, it ends and removes what it started (see weft-process.ts).
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000' },
    clients: { type: 'string', default: '200' },
    restarts: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    split: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
})

const LEAST = { runs: 1, clients: 2, restarts: 0, seed: 0 } as const

function numberOf(name: keyof typeof LEAST): number {
  const value = Number(values[name])
  if (Number.isSafeInteger(value) && value >= LEAST[name]) return value
  process.stderr.write(
    `--${name} must be a whole number from ${LEAST[name]} on, and \`${values[name]}\` is none.\n`,
  )
  process.exit(2)
}

const print = (line: string): void => void process.stdout.write(`${line}\n`)
const options = {
  seed: numberOf('seed'),
  runs: numberOf('runs'),
  clients: numberOf('clients'),
  restarts: numberOf('restarts'),
}
print(`seed ${options.seed} (repeat with --seed ${options.seed})`)
const grounds = values.split ? await splitGrounds() : null
const report = await runLiveTrial({
  ...options,
  databaseUrl: grounds?.databaseUrl ?? null,
  redisUrl: grounds?.redisUrl ?? null,
  report: print,
})
await grounds?.end()
print(
  [
    '',
    `runs        ${report.runs}, ${report.events} events`,
    `clients     ${report.clients}, half by server-sent events, half by WebSocket; ${report.eventsSeen} events put together`,
    `cuts        ${report.cuts}, ${report.cutsMidFrame} of them in the middle of a frame; ${report.restarts} with a restart of the server`,
    `reconnects  ${report.reconnects}`,
    `wrong lists ${report.wrongOnPurpose.length} of 2 that were wrong on purpose were noticed`,
    ...report.wrongOnPurpose.map((problem) => `  ${problem}`),
    `took        ${Math.round(report.seconds)} s`,
    `problems    ${report.problems.length}`,
    ...report.problems.slice(0, 50).map((problem) => `  ${problem}`),
  ].join('\n'),
)
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
process.exit(report.problems.length === 0 ? 0 : 1)

/** A PostgreSQL and a Redis for several processes. */
async function splitGrounds() {
  if (findRedis() === null) {
    process.stderr.write('--split needs a Redis, and this machine has none: install redis-server.\n')
    process.exit(2)
  }
  const dataDirectory = newDataDirectory('live-postgres')
  const postgres = await startEmbeddedPostgres({ dataDirectory, clock: systemClock() })
  const redis = await RedisServer.start()
  return {
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    async end() {
      await redis.stop()
      await postgres.stop()
      await removeDataDirectory(dataDirectory)
    },
  }
}
