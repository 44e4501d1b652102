/**
 * Task graphs as data: read from a file of a workflow archive, or drawn from a seed, and written as a definition.
 */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import type { JsonObject } from '@weft/engine'
import type { Random } from '../random.ts'

export interface Dag {
  readonly name: string
  readonly tasks: readonly string[]
  readonly edges: readonly (readonly [from: string, to: string])[]
}

/** A file of `{ nodes: [{ id }], edges: [[from, to]] }`. */
export function readDag(file: string): Dag {
  const { nodes, edges } = JSON.parse(readFileSync(file, 'utf8')) as {
    nodes: { id: string }[]
    edges: [string, string][]
  }
  return { name: basename(file, '.json'), tasks: nodes.map(({ id }) => id), edges }
}

/**
 * Layers of random width, as scientific workflows have them: wide maps, joins of many, a few tasks that everything waits
 * for. Every task but the first layer's needs one of the layer before, and some need more, from any layer before.
 */
export function drawDag(random: Random, size: { layers: number; widest: number; mostParents: number }): Dag {
  const tasks: string[] = []
  const edges: [string, string][] = []
  let above: string[] = []
  for (let layer = 0; layer < size.layers; layer++) {
    const width = random.next() < 0.3 ? random.between(1, 3) : random.between(1, size.widest)
    const current = Array.from(
      { length: width },
      (_, index) => `Stage-${layer}.Task_ID${String(index).padStart(7, '0')}`,
    )
    for (const task of current) {
      if (layer === 0) continue
      const parents = new Set([random.pick(above)])
      const wanted = random.next() < 0.1 ? random.between(1, size.mostParents) : random.between(1, 3)
      while (parents.size < Math.min(wanted, tasks.length)) parents.add(random.pick(tasks))
      for (const parent of parents) edges.push([parent, task])
    }
    tasks.push(...current)
    above = current
  }
  return { name: 'drawn', tasks, edges }
}

/** Ids of archives hold capitals, dots and hyphens, and may differ in them alone: the task's number makes them differ. */
export const nodeIdOf = (task: string, index: number): string =>
  `t${index}_${task.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_')}`.slice(0, 63)

const CONTROL_EVERY = 5

/** One cheap step per task; every fifth is performed by the engine itself, the others by a worker. */
export function definitionOf(dag: Dag): {
  definition: JsonObject
  ids: Map<string, string>
  workerTasks: number
} {
  const ids = new Map(dag.tasks.map((task, index) => [task, nodeIdOf(task, index)]))
  const parents = new Map<string, string[]>()
  for (const [from, to] of dag.edges) {
    const known = parents.get(to) ?? []
    known.push(ids.get(from) as string)
    parents.set(to, known)
  }
  const nodes: JsonObject = {}
  let workerTasks = 0
  for (const [index, task] of dag.tasks.entries()) {
    const isControl = index % CONTROL_EVERY === CONTROL_EVERY - 1
    if (!isControl) workerTasks++
    const needs = parents.get(task)
    nodes[ids.get(task) as string] = {
      type: isControl ? 'set' : 'log',
      name: task,
      with: isControl ? { task } : { message: task },
      ...(needs ? { needs } : {}),
    }
  }
  return { definition: { weft: 1, name: 'dag', nodes }, ids, workerTasks }
}
