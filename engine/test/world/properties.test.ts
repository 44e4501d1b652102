/** What users are promised of every run, held over thousands of random workflows and worlds. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as engine from '../../src/index.ts'
import { newTally, playSeed, REQUIRED } from './campaign.ts'

const WORLDS = Number(process.env.WEFT_TEST_WORLDS ?? 5000)

test(`over ${WORLDS} random workflows nothing is lost, done twice, started early or left without a named wait`, {
  timeout: 600_000,
}, () => {
  const tally = newTally()
  const seed = Number(process.env.WEFT_TEST_SEED ?? 20_261_121)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (world) => playSeed(engine, world, tally)),
    // A generated workflow does not shrink through its seed: the first counterexample is the one to replay.
    { numRuns: WORLDS, seed, endOnFailure: true },
  )
  const sizes = tally.sizes.toSorted((a, b) => a - b)
  const median = sizes[Math.floor(sizes.length / 2)]!
  const shares = Object.fromEntries(
    REQUIRED.map((name) => [name, ((tally.seen.get(name) ?? 0) / tally.worlds) * 100]),
  )
  console.log(`seed ${seed}: ${tally.worlds} workflows, median ${median} nodes, ${tally.decisions} decisions`)
  console.log(`ends: ${[...tally.ends].map(([end, count]) => `${end} ${count}`).join(', ')}`)
  console.log(
    `share of workflows, %: ${Object.entries(shares)
      .map(([name, share]) => `${name} ${share.toFixed(0)}`)
      .join(', ')}`,
  )
  expect(median).toBeGreaterThanOrEqual(15)
  for (const name of REQUIRED) expect(shares[name], name).toBeGreaterThanOrEqual(10)
  for (const end of ['completed', 'failed', 'cancelled'])
    expect(tally.ends.get(end) ?? 0, end).toBeGreaterThan(WORLDS / 100)
})
