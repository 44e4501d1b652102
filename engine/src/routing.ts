/**
 * How a settled node moves the run on: edges are taken or die, joins are met, dead paths are skipped.
 *
 * Purely structural, part of `evolve`: which edges were taken stands in the event, everything else follows from counters
 * (R8). Invariants: an edge is decided once; a node is reached at most once (`any` never starts twice); a skip spreads
 * along every edge; while the run is stopping nothing starts, a node whose join is met is `cancelled`, so that a retry
 * finds it; a node that a review holds stays `pending`, so that the patch can still change it.
 */
import type { StepError } from './errors.ts'
import type { Route } from './event.ts'
import type { Graph, GraphNode } from './graph.ts'
import { holdsRoute, holdsStart, parseKey, type RunState, type StepState, type Unit } from './run.ts'
import { stepUnit } from './unit.ts'

/** What a fold changed that `decide` has to look at next. */
export interface Touched {
  /** Keys of units, and ids of steps, that changed. */
  readonly units: Set<string>
  /** Waits of people and messages that ended. */
  readonly closedWaits: string[]
}

export const untouched = (): Touched => ({ units: new Set(), closedWaits: [] })

export const nodeOf = (graph: Graph, id: string): GraphNode => {
  const node = graph.nodes.get(id)
  if (!node) throw new Error(`node ${id} is not in graph ${graph.hash}`)
  return node
}

export const stepOf = (state: RunState, id: string): StepState => {
  const step = state.steps.get(id)
  if (!step) throw new Error(`step ${id} is not in run ${state.id}`)
  return step
}

/** Whether a worker is owed an attempt of the unit; that the time of a retry or of a round came needs no event (R8). */
export function isOwedToWorker({ graph }: RunState, { key, activity }: Unit, at: number): boolean {
  if (activity.phase === 'working') return true
  if (activity.phase !== 'backoff' && activity.phase !== 'between') return false
  return activity.at <= at && nodeOf(graph, parseKey(key).id).kind === 'task'
}

export function newStep(node: GraphNode): StepState {
  return {
    id: node.id,
    status: 'pending',
    unmet: node.incoming.length,
    taken: 0,
    unit: null,
    items: null,
    output: null,
    label: null,
    error: null,
    handled: false,
    routed: null,
    round: 1,
    attempts: 0,
    reachedAt: null,
    startedAt: null,
    settledAt: null,
    worker: null,
    actor: null,
    warnings: [],
  }
}

/** The node's join is met (or it has none): it becomes a live token. */
export function reach(state: RunState, id: string, at: number, touched: Touched): void {
  const step = stepOf(state, id)
  step.reachedAt ??= at
  if (state.phase.kind === 'stopping') {
    step.status = 'cancelled'
    return
  }
  step.status = 'ready'
  step.unit = stepUnit(state, nodeOf(state.graph, id), step, at)
  state.spentSteps++
  if (step.unit.activity.phase === 'working') countAgent(state, id)
  state.live.add(id)
  touched.units.add(id)
}

/** Counts an agent that starts, against the allowance of the run. */
export function countAgent(state: RunState, id: string): void {
  if (nodeOf(state.graph, id).type === 'agent') state.spentAgents++
}

/** The step is over: its edges are taken or die, as the route says. */
export function settleEdges(state: RunState, id: string, route: Route, at: number, touched: Touched): void {
  const step = stepOf(state, id)
  // A target that a review holds must be found again by the edge that failed into it.
  const heldBack = (route.failed ?? []).map(({ to }) => to).filter((to) => holdsStart(state, to))
  step.routed = heldBack.length > 0 ? [...route.taken, ...heldBack] : route.taken
  const taken = new Set(route.taken)
  const failed = new Map<string, StepError>()
  for (const edge of route.failed ?? []) failed.set(edge.to, edge.error)
  const skipped: string[] = []
  for (const edge of nodeOf(state.graph, id).outgoing) {
    const error = failed.get(edge.to)
    if (error) failInto(state, edge.to, error, at, touched)
    else arrive(state, edge.to, taken.has(edge.to), at, touched, skipped)
  }
  spreadSkips(state, skipped, at, touched)
}

/** An edge into the node could not be evaluated: the node fails, whatever its other edges do. */
function failInto(state: RunState, id: string, error: StepError, at: number, touched: Touched): void {
  const step = stepOf(state, id)
  step.unmet--
  step.taken++
  if (step.status !== 'pending') return
  step.error = error
  if (!holdsStart(state, id)) reach(state, id, at, touched)
}

function arrive(
  state: RunState,
  id: string,
  taken: boolean,
  at: number,
  touched: Touched,
  skipped: string[],
): void {
  const step = stepOf(state, id)
  step.unmet--
  if (taken) step.taken++
  joinOrSkip(state, step, at, touched, skipped)
}

/** Starts the node when its join is met; skips it when no edge is left that could be taken. Unless a review holds it. */
export function joinOrSkip(
  state: RunState,
  step: StepState,
  at: number,
  touched: Touched,
  skipped: string[],
): void {
  if (step.status !== 'pending' || holdsStart(state, step.id)) return
  const any = nodeOf(state.graph, step.id).join === 'any'
  if (step.taken > 0 && (any || step.unmet === 0)) reach(state, step.id, at, touched)
  else if (step.unmet === 0 && !holdsRoute(state, step.id)) {
    step.status = 'skipped'
    step.routed = []
    step.settledAt = at
    skipped.push(step.id)
  }
}

/** Dead-path elimination: a skipped node kills each of its edges, `always` and `skipped` included. */
function spreadSkips(state: RunState, skipped: string[], at: number, touched: Touched): void {
  for (let id = skipped.pop(); id !== undefined; id = skipped.pop()) {
    for (const edge of nodeOf(state.graph, id).outgoing) arrive(state, edge.to, false, at, touched, skipped)
  }
}
