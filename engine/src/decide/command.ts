/**
 * Commands from outside: each gets a verdict, accepted or refused with a code and what to do, and counts once (R15).
 */
import type { Json, JsonObject } from '../json.ts'
import { isFinished, type RunState, type Unit } from '../run.ts'
import { checkAgainstSchema } from '../schema-check.ts'
import type { Command, Verdict } from '../signal.ts'
import { findUnit } from '../unit.ts'
import { type Draft, emit } from './draft.ts'
import { takes } from './enter.ts'
import { decideReview, patchRun } from './reviewing.ts'
import { complete, fail, stop } from './settle.ts'
import { fireTimers } from './time.ts'

type Of<K extends Command['kind']> = Extract<Command, { kind: K }>

const accepted: Verdict = { accepted: true }
const refused = (code: string, message: string, detail?: Json): Verdict =>
  detail === undefined ? { accepted: false, code, message } : { accepted: false, code, message, detail }

export function perform(draft: Draft, command: Command, actor: string): Verdict {
  switch (command.kind) {
    case 'cancel':
      return cancel(draft, actor)
    case 'pause':
      return pause(draft, actor)
    case 'resume':
      return resume(draft, actor)
    case 'retry':
      return retry(draft, actor)
    case 'decide':
      return decideApproval(draft, command, actor)
    case 'message':
      return receive(draft, command, actor)
    case 'child_finished':
      return childFinished(draft, command)
    case 'patch':
      return patchRun(draft, command, actor)
    case 'resolve':
      return resolveOutcome(draft, command, actor)
  }
}

const finishedAs = ({ phase }: RunState): Verdict =>
  refused(
    'run_finished',
    `The run has ended: it is ${phase.kind}.${phase.kind === 'completed' ? '' : ' Retry it to let it go on, or fork it.'}`,
    { status: phase.kind },
  )

const stoppingRefusal = (what: string): Verdict => refused('run_stopping', `The run is stopping ${what}`)

function cancel(draft: Draft, actor: string): Verdict {
  const { phase } = draft.state
  if (isFinished(draft.state)) return phase.kind === 'cancelled' ? accepted : finishedAs(draft.state)
  // A run that stops for another reason is about to end; whoever cancels wants exactly that.
  if (phase.kind !== 'stopping') stop(draft, 'cancelled', { actor })
  return accepted
}

function pause(draft: Draft, actor: string): Verdict {
  const { phase } = draft.state
  if (isFinished(draft.state)) return finishedAs(draft.state)
  if (phase.kind === 'stopping')
    return stoppingRefusal('and starts nothing more, so there is nothing to pause.')
  if (phase.kind === 'active') emit(draft, { type: 'run.paused', actor })
  return accepted
}

function resume(draft: Draft, actor: string): Verdict {
  if (isFinished(draft.state)) return finishedAs(draft.state)
  if (draft.state.phase.kind === 'stopping')
    return stoppingRefusal('and cannot be resumed. Retry it when it has ended.')
  if (draft.state.phase.kind !== 'paused')
    return refused('not_paused', 'The run is not paused, so there is nothing to resume.')
  emit(draft, { type: 'run.resumed', actor })
  draft.resumed = true
  fireTimers(draft)
  return accepted
}

