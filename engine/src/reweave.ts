/**
 * A run takes another graph, and what a patch under review holds until then: part of `evolve`.
 *
 * 1. Steps that a review holds stay `pending`, whatever their edges did, and are joined when the last review that holds
 *    them is over: by the graph that is in force then.
 * 2. A review ends once: by `patch.reviewed`, or because the run stops, or goes on after its end.
 */
import type { Route, RunEvent } from './event.ts'
import type { Graph } from './graph.ts'
import { joinOrSkip, newStep, nodeOf, reach, stepOf, type Touched } from './routing.ts'
import { holdsStart, type RunState, type StepState } from './run.ts'

/** The run goes on with another graph: nodes that were not reached take their new shape. */
export function patch(
  state: RunState,
  event: Extract<RunEvent, { type: 'run.patched' }>,
  graph: Graph,
  touched: Touched,
): void {
  state.earlier.set(state.graph.hash, state.graph.definition)
  state.graph = graph
  state.versions.push(graph.hash)
  state.patchCount++
  state.vars = { ...state.vars, ...event.vars }
  for (const node of graph.nodes.values())
    if (!state.steps.has(node.id)) state.steps.set(node.id, newStep(node))
  for (const id of [...state.steps.keys()]) if (!graph.nodes.has(id)) state.steps.delete(id)
  applyAddedRoutes(state, event.routes ?? {})
  rejoin(state, event.at, touched)
}

/** Counts every step anew that was not reached: what is due starts, what cannot be reached any more is skipped. */
function rejoin(state: RunState, at: number, touched: Touched): void {
  for (const id of state.graph.order) {
    const step = stepOf(state, id)
    if (step.status !== 'pending') continue
    recount(state, step)
    // Skips need no spreading here: in topological order the nodes behind count them when their turn comes.
    if (nodeOf(state.graph, id).incoming.length > 0) joinOrSkip(state, step, at, touched, [])
    else if (!holdsStart(state, id)) reach(state, id, at, touched)
  }
}

function applyAddedRoutes(state: RunState, routes: Readonly<Record<string, Route>>): void {
  for (const [from, route] of Object.entries(routes)) {
    const source = stepOf(state, from)
    source.routed = [...(source.routed ?? []), ...route.taken]
    for (const { to, error } of route.failed ?? []) {
      const target = stepOf(state, to)
      target.error = error
      source.routed = [...source.routed, to]
    }
  }
}

/** Derives the counters of unmet and taken edges anew from what the sources did (R8). */
function recount(state: RunState, step: StepState): void {
  step.unmet = 0
  step.taken = 0
  for (const edge of nodeOf(state.graph, step.id).incoming) {
    const { routed } = stepOf(state, edge.from)
    if (routed === null) step.unmet++
    else if (routed.includes(step.id)) step.taken++
  }
}

export function openReview(state: RunState, event: Extract<RunEvent, { type: 'patch.proposed' }>): void {
  const { reviewId: id, actor, by, reason, operations, before, holds, expiresAt, at } = event
  state.waitCount++
  state.waitingOn.approval++
  state.reviews.set(id, {
    id,
    actor,
    by,
    stepKey: event.stepKey ?? null,
    reason,
    operations,
    vars: event.vars ?? null,
    before,
    holds,
    proposedAt: at,
    expiresAt,
  })
}

export function review(
  state: RunState,
  event: Extract<RunEvent, { type: 'patch.reviewed' }>,
  touched: Touched,
): void {
  endReview(state, event.reviewId, event.outcome, event.actor ?? null, touched)
  rejoin(state, event.at, touched)
}

/** Nobody will decide them: what they held goes on as it stands. */
export function dropReviews(state: RunState, at: number, touched: Touched): void {
  if (state.reviews.size === 0) return
  for (const id of [...state.reviews.keys()]) endReview(state, id, 'dropped', null, touched)
  rejoin(state, at, touched)
}

function endReview(
  state: RunState,
  id: string,
  outcome: string,
  actor: string | null,
  touched: Touched,
): void {
  if (!state.reviews.delete(id)) throw new Error(`review ${id} of run ${state.id} is not open`)
  state.waitingOn.approval--
  state.closedWaits.set(id, { outcome, actor })
  touched.closedWaits.push(id)
}
