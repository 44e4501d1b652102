/** A patch against a run: checked by the overlay rules, then recorded with the routes of the edges it adds. */
import type { Route } from '../event.ts'
import type { Graph } from '../graph.ts'
import type { Json, JsonObject } from '../json.ts'
import type { NodeTypes } from '../node-type.ts'
import { reasonsForReview, refuseNames, refuseProposer } from '../patch/policy.ts'
import { applyPatch, type PatchResult, type Progress } from '../patch.ts'
import { isFinished, type RunState } from '../run.ts'
import type { Command, Verdict } from '../signal.ts'
import { findUnit } from '../unit.ts'
import { type Draft, emit, offload } from './draft.ts'
import { routeOf } from './settle.ts'

export type PatchCommand = Extract<Command, { kind: 'patch' }>

export type CheckedPatch =
  | (Extract<PatchResult, { ok: true }> & {
      /** Why a person has to see it first; empty: it is applied at once. */
      readonly reviewedFor: readonly string[]
    })
  | { readonly ok: false; readonly verdict: Extract<Verdict, { accepted: false }> }

const refused = (code: string, message: string, detail?: Json): CheckedPatch => ({
  ok: false,
  verdict: { accepted: false, code, message, ...(detail === undefined ? {} : { detail }) },
})

/**
 * What the run says to a patch before anything is recorded: the same to a dry run as to the command. Without `by` it comes
 * by the API.
 */
export function checkPatch(
  state: RunState,
  patch: Pick<PatchCommand, 'operations' | 'baseVersion' | 'by' | 'stepKey'>,
  types: NodeTypes,
  { isReviewed = false, beginsAnew = false } = {},
): CheckedPatch {
  const { operations, baseVersion, by = 'api' } = patch
  const { definition, limits } = state.graph
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
  const count = state.patchCount + (isReviewed ? 0 : state.reviews.size)
  if (count >= limits.patches) {
    const review = state.reviews.size > 0 && !isReviewed ? ', those under review among them' : ''
    return refused(
      'patch_exceeds_limits',
      `The run has taken ${count} patches${review}, as many as \`limits.patches\` allows.`,
    )
  }
  const denied = refuseProposer(definition, by)
  if (denied) return refused(denied.code, denied.message)
  if (!isReviewed && !isProposing(state, patch.stepKey)) {
    return refused(
      'patch_step_settled',
      `Step \`${patch.stepKey}\` is not being performed, so no patch can come from it.`,
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
    definition,
    operations,
    ...progressOf(state, beginsAnew),
    types,
    ...(baseDefinition ? { baseDefinition } : {}),
  })
  if (!result.ok) {
    const { code, message, ...where } = result.refusal
    return refused(code, message, JSON.parse(JSON.stringify(where)) as Json)
  }
  const unlisted = refuseNames(definition, result.preview)
  if (unlisted) return refused(unlisted.code, unlisted.message)
  const reviewedFor = isReviewed
    ? []
    : reasonsForReview(definition, result.definition, result.preview, types, by)
  return { ...result, reviewedFor }
}

/** An attempt that was lost, or whose step is over, speaks for nobody. */
const isProposing = (state: RunState, stepKey: string | undefined): boolean =>
  stepKey === undefined || findUnit(state, stepKey)?.activity.phase === 'working'

/** How an approved patch came to be. */
export interface Approval {
  readonly reviewId: string
  readonly approvedBy: string
}

/** Records a patch that was found right, and answers what the verdict tells of it. */
export function applyChecked(
  draft: Draft,
  command: PatchCommand,
  actor: string,
  checked: Extract<CheckedPatch, { ok: true }>,
  approval?: Approval,
): JsonObject {
  const { state } = draft
  const before = state.graph
  draft.patched = checked.graph
  const routes = addedRoutes(draft, before, checked.graph)
  emit(draft, {
    type: 'run.patched',
    actor,
    reason: command.reason,
    operations: offload(draft, command.operations),
    before: before.hash,
    after: checked.graph.hash,
    ...(command.by === undefined ? {} : { by: command.by }),
    ...(command.stepKey === undefined ? {} : { stepKey: command.stepKey }),
    ...approval,
    ...(Object.keys(routes).length > 0 ? { routes } : {}),
    ...(command.vars ? { vars: command.vars } : {}),
  })
  return plain({
    patch: state.patchCount,
    before: before.hash,
    version: checked.graph.hash,
    preview: checked.preview,
    warnings: checked.warnings,
  })
}

/** As it is stored: without `undefined`. */
export const plain = (value: object): JsonObject => JSON.parse(JSON.stringify(value)) as JsonObject

interface RunProgress {
  /** Steps that a patch must leave as they are. */
  readonly reached: Set<string>
  /** Those among them whose edges are decided. */
  readonly settled: Set<string>
  readonly restarting: Set<string>
  readonly progress: Progress
}

/** `beginsAnew`: what is live has not begun in this run, as in a fork before its first decision. */
export function progressOf(state: RunState, beginsAnew = false): RunProgress {
  const reached = new Set<string>()
  const settled = new Set<string>()
  const restarting = new Set<string>()
  const routed = new Map<string, readonly string[]>()
  const isOver = isFinished(state) || beginsAnew
  for (const step of state.steps.values()) {
    if (step.status !== 'pending') reached.add(step.id)
    if (step.routed !== null) {
      settled.add(step.id)
      routed.set(step.id, step.routed)
    } else if (isOver && RESTARTING.has(step.status)) restarting.add(step.id)
  }
  return { reached, settled, restarting, progress: { routed } }
}

const RESTARTING: ReadonlySet<string> = new Set(['failed', 'cancelled', 'ready'])

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