function retry(draft: Draft, actor: string): Verdict {
  const { state } = draft
  const byParent = state.parent !== null && actor === `run:${state.parent.runId}`
  if (byParent && (state.phase.kind === 'completed' || !isFinished(state))) {
    // The parent stopped before this run ended and goes on now: it is owed the result, not another run.
    draft.reportAgain = state.phase.kind === 'completed'
    return accepted
  }
  if (state.phase.kind === 'stopping')
    return stoppingRefusal('and is not retried before it has ended. Try again in a moment.')
  if (state.phase.kind !== 'failed' && state.phase.kind !== 'cancelled') {
    const why =
      state.phase.kind === 'completed'
        ? 'this one is completed. To perform steps again, fork it.'
        : 'this one has not ended. Ask why it is where it is, or cancel it first.'
    return refused('not_retryable', `Only a failed or cancelled run can be retried; ${why}`)
  }
  if (state.parent && !byParent) {
    return refused(
      'parent_moved_on',
      `This is a child run: its parent ${state.parent.runId} has taken its result and moved on. Retry the parent; it retries this run.`,
      { parentId: state.parent.runId },
    )
  }
  const open = byParent ? null : underReview(state)
  if (open) return open
  emit(draft, { type: 'run.retried', actor })
  draft.resumed = true
  return accepted
}

/** Whoever proposed to mend the run wants it to go on mended. */
function underReview({ reviews }: RunState): Verdict | null {
  const [review] = reviews.values()
  if (!review) return null
  return refused(
    'patch_under_review',
    `A patch of this run is under review ("${review.reason}", by ${review.actor}). Approve or reject ${review.id} first, then retry the run.`,
    { review: review.id },
  )
}

function decideApproval(draft: Draft, command: Of<'decide'>, actor: string): Verdict {
  const { state } = draft
  const review = state.reviews.get(command.waitId)
  if (review) return decideReview(draft, review, command, actor)
  const key = state.waits.get(command.waitId)
  const unit = key === undefined ? null : findUnit(state, key)
  if (unit?.activity.phase !== 'waiting' || unit.activity.wait.kind !== 'approval')
    return notOpen(state, command.waitId)
  const { wait } = unit.activity
  const data = command.data
  if (command.decision === 'approve' && wait.form) {
    const checked = checkAgainstSchema(wait.form, data ?? {})
    if (!checked.ok) {
      const problems = checked.problems.map(({ pointer, message }) => ({ pointer, message }))
      return refused('invalid_form', 'The data does not fit the form of this approval.', { problems })
    }
    approve(draft, unit, command, checked.value, actor)
  } else approve(draft, unit, command, data, actor)
  return accepted
}

function approve(
  draft: Draft,
  unit: Unit,
  command: Of<'decide'>,
  data: Json | undefined,
  actor: string,
): void {
  const label = command.decision === 'approve' ? 'approved' : 'rejected'
  const output = data ?? { decision: label, comment: command.comment ?? null, by: actor }
  complete(draft, unit, { output, label, actor })
}

function notOpen(state: RunState, waitId: string): Verdict {
  const closed = state.closedWaits.get(waitId)
  if (!closed) return refused('unknown_approval', `Run ${state.id} has no approval ${waitId}.`)
  if (closed.outcome === 'superseded') {
    return refused(
      'superseded',
      'The run was retried since: this approval was opened again under a new id. List the open approvals.',
    )
  }
  if (closed.outcome === 'closed')
    return refused('approval_closed', 'The run ended before this approval was decided.')
  if (closed.outcome === 'dropped') {
    return refused(
      'approval_closed',
      'The run ended, or was retried, before anybody decided about this patch. Send it again if it is still wanted.',
    )
  }
  if (closed.outcome === 'refused') {
    return refused(
      'already_decided',
      `${closed.actor} has approved this patch already, and the run could not take it any more. Send it again if it is still wanted.`,
      { outcome: closed.outcome, by: closed.actor },
    )
  }
  if (closed.actor === null)
    return refused('approval_timeout', `Nobody decided in time; the approval ended as \`${closed.outcome}\`.`)
  return refused('already_decided', `${closed.actor} has decided this approval already: ${closed.outcome}.`, {
    outcome: closed.outcome,
    by: closed.actor,
  })
}

