/**
 * The trial of the split deployment: seven processes over one PostgreSQL and one Redis, a load by the second, storms of
 * faults, and a calm after each. Afterwards everything must have ended as it should, by the database and by the ledger of
 * the world outside, and no run may have stood still for long while nothing was broken.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { randomFrom } from '../../random.ts'
import { eachRun } from '../checks.ts'
import { ApiClient } from '../client.ts'
import { Driver, type LoadFigures } from '../driver.ts'
import { startOutside } from '../outside.ts'
import { FAULT_KINDS, type FaultKind, type PlannedFault, planStorms, type Storm } from './faults.ts'
import { Ground } from './ground.ts'
import { type EndedRun, endedRun, type Judgement, judge } from './history.ts'
import { type MutantReport, tryMutants } from './mutants.ts'
import { type Stall, StallWatch } from './stalls.ts'

export interface SplitTrialOptions {
  readonly seed: number
  readonly minutes: number
  /** Runs a second. */
  readonly rate: number
  readonly report: (line: string) => void
}

export interface SplitTrialReport extends Judgement, LoadFigures {
  readonly seed: number
  readonly minutes: number
  /** Runs a second: asked for, submitted whatever becomes of those before, and taken, over the time of the load. */
  readonly rate: { readonly wanted: number; readonly offered: number; readonly accepted: number }
  /** Due, and not submitted, because too many runs were open. */
  readonly heldBack: number
  readonly faults: Readonly<Record<FaultKind, number>>
  /** Children included. */
  readonly runs: number
  readonly mostOpen: number
  readonly openAtEnd: number
  readonly events: number
  readonly calls: number
  readonly longestStall: Stall
  readonly drainMs: number
  readonly mutants: readonly MutantReport[]
}

export const LONGEST_STALL_MS = 30_000
const DRAIN_MS = 180_000
/**
 * The load does not wait for the deployment, and what gathers while one of its parts is away is its to work off. More
 * than this many seconds of load would say something about the machine alone, and are held back.
 */
const MOST_OPEN_SECONDS = 30

export async function runSplitTrial(options: SplitTrialOptions): Promise<SplitTrialReport> {
  const { seed, minutes, rate, report } = options
  const random = randomFrom(seed)
  const outside = await startOutside()
  const ground = await Ground.start(`127.0.0.1:${outside.port}`)
  const watch = new StallWatch(ground.databaseUrl)
  try {
    const storms = planStorms(minutes, random, ground.targets)
    const client = new ApiClient(ground.deployment.apiUrls, ground.deployment.apiKey)
    const driver: Driver = new Driver({
      client,
      service: outside.url,
      random,
      pace: {
        perSecond: rate,
        mayOffer: () => watch.openRuns + driver.unanswered < rate * MOST_OPEN_SECONDS,
      },
    })
    await driver.start()
    watch.start()
    const begun = performance.now()
    const faults = await rage(storms, ground, watch, driver, report)
    const seconds = (performance.now() - begun) / 1_000
    const meanwhile = driver.figures
    const openAtEnd = watch.openRuns

    report('the last storm is over; waiting for every run to end')
    const drainBegun = performance.now()
    await driver.drain(DRAIN_MS)
    const drainMs = performance.now() - drainBegun
    await watch.stop()

    const problems = [...ground.problems]
    const runs = new Map<string, EndedRun>()
    let events = 0
    for await (const run of eachRun(ground.databaseUrl, client, problems)) {
      runs.set(run.id, endedRun(run))
      events += run.events.length
    }
    const entries = await outside.entries()
    const evidence = { accepted: [...driver.accepted.values()], runs, entries, answered: driver.answered }
    const judgement = judge(evidence)
    problems.push(...judgement.problems)
    const mutants = tryMutants(evidence)
    for (const { mutant, noticedBy } of mutants)
      if (noticedBy === null) problems.push(`${mutant} was not noticed: this trial has shown nothing`)
    const longestStall = watch.clock.longest
    if (longestStall.ms > LONGEST_STALL_MS)
      problems.push(
        `run ${longestStall.run} (${longestStall.waitingFor}) stood still for ${Math.round(longestStall.ms)} ms`,
      )
    return {
      seed,
      minutes,
      rate: {
        wanted: rate,
        offered: meanwhile.offered / seconds,
        accepted: meanwhile.accepted / seconds,
      },
      heldBack: driver.heldBack,
      faults,
      ...driver.figures,
      runs: runs.size,
      mostOpen: watch.mostOpenRuns,
      openAtEnd,
      events,
      calls: entries.length,
      longestStall,
      drainMs,
      mutants,
      ...judgement,
      problems: [...new Set(problems)],
    }
  } catch (error) {
    const words = ground.deployment.members.map(({ name, weft }) => `${name}:\n${weft.output}`)
    throw new Error(`seed ${seed}: ${(error as Error).message}\nLast words:\n${words.join('\n')}`, {
      cause: error,
    })
  } finally {
    await watch.stop()
    await ground.end()
    await outside.stop()
  }
}

/** Storm and calm, one after the other. Answers how often each kind struck. */
async function rage(
  storms: readonly Storm[],
  ground: Ground,
  watch: StallWatch,
  driver: Driver,
  report: (line: string) => void,
): Promise<Record<FaultKind, number>> {
  const counts = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>
  const begun = performance.now()
  const seconds = (): string => ((performance.now() - begun) / 1_000).toFixed(1).padStart(6)
  for (const [index, { faults, calmMs }] of storms.entries()) {
    const suffer = async (fault: PlannedFault): Promise<void> => {
      await pause(fault.startsAt)
      await ground.strike(fault, () => {
        watch.clock.faultBegins()
        counts[fault.kind]++
        report(
          `${seconds()} s  ${fault.kind.padEnd(16)} ${(fault.member ?? '').padEnd(14)} ${(fault.lastsMs / 1_000).toFixed(1)} s  (${driver.accepted.size} accepted, ${watch.openRuns} open)`,
        )
      })
      watch.clock.faultHealed(performance.now())
    }
    await Promise.all(faults.map(suffer))
    report(`${seconds()} s  storm ${index + 1} of ${storms.length} has healed`)
    driver.check()
    await pause(calmMs)
    driver.check()
  }
  return counts
}
