/** `npm run chaos`: kills, and with `--split` more kinds of faults, while work goes on; then everything is counted. */
import { writeFileSync } from 'node:fs'
import { findRedis } from '../servers/programs.ts'
import { minutes, print, randomSeed, refuse, tool, whole } from '../tool.ts'
import { type ChaosReport, runChaos } from './chaos.ts'
import { summaryOf as splitSummaryOf } from './split/summary.ts'
import { runSplitTrial } from './split/trial.ts'

const DEFAULT_KILLS = 50
const DEFAULT_RUNS = 60
const DEFAULT_SPLIT = { minutes: 10, rate: 200 }

interface Options {
  readonly kills?: number
  readonly minutes?: number
  readonly seed?: number
  readonly runs?: number
  readonly rate?: number
  readonly split?: true
  readonly json?: string
}

const options = tool(
  'chaos',
  'Kills Weft, and its PostgreSQL with it every other time, while runs are submitted, decided and cancelled, and holds what was answered, called and stored against each other. Exit code 1 when anything does not fit.',
  ['--kills 50', '--minutes 10 --seed 7', '--split --minutes 10 --rate 200 --json chaos.json'],
)
  .option('--kills <count>', `how many; ${DEFAULT_KILLS}, or as many as fit into --minutes`, whole(1))
  .option('--minutes <count>', 'for so long; with --split, each fault as often', minutes)
  .option('--seed <seed>', 'repeats a trial; random unless given', whole(0))
  .option('--runs <count>', `unfinished at a time, without --split; ${DEFAULT_RUNS}`, whole(1))
  .option('--split', 'seven processes, a PostgreSQL and a Redis, with seven kinds of faults')
  .option('--rate <perSecond>', `submits, with --split; ${DEFAULT_SPLIT.rate}`, whole(1))
  .option('--json <file>', 'writes the report there')
  .parse()
  .opts<Options>()
const { seed = randomSeed() } = options

/** Options of the other trial are a misunderstanding. */
function refuseOf(trial: string, names: readonly ('kills' | 'runs' | 'rate')[]): void {
  for (const name of names)
    if (options[name] !== undefined) refuse(`--${name} has no meaning ${trial} --split.`)
}

print(`seed ${seed} (repeat with --seed ${seed})`)
const { report, summary } = options.split ? await splitTrial() : await singleTrial()
print(summary)
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`)
process.exit(report.problems.length === 0 ? 0 : 1)

async function singleTrial() {
  refuseOf('without', ['rate'])
  const report = await runChaos({
    seed,
    kills: options.kills ?? (options.minutes === undefined ? DEFAULT_KILLS : null),
    limitMs: options.minutes === undefined ? null : options.minutes * 60_000,
    runsAtOnce: options.runs ?? DEFAULT_RUNS,
    report: print,
  })
  return { report, summary: summaryOf(report) }
}

async function splitTrial() {
  refuseOf('with', ['kills', 'runs'])
  if (findRedis() === null) refuse('--split needs a Redis, and this machine has none: install redis-server.')
  const report = await runSplitTrial({
    seed,
    minutes: options.minutes ?? DEFAULT_SPLIT.minutes,
    rate: options.rate ?? DEFAULT_SPLIT.rate,
    report: print,
  })
  return { report, summary: splitSummaryOf(report) }
}

function summaryOf(report: ChaosReport): string {
  const { kills } = report
  const least = (figures: readonly number[]): number => Math.min(...figures)
  const most = (figures: readonly number[]): number => Math.max(...figures)
  const inFlight = kills.map((kill) => kill.inFlight)
  const unfinished = kills.map((kill) => kill.unfinished)
  return [
    '',
    `kills                  ${kills.length}, ${kills.filter((kill) => kill.withPostgres).length} of them with Postgres`,
    `unfinished at a kill   ${least(unfinished)} to ${most(unfinished)} runs`,
    `in flight at a kill    ${least(inFlight)} to ${most(inFlight)} attempts, ${inFlight.reduce((a, b) => a + b, 0)} in all`,
    `repeated attempts      ${report.repeatedAttempts} of ${report.calls} calls`,
    `longest recovery       ${report.longestRecoveryMs} ms from the kill to the next call; drained in ${Math.round(report.drainMs)} ms`,
    `runs                   ${report.accepted} accepted, ${report.runs} with their children, ${report.events} events`,
    `people                 ${report.decisions} decisions, ${report.messages} messages; ${report.requestsSentAgain} requests had to be sent again`,
    `after completion       ${report.callsAfterCommit} calls began after the completion of their step was committed, ${report.callsAfterDecision} between its decision and that (${report.completedSteps} looked at, clocks within ${report.clockSkewMs} ms)`,
    `problems               ${report.problems.length}`,
    ...report.problems.slice(0, 50).map((problem) => `  ${problem}`),
  ].join('\n')
}
