/**
 * A fork that begins with a patch: the copied log, and behind it the `run.patched` of the new run.
 *
 * What the fork would perform first may be changed, as in a run that is retried: nothing of it was performed there. A
 * patch that needs a review is refused, since a run that has not begun can hold nothing.
 */
import { fold, type GraphLookup } from '../evolve.ts'
import type { ForkOutcome } from '../fork.ts'
import type { Graph } from '../graph.ts'
import type { Verdict } from '../signal.ts'
import { type DecideContext, draft, MissingBlobs } from './draft.ts'
import { applyChecked, checkPatch, type PatchCommand } from './patching.ts'

type Fork = Extract<ForkOutcome, { ok: true }>

export type PatchedFork =
  | {
      readonly kind: 'patched'
      readonly fork: Fork
      readonly graph: Graph
      /** Values that left the log: to be stored before the run begins. */
      readonly blobs: readonly { readonly hash: string; readonly text: string }[]
    }
  | { readonly kind: 'refused'; readonly verdict: Extract<Verdict, { accepted: false }> }
  | { readonly kind: 'needs_blobs'; readonly hashes: readonly string[] }

export function patchFork(
  fork: Fork,
  runId: string,
  patch: Pick<PatchCommand, 'operations' | 'reason' | 'vars'>,
  context: DecideContext,
  graphs: GraphLookup,
): PatchedFork {
  const state = fold(runId, [fork.started, ...fork.rest], graphs)
  const command: PatchCommand = { kind: 'patch', ...patch }
  const checked = checkPatch(state, command, context.types, { beginsAnew: true })
  if (!checked.ok) return { kind: 'refused', verdict: checked.verdict }
  if (checked.reviewedFor.length > 0) return { kind: 'refused', verdict: NEEDS_REVIEW }
  const work = draft(state, context)
  try {
    applyChecked(work, command, fork.started.actor, checked)
  } catch (error) {
    if (error instanceof MissingBlobs) return { kind: 'needs_blobs', hashes: error.hashes }
    throw error
  }
  const rest = [...fork.rest, ...work.events]
  const { forkedFrom } = fork.started
  const started = forkedFrom
    ? { ...fork.started, forkedFrom: { ...forkedFrom, copied: rest.length + 1 } }
    : fork.started
  return {
    kind: 'patched',
    fork: { ...fork, started, rest, graph: checked.graph.hash },
    graph: checked.graph,
    blobs: [...work.blobs].map(([hash, text]) => ({ hash, text })),
  }
}

const NEEDS_REVIEW = {
  accepted: false,
  code: 'patch_needs_review',
  message:
    'The workflow wants patches of its runs reviewed (`patches.api: review`), and the patch of a fork is applied before the fork begins. Fork without a patch, pause the fork, and send it the patch.',
} as const
