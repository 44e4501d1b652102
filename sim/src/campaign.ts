/** Many worlds, one after the other, and what they were made of. */
import { FAULT_KINDS, type FaultCounts, noFaults } from './faults.ts'
import { playWorld, type WorldResult } from './world.ts'

export interface Finding {
  readonly seed: number
  readonly violation: Error
}

export interface Tally {
  worlds: number
  runs: number
  calls: number
  events: number
  commands: number
  quarantines: number
  readonly faults: FaultCounts
  readonly ends: Map<string, number>
  /** In how many worlds something of the language was used. */
  readonly features: Map<string, number>
  /** How often what happened, faults apart. */
  readonly occurrences: Map<string, number>
  readonly findings: Finding[]
}

export interface CampaignSettings {
  readonly firstSeed: number
  /** Asked before each world. */
  readonly goesOn: (tally: Tally) => boolean
  readonly found?: (finding: Finding) => void
}

const newTally = (): Tally => ({
  worlds: 0,
  runs: 0,
  calls: 0,
  events: 0,
  commands: 0,
  quarantines: 0,
  faults: noFaults(),
  ends: new Map(),
  features: new Map(),
  occurrences: new Map(),
  findings: [],
})

export async function playWorlds({ firstSeed, goesOn, found }: CampaignSettings): Promise<Tally> {
  const tally = newTally()
  for (let seed = firstSeed; goesOn(tally); seed++) {
    const result = await playWorld(seed)
    count(tally, result)
    if (!result.violation) continue
    const finding = { seed, violation: result.violation }
    tally.findings.push(finding)
    found?.(finding)
  }
  return tally
}

function count(tally: Tally, result: WorldResult): void {
  tally.worlds++
  tally.runs += result.runs
  tally.calls += result.calls
  tally.events += result.events
  tally.commands += result.commands
  tally.quarantines += result.quarantines
  for (const kind of FAULT_KINDS) tally.faults[kind] += result.faults[kind]
  for (const end of result.ends) add(tally.ends, end)
  for (const feature of result.features) add(tally.features, feature)
  for (const [name, times] of result.occurrences) add(tally.occurrences, name, times)
}

const add = (counts: Map<string, number>, name: string, times = 1): void =>
  void counts.set(name, (counts.get(name) ?? 0) + times)

/** The one command that plays the world again. */
export const replayCommand = (seed: number): string => `npm run sim -- --worlds 1 --seed ${seed} --trace`

export function summaryOf(tally: Tally, seconds: number): string {
  const list = (counts: Iterable<[string, number]>): string =>
    [...counts].map(([name, number]) => `${name} ${number}`).join(', ')
  return [
    `worlds     ${tally.worlds} in ${seconds.toFixed(1)} s, ${Math.round((tally.worlds / seconds) * 60)} a minute`,
    `runs       ${tally.runs} with their children: ${list(tally.ends)}`,
    `steps      ${tally.calls} calls, ${tally.events} events, ${tally.commands} commands, ${tally.quarantines} runs set aside and recovered`,
    `faults     ${list(Object.entries(tally.faults))}`,
    `features   ${list(tally.features)}`,
    `occurred   ${list(tally.occurrences)}`,
    `findings   ${tally.findings.length}`,
  ].join('\n')
}
