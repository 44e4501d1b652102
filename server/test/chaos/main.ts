/**
 * `npm run chaos -- [--kills K] [--minutes N] [--seed S] [--runs R] [--json FILE]`: 50 kills, or as many as fit.
 *
 * With `--minutes` alone it kills until the time is over. Exits with 1 when any check failed.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type ChaosReport, runChaos } from './chaos.ts'

const DEFAULT_KILLS = 50

// Ended early, it ends and removes what it started (see weft-process.ts).
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

const { values } = parseArgs({
  options: {
    kills: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    runs: { type: 'string', default: '60' },
    json: { type: 'string' },
  },
})

const numberOf = (name: 'kills' | 'minutes' | 'seed' | 'runs'): number | undefined => {
  const text = values[name]
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isFinite(value) && value >= 0) return value
  process.stderr.write(`--${name} must be a number, and \`${text}\` is none.\n`)
  process.exit(2)
}

const minutes = numberOf('minutes')
const seed = numberOf('seed') ?? Math.floor(Math.random() * 2 ** 31)
const kills = numberOf('kills') ?? (minutes === undefined ? DEFAULT_KILLS : null)
const print = (line: string): void => void process.stdout.write(`${line}\n`)

print(`seed ${seed} (repeat with --seed ${seed})`)
const report = await runChaos({
  seed,
  kills,
  limitMs: minutes === undefined ? null : minutes * 60_000,
  runsAtOnce: numberOf('runs') ?? 60,
  report: print,
})
print(summaryOf(report))
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
process.exit(report.problems.length === 0 ? 0 : 1)

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
    `after completion       ${report.callsAfterCompletion} calls began after the completion of their step (${report.completedSteps} looked at, clocks within ${report.clockSkewMs} ms)`,
    `problems               ${report.problems.length}`,
    ...report.problems.slice(0, 50).map((problem) => `  ${problem}`),
  ].join('\n')
}
