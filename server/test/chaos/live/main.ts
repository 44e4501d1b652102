/** `npm run chaos:live`: clients of the live streams, cut at random and by restarts, have every event once and in order. */
import { writeFileSync } from 'node:fs'
import { systemClock } from '../../../src/clock.ts'
import { startEmbeddedPostgres } from '../../../src/store/embedded.ts'
import { findRedis } from '../../servers/programs.ts'
import { RedisServer } from '../../servers/redis.ts'
import { print, randomSeed, refuse, tool, whole } from '../../tool.ts'
import { newDataDirectory, removeDataDirectory } from '../../weft-process.ts'
import { runLiveTrial } from './trial.ts'

interface Options {
  readonly runs: number
  readonly clients: number
  readonly restarts: number
  readonly seed?: number
  readonly split?: true
  readonly json?: string
}

const {
  split,
  json,
  seed = randomSeed(),
  ...size
} = tool(
  'chaos:live',
  'Clients follow runs over a proxy that cuts them at random, some cuts with a restart of the server. Exit code 1 when the events that a client put together are not those of the log.',
  ['--seed 7', '--split --seed 11', '--runs 100 --clients 20 --restarts 2'],
)
  .option('--runs <count>', 'in all', whole(1), 1_000)
  .option('--clients <count>', 'at a time', whole(2), 200)
  .option('--restarts <count>', 'of the server', whole(0), 20)
  .option('--seed <seed>', 'repeats a trial; random unless given', whole(0))
  .option('--split', 'the API is a process of its own, and hears the others through Redis')
  .option('--json <file>', 'writes the report there')
  .parse()
  .opts<Options>()

print(`seed ${seed} (repeat with --seed ${seed})`)
const grounds = split ? await splitGrounds() : null
const report = await runLiveTrial({
  ...size,
  seed,
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
if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`)
process.exit(report.problems.length === 0 ? 0 : 1)

/** A PostgreSQL and a Redis for several processes. */
async function splitGrounds() {
  if (findRedis() === null) refuse('--split needs a Redis, and this machine has none: install redis-server.')
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
