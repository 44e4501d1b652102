/** What a trial of the split deployment has shown, as lines for people. */
import type { FaultKind } from './faults.ts'
import { LONGEST_STALL_MS, type SplitTrialReport } from './trial.ts'

const NAMES: Record<FaultKind, string> = {
  kill: 'SIGKILL of a process',
  stop: 'SIGSTOP, then SIGCONT',
  flush: 'FLUSHALL',
  'redis-restart': 'Redis killed and started',
  'postgres-stop': 'Postgres stopped at once',
  'silent-redis': 'silence toward Redis',
  'silent-postgres': 'silence toward Postgres',
}

export function summaryOf(report: SplitTrialReport): string {
  const { rate, longestStall, mutants, problems } = report
  const noticed = mutants.filter(({ noticedBy }) => noticedBy !== null).length
  const rows: [string, string][] = [
    ...Object.entries(report.faults).map(([kind, count]): [string, string] => [
      NAMES[kind as FaultKind],
      String(count),
    ]),
    [
      'runs a second',
      `${rate.wanted} asked for, ${rate.offered.toFixed(1)} offered, ${rate.accepted.toFixed(1)} accepted while faults struck`,
    ],
    [
      'runs',
      `${report.offered} offered, ${report.accepted} accepted, ${report.ended} ended as they should; ${report.heldBack} held back while too many were open`,
    ],
    ['in the database', `${report.runs} runs, children included, with ${report.events} events`],
    ['open at once', `${report.mostOpen} runs at most, ${report.openAtEnd} when the load ended`],
    ['steps completed', `${report.completedSteps} that called the service, in ${report.calls} calls`],
    [
      'people',
      `${report.decisions} decisions, ${report.messages} messages; ${report.requestsSentAgain} requests had to be sent again`,
    ],
    ['lost runs', String(report.lost)],
    ['repeated attempts', `${report.repeatedAttempts} (allowed)`],
    ['repeated completions', String(report.repeatedCompletions)],
    [
      'calls after the commit',
      `${report.callsAfterCommit} of a completion; ${report.callsAfterDecision} between its decision and that (clocks within ${report.clockSkewMs} ms)`,
    ],
    [
      'longest stall',
      `${Math.round(longestStall.ms)} ms of ${LONGEST_STALL_MS} allowed; drained in ${Math.round(report.drainMs)} ms`,
    ],
    ['wrong on purpose', `${noticed} of ${mutants.length} noticed`],
    ['problems', String(problems.length)],
  ]
  const lines = rows.map(([name, value]) => `${name.padEnd(26)}${value}`)
  return [
    '',
    ...lines,
    ...problems.slice(0, 50).map((problem) => `  ${problem}`),
    '',
    `repeat with: npm run chaos -- --split --minutes ${report.minutes} --rate ${rate.wanted} --seed ${report.seed}`,
  ].join('\n')
}
