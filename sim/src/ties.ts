/**
 * Worlds with ties: workflows whose runs follow from others or wait for others. Generated workflows get waits with keys
 * and conditions, children of stored workflows, an `onFailure`, a policy for patches; and there are workflows in the store
 * for all of these to name.
 *
 * A world has ties or has none, by its seed, and draws them from a stream of their own: worlds without are made as they
 * were before there were any.
 */
import type { Definition, JsonObject, NodeDefinition, PatchPolicy } from '@weft/engine'
import { generate } from '../../engine/test/world/generate.ts'
import { POLICIES } from '../../engine/test/world/patches.ts'
import type { Random } from '../../engine/test/world/random.ts'

const MESSAGE_NAMES = ['m1', 'm2'] as const
export const MESSAGE_KEYS = ['k1', 'k2'] as const
/** What a condition of a wait lets pass; somebody's last word has to pass them all. */
const THRESHOLDS = [20, 50] as const
export const LARGEST_VALUE = 100

/** Names of the stored workflows: that of children, and that of `onFailure`. */
const PART = 'part'
const ALARM = 'alarm'
/** There is none of that name. */
const NOWHERE = 'nowhere'
export const STORED = [PART, ALARM] as const

export const messageName = (random: Random): string => random.pick(MESSAGE_NAMES)

/** The condition of a wait as its author means it: `input.v > <above>`. */
export const passes = (match: string, value: number): boolean => value > Number(match.split('>')[1])

/** The definition of a generated workflow, tied to others. */
export function tied(definition: Definition, random: Random): Definition {
  const nodes = { ...definition.nodes }
  tieNodes(nodes, random)
  const ids = Object.keys(nodes)
  const after = () => ({ [random.pick(ids)]: { on: ['always'] } })
  if (random.chance(0.4)) nodes.stored = { type: 'workflow', needs: after(), with: { workflow: PART } }
  if (random.chance(0.3)) nodes.broken = { type: 'fail', needs: after(), with: { message: 'broken' } }
  const onFailure = random.chance(0.6) ? { onFailure: random.chance(0.9) ? ALARM : NOWHERE } : {}
  const patches = structuredClone(random.pick(POLICIES)) as PatchPolicy
  const limits = random.chance(0.1) ? { limits: { duration: '45s' } } : {}
  return { ...definition, nodes, patches, ...onFailure, ...limits }
}

function tieNodes(nodes: Record<string, NodeDefinition>, random: Random): void {
  for (const [id, node] of Object.entries(nodes)) {
    // What cannot be undone is repeated by nobody: a person says what became of it.
    if (node.type === 'work' && random.chance(0.15)) nodes[id] = { ...node, type: 'once' }
    if (node.type === 'wait') nodes[id] = { ...node, with: { ...node.with, ...selection(random) } }
    if (node.type === 'workflow' && random.chance(0.6)) {
      const workflow = random.chance(0.9) ? PART : NOWHERE
      nodes[id] = { ...node, with: { workflow, input: { v: 1 } } }
    } else if (node.type === 'workflow') tieNodes(node.with?.nodes as never, random)
  }
}

const selection = (random: Random): JsonObject => ({
  ...(random.chance(0.4) ? { key: random.pick(MESSAGE_KEYS) } : {}),
  ...(random.chance(0.3) ? { match: `input.v > ${random.pick(THRESHOLDS)}` } : {}),
})

/** A small workflow of which most runs wait for messages. */
export function listening(random: Random): Definition {
  const nodes: Record<string, NodeDefinition> = { first: { type: 'work' } }
  const count = 1 + random.int(3)
  for (let index = 0; index < count; index++) {
    const isLate = random.chance(0.5)
    nodes[`w${index}`] = {
      type: 'wait',
      with: { message: messageName(random), ...selection(random) },
      ...(isLate ? { needs: { first: { on: ['always'] } } } : {}),
    }
  }
  return { weft: 1, name: 'listening', nodes }
}

/** The next version of a workflow for the store. */
export function stored(random: Random, name: string = random.pick(STORED)): Definition {
  const { definition } = generate(random.int(2 ** 30), 1 + random.int(3))
  return {
    ...definition,
    name,
    // Neither a child nor what a failure started starts another run when it fails.
    ...(random.chance(0.5) ? { onFailure: ALARM } : {}),
  }
}
