/** The routes of a run that completed, worked out again from the definition alone and held against the state. */
import type { NodeDefinition, RunState, StepState } from '../../src/index.ts'
import type { Condition, GeneratedWorkflow } from './generate.ts'
import { Violation } from './violation.ts'

const SUCCESS: Readonly<Record<string, readonly string[]>> = {
  branch: [],
  approval: ['approved'],
  wait: ['received'],
}

/** Every step is settled as its edges say; `any` and patched runs are judged by their own rules elsewhere. */
export function checkRoutes(workflow: GeneratedWorkflow, state: RunState): void {
  if (state.phase.kind !== 'completed') return
  const { nodes } = workflow.definition
  const taken = new Map<string, boolean>()
  for (const id of state.graph.order) {
    const step = state.steps.get(id)!
    const node = nodes[id]!
    const incoming = Object.keys(node.needs ?? {})
    const live = incoming.length === 0 || incoming.some((from) => taken.get(`${from}>${id}`))
    if (!live && step.status !== 'skipped')
      throw new Violation(`${id} is ${step.status} though every edge into it is dead`)
    if (live && !['completed', 'failed', 'skipped'].includes(step.status))
      throw new Violation(`${id} is ${step.status} in a completed run`)
    if (live && step.status === 'skipped' && !node.when)
      throw new Violation(`${id} was skipped though an edge into it was taken`)
    decideEdges(workflow, state, id, live, taken)
    if (step.status === 'failed' && !isHandled(workflow, id, taken))
      throw new Violation(`${id} failed, nothing handles that, and the run completed`)
  }
}

/** By `onError: continue`, or by an edge on `failure` that was taken; one on `always` does not handle. */
function isHandled(workflow: GeneratedWorkflow, id: string, taken: ReadonlyMap<string, boolean>): boolean {
  if (workflow.definition.nodes[id]!.onError === 'continue') return true
  return Object.entries(workflow.definition.nodes).some(
    ([to, node]) => node.needs?.[id]?.on.includes('failure') && taken.get(`${id}>${to}`),
  )
}

function decideEdges(
  workflow: GeneratedWorkflow,
  state: RunState,
  from: string,
  live: boolean,
  taken: Map<string, boolean>,
): void {
  const step = state.steps.get(from)!
  const node = workflow.definition.nodes[from]!
  let conditional = false
  const others: string[] = []
  for (const [to, target] of Object.entries(workflow.definition.nodes)) {
    const need = target.needs?.[from]
    if (!need) continue
    const name = `${from}>${to}`
    const condition = workflow.edges.get(name)
    const matches = live && outcomeMatches(need.on, step, node)
    if (condition === 'else') {
      if (matches) others.push(name)
      else taken.set(name, false)
      continue
    }
    const holds = matches && (condition === undefined || holdsIn(condition, state))
    taken.set(name, holds)
    if (holds && condition !== undefined) conditional = true
  }
  for (const name of others) taken.set(name, !conditional)
  for (const [name, isTaken] of taken) {
    const [source, to] = name.split('>') as [string, string]
    if (source === from && (step.routed ?? []).includes(to) !== isTaken) {
      throw new Violation(`edge ${name} should ${isTaken ? '' : 'not '}have been taken`)
    }
  }
}

function outcomeMatches(on: readonly string[], step: StepState, node: NodeDefinition): boolean {
  if (on.includes('always')) return true
  if (step.status === 'skipped') return on.includes('skipped')
  if (step.status === 'failed')
    return on.includes('failure') || (node.onError === 'continue' && on.includes('success'))
  const labels = SUCCESS[node.type]
  if (step.label !== null && on.includes(step.label)) return true
  return (
    on.includes('success') && (labels === undefined || (step.label !== null && labels.includes(step.label)))
  )
}

/** `default(steps.x.output.v, 0) > k` */
function holdsIn(condition: Condition, state: RunState): boolean {
  const output = state.steps.get(condition.step)!.output
  const value = typeof output === 'object' && output !== null && !Array.isArray(output) ? output.v : null
  return (typeof value === 'number' ? value : 0) > condition.above
}
