/** One world per seed: a random workflow, played calmly and under faults, and what must hold in both. */
import { FEATURES, type Feature, type GeneratedWorkflow, generate, typesWith } from './generate.ts'
import { checkRoutes } from './routes.ts'
import { Violation } from './violation.ts'
import { CALM, type Engine, type Sight, World, type WorldResult } from './world.ts'

export type Seen = Feature | Sight

export interface Tally {
  worlds: number
  readonly sizes: number[]
  readonly seen: Map<Seen, number>
  readonly ends: Map<string, number>
  decisions: number
}

export const newTally = (): Tally => ({
  worlds: 0,
  sizes: [],
  seen: new Map(),
  ends: new Map(),
  decisions: 0,
})

export const REQUIRED: readonly Seen[] = [...FEATURES, 'lost attempt', 'pause', 'cancel', 'patch', 'review']

/** Plays the world of this seed; throws a `Violation` that names the seed. */
export function playSeed(engine: Engine, seed: number, tally: Tally): void {
  try {
    play(engine, seed, tally)
  } catch (error) {
    const reason = error instanceof Error ? error : new Error(String(error))
    reason.message = `seed ${seed}: ${reason.message}`
    throw reason
  }
}

function play(engine: Engine, seed: number, tally: Tally): void {
  const types = typesWith(engine.CONTROL_NODE_TYPES)
  const workflow = generate(seed)
  const compiled = engine.compile(workflow.definition, types)
  if (!compiled.ok) throw new Error(`the generated workflow is invalid: ${JSON.stringify(compiled.problems)}`)
  const { graph } = compiled
  const input = { v: seed % 100 }

  const calm = new World(engine, types, seed, CALM).play(graph, input)
  checkRoutes(workflow, calm.root)
  const disturbed = new World(engine, types, seed, {
    disorder: true,
    losses: false,
    crashes: true,
    people: false,
  }).play(graph, input)
  checkRoutes(workflow, disturbed.root)
  checkSameEnd(workflow, calm, disturbed)
  const steered = new World(engine, types, seed, {
    disorder: true,
    losses: true,
    crashes: true,
    people: true,
  }).play(graph, input)

  tally.worlds++
  tally.sizes.push(graph.nodes.size)
  for (const result of [calm, disturbed, steered]) {
    tally.decisions += result.decisions
    const { kind } = result.root.phase
    tally.ends.set(kind, (tally.ends.get(kind) ?? 0) + 1)
  }
  for (const seen of new Set<Seen>([...workflow.features, ...steered.seen])) {
    tally.seen.set(seen, (tally.seen.get(seen) ?? 0) + 1)
  }
}

/**
 * What steps answer depends on their names alone, so disorder and crashes must not change the end. Two things may: which
 * edge reaches an `any` join first, and which of two waits a message reaches.
 */
function checkSameEnd(workflow: GeneratedWorkflow, calm: WorldResult, disturbed: WorldResult): void {
  if (workflow.features.has('any') || workflow.timed) return
  const [a, b] = [calm.root, disturbed.root]
  if (a.phase.kind !== b.phase.kind)
    throw new Violation(`ended ${a.phase.kind} in order and ${b.phase.kind} in disorder`)
  if (a.phase.kind !== 'completed') return
  for (const [id, step] of a.steps) {
    const other = b.steps.get(id)!
    const same =
      step.status === other.status &&
      step.label === other.label &&
      JSON.stringify(step.output) === JSON.stringify(other.output)
    if (!same)
      throw new Violation(
        `step ${id} ended ${step.status} ${step.label} in order and ${other.status} ${other.label} in disorder`,
      )
  }
}
