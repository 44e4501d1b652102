/** A patch against a run: checked by the overlay rules, then recorded with the routes of the edges it adds. */
import type { Route } from '../event.ts'
import type { Graph } from '../graph.ts'
import type { Json } from '../json.ts'
import type { NodeTypes } from '../node-type.ts'
import { applyPatch, type PatchResult, type Progress } from '../patch.ts'
import { isFinished, type RunState } from '../run.ts'
import type { Command, Verdict } from '../signal.ts'
import { type Draft, emit } from './draft.ts'
import { routeOf } from './settle.ts'

type PatchCommand = Extract<Command, { kind: 'patch' }>

export type CheckedPatch =
  | Extract<PatchResult, { ok: true }>
  | { readonly ok: false; readonly verdict: Extract<Verdict, { accepted: false }> }

const refused = (code: string, message: string, detail?: Json): CheckedPatch => ({
  ok: false,
  verdict: { accepted: false, code, message, ...(detail === undefined ? {} : { detail }) },
})

/**
 * What the run says to a patch before anything is recorded: the same to a dry run as to the command.
 *
 * Everybody who patches comes by the API, so `patches.api` of the definition judges; without it patches are applied.
 */
export function checkPatch(
  state: RunState,
  { operations, baseVersion }: Pick<PatchCommand, 'operations' | 'baseVersion'>,
  types: NodeTypes,
): CheckedPatch {
  const { kind } = state.phase
  if (kind === 'stopping') {
    return refused(
      'run_stopping',
      'The run is stopping. Once it has ended as failed or cancelled it can be patched and retried; try again then.',
    )
  }
  if (kind === 'completed') {
    return refused(
      'run_finished',
      'The run is completed; only a run that can still go on takes a patch. Start another run, of a definition that has the change.',
    )
  }
  if (state.patchCount >= state.graph.limits.patches) {
    return refused(
      'patch_exceeds_limits',
      `The run has taken ${state.patchCount} patches, as many as \`limits.patches\` allows.`,
    )
  }
  const policy = state.graph.definition.patches?.api ?? 'auto'
  if (policy === 'deny') {
    return refused(
      'patch_denied',
      'The workflow denies patches of its runs (`patches.api: deny`), and a run keeps the policy that it was started under. Change the workflow and start another run.',
    )
  }
  if (policy === 'review') {
    return refused(
      'patch_needs_review',
      'The workflow wants patches of its runs reviewed (`patches.api: review`), and this version of Weft has no review of patches: it refuses what it would otherwise apply unseen. Change the workflow to `patches.api: auto` and start another run.',
    )
  }
  const isOld = baseVersion !== undefined && baseVersion !== state.graph.hash
  const baseDefinition = isOld ? state.earlier.get(baseVersion) : undefined
  if (isOld && !baseDefinition) {
    return refused(
      'patch_unknown_version',
      `The run never had the definition ${baseVersion}. It had: ${state.versions.join(', ')}. Read the definition in force and send the patch for it.`,
    )
  }
  const result = applyPatch({
    definition: state.graph.definition,
    operations,
    ...progressOf(state),
    types,
    ...(baseDefinition ? { baseDefinition } : {}),
  })
  if (result.ok) return result
  const { code, message, ...where } = result.refusal
  return refused(code, message, JSON.parse(JSON.stringify(where)) as Json)
}

export function patchRun(draft: Draft, command: PatchCommand, actor: string): Verdict {
  const { state } = draft
  const result = checkPatch(state, command, draft.context.types)
  if (!result.ok) return result.verdict
  const before = state.graph
  draft.patched = result.graph
  const routes = addedRoutes(draft, before, result.graph)
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
  const detail = {
    patch: state.patchCount,
    before: before.hash,
    version: result.graph.hash,
    preview: result.preview,
    warnings: result.warnings,
  }
  return { accepted: true, detail: JSON.parse(JSON.stringify(detail)) as Json }
}

interface RunProgress {
  /** Steps that a patch must leave as they are. */
  readonly reached: Set<string>
  /** Those among them whose edges are decided. */
  readonly settled: Set<string>
  readonly restarting: Set<string>
  readonly progress: Progress
}

export function progressOf(state: RunState): RunProgress {
  const reached = new Set<string>()
  const settled = new Set<string>()
  const restarting = new Set<string>()
  const routed = new Map<string, readonly string[]>()
  const isOver = isFinished(state)
  for (const step of state.steps.values()) {
    if (step.status !== 'pending') reached.add(step.id)
    if (step.routed !== null) {
      settled.add(step.id)
      routed.set(step.id, step.routed)
    } else if (isOver && (step.status === 'failed' || step.status === 'cancelled')) restarting.add(step.id)
  }
  return { reached, settled, restarting, progress: { routed } }
}

/** Edges that the patch adds behind settled steps are decided now, by the outcome that those steps had. */
function addedRoutes(draft: Draft, before: Graph, after: Graph): Record<string, Route> {
  const routes: Record<string, Route> = {}
  for (const id of progressOf(draft.state).settled) {
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
