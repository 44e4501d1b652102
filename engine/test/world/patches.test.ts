/** What users are promised of every run holds for runs that are patched all the time, rightly and wrongly. */
import { expect, test } from 'vitest'
import * as engine from '../../src/index.ts'
import { generate, typesWith } from './generate.ts'
import { OUTCOMES, POLICIES, RandomPatches, REFUSALS } from './patches.ts'
import { World } from './world.ts'

const PATCHES = Number(process.env.WEFT_TEST_PATCHES ?? 10_000)
const policyOf = (seed: number) => JSON.parse(JSON.stringify(POLICIES[seed % POLICIES.length]))
const FIRST_SEED = Number(process.env.WEFT_TEST_SEED ?? 20_261_121)

test(`${PATCHES} random patches on random running graphs leave no run that breaks a promise`, {
  timeout: 600_000,
}, () => {
  const types = typesWith(engine.CONTROL_NODE_TYPES)
  const patches = new RandomPatches()
  const faults = { disorder: true, losses: true, crashes: true, people: true }
  let worlds = 0
  for (let seed = FIRST_SEED; patches.sent < PATCHES; seed++, worlds++) {
    const definition = { ...generate(seed).definition, patches: policyOf(seed) }
    const compiled = engine.compile(definition, types)
    if (!compiled.ok) throw new Error(`the workflow of seed ${seed} is invalid`)
    try {
      new World(engine, types, seed, faults, patches).play(compiled.graph, { v: seed % 100 })
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error))
      reason.message = `seed ${seed}: ${reason.message}`
      throw reason
    }
  }
  const show = (counts: ReadonlyMap<string, number>) =>
    [...counts].map(([name, times]) => `${name} ${times}`).join(', ')
  const share = (100 * patches.applied) / patches.sent
  console.log(`${patches.sent} patches on ${worlds} workflows from seed ${FIRST_SEED}`)
  console.log(
    `applied: ${patches.applied} (${share.toFixed(0)} %), to runs that were ${show(patches.phases)}`,
  )
  console.log(`under review: ${patches.proposed}, of which ${show(patches.outcomes)}`)
  console.log(`refused: ${show(patches.refused)}`)
  expect(share).toBeGreaterThanOrEqual(30)
  expect([...patches.refused.keys()].toSorted()).toEqual([...REFUSALS].toSorted())
  for (const code of REFUSALS) expect(patches.refused.get(code), code).toBeGreaterThanOrEqual(PATCHES / 200)
  for (const outcome of OUTCOMES)
    expect(patches.outcomes.get(outcome), outcome).toBeGreaterThanOrEqual(PATCHES / 200)
  for (const phase of ['active', 'paused', 'failed', 'cancelled'])
    expect(patches.phases.get(phase), phase).toBeGreaterThanOrEqual(PATCHES / 200)
})
