/** A rolling restart: every process of a deployment, one by one, while runs are submitted. */
import type { Deployment } from './deployment.ts'
import { Load, type LoadReport, type Service } from './load.ts'

const SETTLE_MS = 120_000
const AFTERWARDS_MS = 1_000

type LoadFigures = Omit<LoadReport, 'endedAt'>

export interface RollingReport {
  readonly load: LoadFigures
  readonly restarts: readonly {
    readonly name: string
    /** From SIGTERM to the end of the process. */
    readonly stopMs: number
    readonly exitCode: number | null
    /** From the start to `/readyz`. */
    readonly startMs: number
    /** Longest time between two ends of runs, from SIGTERM until a second after the process was gone. */
    readonly pauseMs: number
  }[]
  readonly problems: readonly string[]
}

export async function rollingRestart(
  deployment: Deployment,
  service: Service,
  options: {
    readonly perSecond: number
    readonly databaseUrl: string
    readonly report?: (line: string) => void
  },
): Promise<RollingReport> {
  const load = new Load(deployment, service).start(options.perSecond)
  const restarts: (Omit<RollingReport['restarts'][number], 'pauseMs'> & { readonly at: number })[] = []
  for (const { name, weft } of deployment.members) {
    const at = Date.now()
    const begun = performance.now()
    const exitCode = await weft.stop()
    const stopMs = Math.round(performance.now() - begun)
    const startMs = Math.round(await weft.start())
    restarts.push({ name, at, stopMs, exitCode, startMs })
    options.report?.(
      `${name} ended with ${exitCode} after ${stopMs} ms, and was ready again ${startMs} ms later`,
    )
  }
  await load.stop()
  const report = await load.settle(options.databaseUrl, SETTLE_MS)
  const { endedAt, ...figures } = report
  const paused = restarts.map(({ at, ...restart }) => ({
    ...restart,
    pauseMs: longestPause(endedAt, at, at + restart.stopMs + AFTERWARDS_MS),
  }))
  return { load: figures, restarts: paused, problems: problemsOf(figures, paused) }
}

function longestPause(endedAt: readonly number[], from: number, to: number): number {
  const within = [from, ...endedAt.filter((at) => at > from && at < to), to]
  return Math.max(...within.slice(1).map((at, index) => at - (within[index] as number)))
}

function problemsOf(load: LoadFigures, restarts: RollingReport['restarts']): string[] {
  const problems = load.refusals.map((refusal) => `a submit was refused: ${refusal}`)
  for (const { name, exitCode } of restarts)
    if (exitCode !== 0) problems.push(`${name} ended with ${exitCode}`)
  if (load.lost > 0) problems.push(`${load.lost} accepted runs are not in the database`)
  const completed = load.statuses.completed ?? 0
  if (completed < load.accepted)
    problems.push(
      `${load.accepted - completed} accepted runs did not complete: ${JSON.stringify(load.statuses)}`,
    )
  if (load.lateCalls > 0)
    problems.push(`${load.lateCalls} calls came after the completion of their step was committed`)
  return problems
}
