/** What users are promised of every run, held over a thousand worlds in which everything fails that can. */
import { expect, test } from 'vitest'
import { FEATURES } from '../../engine/test/world/generate.ts'
import { playWorlds, replayCommand, summaryOf } from '../src/campaign.ts'
import { FAULT_KINDS } from '../src/faults.ts'
import { OCCURRENCES } from '../src/occurrences.ts'
import { playWorld } from '../src/world.ts'

const WORLDS = Number(process.env.WEFT_TEST_SIM_WORLDS ?? 1_000)
const SEED = Number(process.env.WEFT_TEST_SEED ?? 20_261_121)

/** Each must have been there often enough that its absence would say something. */
const LEAST_FAULTS = WORLDS / 50
const LEAST_WORLDS = WORLDS / 50
const LEAST_OCCURRENCES = WORLDS / 500
const OTHERS = ['blob', 'no fault', 'run.patched', 'run.paused', 'run.cancelled', 'run.retried', 'ties']

test(`over ${WORLDS} worlds nothing is lost, done twice, called after its end, or left waiting for nothing`, {
  timeout: 600_000,
}, async () => {
  const began = performance.now()
  const tally = await playWorlds({
    firstSeed: SEED,
    goesOn: ({ worlds, findings }) => worlds < WORLDS && findings.length < 3,
  })
  console.log(summaryOf(tally, (performance.now() - began) / 1000))
  const findings = tally.findings.map(
    ({ seed, violation }) => `seed ${seed}: ${violation.message}\n  ${replayCommand(seed)}`,
  )
  expect(findings).toEqual([])
  for (const kind of FAULT_KINDS) expect(tally.faults[kind], kind).toBeGreaterThanOrEqual(LEAST_FAULTS)
  for (const feature of [...FEATURES, ...OTHERS])
    expect(tally.features.get(feature) ?? 0, feature).toBeGreaterThanOrEqual(LEAST_WORLDS)
  for (const name of OCCURRENCES)
    expect(tally.occurrences.get(name) ?? 0, name).toBeGreaterThanOrEqual(LEAST_OCCURRENCES)
  for (const end of ['completed', 'failed', 'cancelled'])
    expect(tally.ends.get(end) ?? 0, end).toBeGreaterThanOrEqual(LEAST_WORLDS)
})

test('a world happens twice in the same way, and another seed makes another world', async () => {
  const traces = new Set<string>()
  for (const seed of [1, 2, 3, 4, 5]) {
    const first = await playWorld(seed)
    const second = await playWorld(seed)
    expect(second).toEqual(first)
    traces.add(first.trace)
  }
  expect(traces.size).toBe(5)
})
