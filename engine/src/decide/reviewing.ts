/**
 * A patch under review: proposed, and then approved, rejected, or left until its time is up.
 *
 * An approved patch is judged once more, against the run as it is by then, and applied in the same decision: what moved
 * meanwhile may refuse it, and the log says so. Owns the life of a review; what it holds is `reweave.ts`, whether a patch
 * needs one is `patching.ts`.
 */
import type { Holds } from '../event.ts'
import type { Json } from '../json.ts'
import { describePatch } from '../patch/describe.ts'
import type { Preview } from '../patch.ts'
import { isFinished, parseKey, type Review, type RunState } from '../run.ts'
import type { Command, Verdict } from '../signal.ts'
import { type Draft, emit, offload, resolve } from './draft.ts'
import { applyChecked, type CheckedPatch, checkPatch, type PatchCommand, plain } from './patching.ts'

/** How long a person may take. */
export const REVIEW_TIMEOUT_MS = 24 * 60 * 60 * 1000

type Accepted = Extract<CheckedPatch, { ok: true }>

/** A patch arrives: it is refused, applied, or put before a person. */
export function patchRun(draft: Draft, command: PatchCommand, actor: string): Verdict {
  const checked = checkPatch(draft.state, command, draft.context.types)
  if (!checked.ok) return checked.verdict
  if (checked.reviewedFor.length > 0) return propose(draft, command, actor, checked)
  return { accepted: true, detail: applyChecked(draft, command, actor, checked) }
}

/** Opens the review of a patch that was found right. */
function propose(draft: Draft, command: PatchCommand, actor: string, checked: Accepted): Verdict {
  const { state, now } = draft
  const reviewId = `${state.id}.${state.waitCount + 1}`
  const before = state.graph.hash
  const by = command.by ?? 'api'
  const operations = offload(draft, command.operations)
  const expiresAt = isFinished(state) ? null : now + REVIEW_TIMEOUT_MS
  const preview = checked.preview as unknown as Json
  const { reason, stepKey, vars } = command
  const from = stepKey === undefined ? {} : { stepKey }
  emit(draft, {
    type: 'patch.proposed',
    reviewId,
    actor,
    by,
    ...from,
    reason,
    operations,
    ...(vars ? { vars } : {}),
    before,
    preview: offload(draft, preview),
    holds: holdsOf(state, checked, stepKey),
    expiresAt,
  })
  const because = checked.reviewedFor
  draft.opened.push({
    waitId: reviewId,
    key: stepKey ?? null,
    wait: {
      kind: 'approval',
      title: titleOf(reason),
      body: describePatch(checked.preview, because),
      onTimeout: 'reject',
    },
    wakeAt: expiresAt,
    at: now,
    patch: { actor, by, reason, operations, before, preview, because: [...because] },
  })
  const detail = { review: reviewId, expiresAt, before, preview, because, warnings: checked.warnings }
  return { accepted: true, detail: plain(detail) }
}

const titleOf = (reason: string): string => {
  const line = reason.replaceAll(/\s+/g, ' ').trim()
  return `Patch this run? ${line.length > 160 ? `${line.slice(0, 159)}…` : line}`
}

/** What a run that goes on would otherwise do before anybody has decided, so that the patch no longer fits. */
function holdsOf(state: RunState, { touched, preview }: Accepted, stepKey: string | undefined): Holds {
  if (isFinished(state)) return { starts: [], routes: [] }
  const nodes = touched.flatMap((pointer) => /^\/nodes\/(.*)$/.exec(pointer)?.[1] ?? [])
  const sources = [...edgesOf(preview)].filter((id) => state.steps.get(id)?.routed === null)
  return {
    starts: nodes.filter((id) => state.steps.get(id)?.status === 'pending'),
    routes: [...new Set([...sources, ...(stepKey === undefined ? [] : [parseKey(stepKey).id])])],
  }
}

const edgesOf = ({ edges }: Preview): Set<string> =>
  new Set([...edges.removed, ...edges.changed].map(({ from }) => from))

/** A person has decided. */
export function decideReview(
  draft: Draft,
  review: Review,
  command: Extract<Command, { kind: 'decide' }>,
  actor: string,
): Verdict {
  const said = { actor, ...(command.comment === undefined ? {} : { comment: command.comment }) }
  const over = { type: 'patch.reviewed' as const, reviewId: review.id, ...said }
  if (command.decision === 'reject') {
    emit(draft, { ...over, outcome: 'rejected' })
    return { accepted: true }
  }
  const patch: PatchCommand = {
    kind: 'patch',
    by: review.by,
    ...(review.stepKey === null ? {} : { stepKey: review.stepKey }),
    operations: resolve(draft, review.operations),
    reason: review.reason,
    ...(review.vars ? { vars: review.vars } : {}),
    baseVersion: review.before,
  }
  const checked = checkPatch(draft.state, patch, draft.context.types, { isReviewed: true })
  if (!checked.ok) {
    const { code, message, detail } = checked.verdict
    emit(draft, { ...over, outcome: 'refused', refusal: { code, message } })
    return { accepted: true, detail: plain({ applied: false, code, message, detail: detail ?? null }) }
  }
  const applied = applyChecked(draft, patch, review.actor, checked, {
    reviewId: review.id,
    approvedBy: actor,
  })
  emit(draft, { ...over, outcome: 'approved' })
  return { accepted: true, detail: { applied: true, ...applied } }
}

/** Reviews whose time is up: nobody has said yes. */
export function expireReviews(draft: Draft): void {
  const { state, now } = draft
  for (const { id, expiresAt } of [...state.reviews.values()])
    if (expiresAt !== null && expiresAt <= now && state.reviews.has(id))
      emit(draft, { type: 'patch.reviewed', reviewId: id, outcome: 'timeout' })
}

/** A fork goes on without the patches that were under review at its cut: they were proposed to another run. */
export function dropCopiedReviews(draft: Draft): void {
  for (const reviewId of [...draft.state.reviews.keys()])
    emit(draft, { type: 'patch.reviewed', reviewId, outcome: 'dropped' })
}
