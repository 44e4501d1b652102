/**
 * The trial: a real server and a real outside world, a load, and SIGKILLs while it works.
 *
 * Every kill strikes while at least 20 runs are unfinished and at least 5 attempts are in flight, read just before; half
 * of the kills take the PostgreSQL along. Afterwards everything must drain and every check must hold.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { type Random, randomFrom } from '../random.ts'
import { freePort, newApiKey, newDataDirectory, removeDataDirectory, WeftProcess } from '../weft-process.ts'
import { checkEndings, checkLedger, checkViews, type LedgerFindings, readRuns } from './checks.ts'
import { ApiClient } from './client.ts'
import { keepCommitTimes } from './commit-times.ts'
import { Driver, type LoadFigures } from './driver.ts'
import { type Outside, startOutside } from './outside.ts'

export const LEAST_UNFINISHED = 20
export const LEAST_IN_FLIGHT = 5

export interface ChaosOptions {
  readonly seed: number
  /** `null`: as many as fit into `limitMs`. */
  readonly kills: number | null
  /** No more kills after this; `null`: as long as it takes. */
  readonly limitMs: number | null
  readonly runsAtOnce: number
  readonly report: (line: string) => void
}

export interface Kill {
  readonly withPostgres: boolean
  readonly unfinished: number
  readonly inFlight: number
  /** From the SIGKILL until `/readyz` said yes again. */
  readonly readyMs: number
  /** From the SIGKILL until the outside world saw the next call. */
  readonly recoveredMs: number
}

export interface ChaosReport extends LedgerFindings, LoadFigures {
  readonly seed: number
  readonly kills: readonly Kill[]
  /** Children included. */
  readonly runs: number
  readonly events: number
  readonly calls: number
  readonly longestRecoveryMs: number
  readonly drainMs: number
  readonly problems: readonly string[]
}

/** How long the load may need to reach the least that a kill asks for. */
const RAMP_MS = 30_000
const DRAIN_MS = 90_000
const RECOVER_MS = 60_000
const LOOK_EVERY_MS = 10

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const random = randomFrom(options.seed)
  const dataDirectory = newDataDirectory('chaos')
  const outside = await startOutside()
  const weft = new WeftProcess({
    dataDirectory,
    port: await freePort(),
    apiKey: newApiKey(),
    allow: `127.0.0.1:${outside.port}`,
  })
  const client = new ApiClient(weft.url, weft.apiKey)
  const driver = new Driver({
    client,
    service: outside.url,
    random,
    pace: { runsAtOnce: options.runsAtOnce },
  })
  try {
    await keepCommitTimes(dataDirectory)
    await weft.start()
    await driver.start()
    const kills = await killOften(options, random, { weft, outside, driver })
    const begun = performance.now()
    await driver.drain(DRAIN_MS)
    const drainMs = performance.now() - begun

    const problems: string[] = []
    const runs = await readRuns(weft.databaseUrl, client, problems)
    await checkViews(client, runs, problems)
    await checkEndings(client, [...driver.accepted.values()], problems)
    const entries = await outside.entries()
    const findings = checkLedger(entries, runs, problems)
    return {
      seed: options.seed,
      kills,
      ...driver.figures,
      runs: runs.length,
      events: runs.reduce((sum, { events }) => sum + events.length, 0),
      calls: entries.length,
      longestRecoveryMs: Math.max(0, ...kills.map(({ recoveredMs }) => recoveredMs)),
      drainMs,
      ...findings,
      problems,
    }
  } catch (error) {
    throw new Error(
      `seed ${options.seed}: ${(error as Error).message}\nThe server’s last words:\n${weft.output}`,
      {
        cause: error,
      },
    )
  } finally {
    await weft.stop()
    await outside.stop()
    await removeDataDirectory(dataDirectory)
  }
}

interface Trial {
  readonly weft: WeftProcess
  readonly outside: Outside
  readonly driver: Driver
}

async function killOften(options: ChaosOptions, random: Random, trial: Trial): Promise<Kill[]> {
  const { kills: wanted, limitMs, report } = options
  const begun = performance.now()
  const kills: Kill[] = []
  // Calls of a killed server stay without an answer in the ledger: only later ones can be in flight.
  let lastCall = 0
  let firstOfPair = false
  while (kills.length < (wanted ?? Number.POSITIVE_INFINITY)) {
    if (limitMs !== null && performance.now() - begun > limitMs) break
    // Of each two kills one takes the PostgreSQL along; which one is drawn.
    const isFirst = kills.length % 2 === 0
    if (isFirst) firstOfPair = random.next() < 0.5
    const takesPostgres = isFirst === firstOfPair
    await pause(random.between(200, 1_500))
    const { unfinished, inFlight } = await loaded(trial, lastCall)
    const killedAt = Date.now()
    await trial.weft.kill(takesPostgres)
    lastCall = await trial.outside.last()
    const next = trial.outside.next(lastCall)
    await trial.weft.start()
    const readyMs = Date.now() - killedAt
    const nextCallAt = await Promise.race([next, pause(RECOVER_MS, null, { ref: false })])
    if (nextCallAt === null)
      throw new Error(`the server is ready, and ${RECOVER_MS} ms later it has called nobody`)
    const recoveredMs = nextCallAt - killedAt
    kills.push({ withPostgres: takesPostgres, unfinished, inFlight, readyMs, recoveredMs })
    report(
      `kill ${String(kills.length).padStart(3)}${wanted === null ? '' : ` of ${wanted}`}  ${takesPostgres ? 'with Postgres' : 'server only  '}  ` +
        `${unfinished} runs unfinished, ${inFlight} attempts in flight; ready after ${readyMs} ms, first call after ${recoveredMs} ms`,
    )
  }
  return kills
}

/** Resolves as soon as a kill is allowed, with what was read; an error when the load never gets there. */
async function loaded(
  { outside, driver }: Trial,
  lastCall: number,
): Promise<{ unfinished: number; inFlight: number }> {
  const deadline = performance.now() + RAMP_MS
  for (;;) {
    driver.check()
    const unfinished = (await driver.unfinished()).length
    const inFlight = await outside.open(lastCall)
    if (unfinished >= LEAST_UNFINISHED && inFlight >= LEAST_IN_FLIGHT) return { unfinished, inFlight }
    if (performance.now() > deadline) {
      throw new Error(
        `a kill needs ${LEAST_UNFINISHED} unfinished runs and ${LEAST_IN_FLIGHT} attempts in flight, and after ${RAMP_MS} ms there are ${unfinished} and ${inFlight}`,
      )
    }
    await pause(LOOK_EVERY_MS)
  }
}
