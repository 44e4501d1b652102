/**
 * `npm run chaos -- [--kills K] [--minutes N] [--seed S] [--runs R] [--json FILE]`: 50 kills, or as many as fit.
 *
 * With `--minutes` alone it kills until the time is over.
 *
 * `npm run chaos -- --split [--minutes N] [--rate R] [--seed S] [--json FILE]`: the same judgement over a deployment of
 * seven processes, a PostgreSQL and a Redis, at R runs a second, with seven kinds of faults; each as often as there are
 * minutes (10).
 *
 * Exits with 1 when any check failed.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { findRedis } from '../servers/programs.ts'
import { type ChaosReport, runChaos } from './chaos.ts'
import { summaryOf as splitSummaryOf } from './split/summary.ts'
import { runSplitTrial } from './split/trial.ts'

const DEFAULT_KILLS = 50
const DEFAULT_RUNS = 60
const DEFAULT_SPLIT = { minutes: 10, rate: 200 }

// Ended early, it ends and removes what it started (see weft-process.ts).
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

const { values } = parseArgs({
  options: {
    kills: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    runs: { type: 'string' },
    rate: { type: 'string' },
    split: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
})

type Figure = 'kills' | 'minutes' | 'seed' | 'runs' | 'rate'

function refuse(sentence: string): never {
  process.stderr.write(`${sentence}\n`)
  process.exit(2)
}

function numberOf(name: Figure): number | undefined {
  const text = values[name]
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value >= 0) return value
  return refuse(`--${name} must be a number from 0 on, and \`${text}\` is none.`)
}

function positiveOf(name: Figure, otherwise: number): number {
  const value = numberOf(name) ?? otherwise
  return value > 0 ? value : refuse(`--${name} must be more than 0.`)
}

/** Options of the other trial are a misunderstanding. */
function refuseOf(trial: string, names: readonly Figure[]): void {
  for (const name of names)
    if (values[name] !== undefined) refuse(`--${name} has no meaning ${trial} --split.`)
}

const seed = numberOf('seed') ?? Math.floor(Math.random() * 2 ** 31)
const print = (line: string): void => void process.stdout.write(`${line}\n`)

print(`seed ${seed} (repeat with --seed ${seed})`)
const { report, summary } = values.split ? await splitTrial() : await singleTrial()
print(summary)
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
process.exit(report.problems.length === 0 ? 0 : 1)

async function singleTrial() {
  refuseOf('without', ['rate'])
  const minutes = numberOf('minutes')
  const report = await runChaos({
    seed,
    kills: numberOf('kills') ?? (minutes === undefined ? DEFAULT_KILLS : null),
    limitMs: minutes === undefined ? null : minutes * 60_000,
    runsAtOnce: numberOf('runs') ?? DEFAULT_RUNS,
    report: print,
  })
  return { report, summary: summaryOf(report) }
}

async function splitTrial() {
  refuseOf('with', ['kills', 'runs'])
  if (findRedis() === null) refuse('--split needs a Redis, and this machine has none: install redis-server.')
  const report = await runSplitTrial({
    seed,
    minutes: positiveOf('minutes', DEFAULT_SPLIT.minutes),
    rate: positiveOf('rate', DEFAULT_SPLIT.rate),
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
