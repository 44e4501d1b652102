/** A patch against a run: checked by the overlay rules, then recorded with the routes of the edges it adds. */
import type { Route } from '../event.ts'
import type { Graph } from '../graph.ts'
import type { Json } from '../json.ts'
import { applyPatch } from '../patch.ts'
import type { RunState } from '../run.ts'
import type { Command, Verdict } from '../signal.ts'
import { type Draft, emit } from './draft.ts'
import { routeOf } from './settle.ts'

export function patchRun(draft: Draft, command: Extract<Command, { kind: 'patch' }>, actor: string): Verdict {
  const { state } = draft
  const { kind } = state.phase
  if (kind === 'completed' || kind === 'stopping') {
    return {
      accepted: false,
      code: 'run_finished',
      message: `The run is ${kind}; only a run that can still go on takes a patch. Fork it instead.`,
    }
  }
  if (state.patchCount >= state.graph.limits.patches) {
    return {
      accepted: false,
      code: 'patch_exceeds_limits',
      message: `The run has taken ${state.patchCount} patches, as many as \`limits.patches\` allows.`,
    }
  }
  const { reached, settled } = progressOf(state)
  const result = applyPatch({
    definition: state.graph.definition,
    operations: command.operations,
    reached,
    settled,
    types: draft.context.types,
  })
  if (!result.ok) {
    const { code, message, ...where } = result.refusal
    return { accepted: false, code, message, detail: JSON.parse(JSON.stringify(where)) as Json }
  }
  const before = state.graph
  draft.patched = result.graph
  const routes = addedRoutes(draft, before, result.graph, settled)
  emit(draft, {
    type: 'run.patched',
    actor,
    reason: command.reason,
    operations: command.operations,
    before: before.hash,
    after: result.graph.hash,
    ...(Object.keys(routes).length > 0 ? { routes } : {}),
    ...(command.vars ? { vars: command.vars } : {}),
  })
  return { accepted: true, detail: { version: result.graph.hash, patch: state.patchCount } }
}

/** Steps that a patch must leave as they are, and those among them whose edges are decided. */
export function progressOf(state: RunState): { reached: Set<string>; settled: Set<string> } {
  const reached = new Set<string>()
  const settled = new Set<string>()
  for (const step of state.steps.values()) {
    if (step.status !== 'pending') reached.add(step.id)
    if (step.routed !== null) settled.add(step.id)
  }
  return { reached, settled }
}

/** Edges that the patch adds behind settled steps are decided now, by the outcome that those steps had. */
function addedRoutes(
  draft: Draft,
  before: Graph,
  after: Graph,
  settled: ReadonlySet<string>,
): Record<string, Route> {
  const routes: Record<string, Route> = {}
  for (const id of settled) {
    const step = draft.state.steps.get(id)
    const node = after.nodes.get(id)
    if (!step || !node) continue
    const known = new Set(before.nodes.get(id)?.outgoing.map((edge) => edge.to))
    const added = node.outgoing.filter((edge) => !known.has(edge.to))
    if (added.length === 0) continue
    // A node that was skipped on a dead path takes none of its edges, `always` included.
    if (step.status === 'skipped' && step.taken === 0) continue
    const outcome =
      step.status === 'completed'
        ? ({ kind: 'completed', label: step.label ?? undefined, output: step.output } as const)
        : step.status === 'skipped'
          ? ({ kind: 'skipped' } as const)
          : ({ kind: 'failed', error: step.error } as const)
    const { route } = routeOf(draft, node, outcome, added)
    if (route.taken.length > 0 || route.failed) routes[id] = route
  }
  return routes
}
