/** A fork at whatever event of whatever run ends by itself, keeps what was done, and waits under names of its own. */
import { describe, expect, test } from 'vitest'
import * as engine from '../../src/index.ts'
import { generate, typesWith } from './generate.ts'
import { RandomPatches } from './patches.ts'
import { CALM, World } from './world.ts'

const SEEDS = 120
const CUTS_PER_RUN = 4
const types = typesWith(engine.CONTROL_NODE_TYPES)

function playSteered(seed: number) {
  const compiled = engine.compile(generate(seed).definition, types)
  if (!compiled.ok) throw new Error(`seed ${seed}: the generated workflow is invalid`)
  const faults = { disorder: true, losses: true, crashes: true, people: true }
  return new World(engine, types, seed, faults).play(compiled.graph, { v: seed % 100 })
}

describe('forks of random runs, children among them', () => {
  test('end, fold to what they were, and never perform a completed step again', () => {
    let forks = 0
    let shortened = 0
    for (let seed = 1; seed <= SEEDS; seed++) {
      const source = playSteered(seed)
      for (const run of source.runs.values()) {
        for (let cut = 0; cut < CUTS_PER_RUN; cut++) {
          const atSeq = 1 + Math.floor((run.log.length * cut) / (CUTS_PER_RUN - 1 || 1))
          const point = { atSeq: Math.min(atSeq, run.log.length) }
          const world = new World(engine, types, seed, CALM)
          const { root } = world.playFork(run, source.graphs.values(), point)
          expect(engine.isFinished(root), `seed ${seed}, run ${run.id}, event ${point.atSeq}`).toBe(true)
          expect(root.forkedFrom?.seq).toBeLessThanOrEqual(point.atSeq)
          if (root.forkedFrom?.seq !== point.atSeq) shortened++
          for (const waitId of root.closedWaits.keys()) expect(waitId.startsWith(`${root.id}.`)).toBe(true)
          for (const child of world.runs.values())
            if (child.id !== root.id) expect(source.runs.has(child.id)).toBe(false)
          forks++
        }
      }
    }
    expect(forks).toBeGreaterThan(SEEDS * CUTS_PER_RUN - 1)
    expect(shortened).toBeGreaterThan(0)
  })

  test('may begin with a patch, and keep every promise all the same', () => {
    const patches = new RandomPatches()
    for (let seed = 1; seed <= SEEDS; seed++) {
      const source = playSteered(seed)
      for (const run of source.runs.values()) {
        for (const part of [0.3, 0.6, 0.9]) {
          const point = { atSeq: Math.max(1, Math.floor(run.log.length * part)) }
          const world = new World(engine, types, seed, CALM, patches)
          const { root } = world.playFork(run, source.graphs.values(), point)
          expect(engine.isFinished(root), `seed ${seed}, run ${run.id}, event ${point.atSeq}`).toBe(true)
        }
      }
    }
    expect(patches.applied).toBeGreaterThan(SEEDS)
  })

  test('from a step leave out what came of it', () => {
    let forks = 0
    for (let seed = 1; seed <= SEEDS; seed++) {
      const source = playSteered(seed)
      const run = [...source.runs.values()][0]!
      for (const step of run.state.steps.values()) {
        if (step.reachedAt === null) continue
        const outcome = engine.forkEvents(
          run.id,
          run.log,
          { fromStep: step.id },
          { runId: 'fork', at: run.state.at, actor: 'ann' },
          (hash) => source.graphs.get(hash)!,
        )
        if (!outcome.ok) throw new Error(`seed ${seed}: ${outcome.message}`)
        const copied = [outcome.started, ...outcome.rest]
        expect(copied.some((event) => 'key' in event && engine.parseKey(event.key).id === step.id)).toBe(
          false,
        )
        forks++
      }
    }
    expect(forks).toBeGreaterThan(SEEDS)
  })
})