function receive(draft: Draft, command: Of<'message'>, actor: string): Verdict {
  const { state } = draft
  if (state.messageIds.has(command.messageId)) return { accepted: true, detail: { duplicate: true } }
  if (command.waitIds) return receiveByWaits(draft, command, command.waitIds, actor)
  if (isFinished(state)) return finishedAs(state)
  if (state.phase.kind === 'stopping') return stoppingRefusal('and takes no more messages.')
  const message = { name: command.name, correlationKey: command.correlationKey ?? null, data: command.data }
  // Waits stand in the order in which they were opened: the oldest that matches takes the message.
  for (const key of state.waits.values()) {
    const unit = findUnit(state, key)
    if (unit?.activity.phase !== 'waiting' || unit.activity.wait.kind !== 'message') continue
    if (!takes(draft, unit.activity.wait, message)) continue
    complete(draft, unit, { output: command.data, label: 'received', actor, messageId: command.messageId })
    return { accepted: true, detail: { step: key } }
  }
  emit(draft, {
    type: 'message.received',
    messageId: command.messageId,
    name: command.name,
    ...(command.correlationKey === undefined ? {} : { correlationKey: command.correlationKey }),
    data: command.data,
    actor,
    expiresAt: draft.now + command.ttlMs,
  })
  return { accepted: true, detail: { kept: true } }
}

/** Whoever looked the waits up has held the message against them; what is left to see is which are open. */
function receiveByWaits(
  draft: Draft,
  command: Of<'message'>,
  waitIds: readonly string[],
  actor: string,
): Verdict {
  const taken: string[] = []
  for (const waitId of waitIds) {
    const key = draft.state.waits.get(waitId)
    const unit = key === undefined ? null : findUnit(draft.state, key)
    if (unit?.activity.phase !== 'waiting' || unit.activity.wait.kind !== 'message') continue
    complete(draft, unit, { output: command.data, label: 'received', actor, messageId: command.messageId })
    taken.push(unit.key)
  }
  return taken.length > 0
    ? { accepted: true, detail: { steps: taken } }
    : refused('wait_closed', 'What waited for this message has ended; it is kept for whoever waits next.')
}

function childFinished(draft: Draft, command: Of<'child_finished'>): Verdict {
  const unit = findUnit(draft.state, command.key)
  const waiting =
    unit?.activity.phase === 'waiting' && unit.activity.wait.kind === 'child' ? unit.activity.wait : null
  if (!unit || waiting?.childId !== command.childId || unit.round !== command.round) {
    return refused('parent_moved_on', 'The parent no longer waits for this child.')
  }
  if (command.outcome === 'completed') complete(draft, unit, { output: command.output ?? null })
  else if (draft.state.phase.kind === 'stopping') {
    emit(draft, { type: 'step.cancelled', key: unit.key, round: unit.round, attempt: unit.attempt })
  } else {
    const cause = command.error
    const message = cause ? cause.message : `the child run was ${command.outcome}`
    const error = {
      code: command.outcome === 'cancelled' ? 'child_cancelled' : 'child_failed',
      message: `Child run ${command.childId} ${command.outcome === 'cancelled' ? 'was cancelled' : 'failed'}: ${message}`,
      retryable: false,
      details: { childId: command.childId, code: cause?.code ?? null } as JsonObject,
    }
    fail(draft, unit, error, {})
  }
  return accepted
}

/** A person looked: the attempt whose outcome was unknown happened, or it did not and may be made again. */
function resolveOutcome(draft: Draft, command: Of<'resolve'>, actor: string): Verdict {
  const { state } = draft
  const step = state.steps.get(command.key)
  if (state.phase.kind !== 'failed' || step?.error?.code !== 'outcome_unknown') {
    return refused(
      'not_resolvable',
      `Step \`${command.key}\` of this run has no attempt whose outcome is unknown.`,
    )
  }
  const open = underReview(state)
  if (open) return open
  emit(draft, { type: 'run.retried', actor })
  draft.resumed = true
  const unit = findUnit(state, command.key)
  if (command.outcome === 'done' && unit) complete(draft, unit, { output: command.output ?? null, actor })
  return accepted
}
