/** One event, one line: for terminals that cannot redraw, for log files, for `weft logs`. */
import type { RunEvent } from '@weft/engine'
import { type Colour, durationText, type Paint, plain } from './paint.ts'

export interface Sentence {
  readonly subject: string
  readonly verb: string
  readonly rest: string
  readonly colour: Colour
}

export function sentenceOf(event: RunEvent): Sentence {
  switch (event.type) {
    case 'run.started':
      return run(
        'started',
        `workflow ${event.workflow.name}${event.workflow.version === null ? '' : `@${event.workflow.version}`} by ${event.actor}`,
        'cyan',
      )
    case 'run.paused':
    case 'run.resumed':
    case 'run.retried':
      return run(event.type.slice(4), `by ${event.actor}`, 'yellow')
    case 'run.patched':
      return run(
        'patched',
        `by ${event.actor}${event.approvedBy === undefined ? '' : `, approved by ${event.approvedBy}`}: ${event.reason}`,
        'magenta',
      )
    case 'patch.proposed':
      return run(
        'patch proposed',
        `by ${event.actor}: ${event.reason}; ${event.reviewId} waits for review`,
        'yellow',
      )
    case 'patch.reviewed':
      return run(
        `patch ${REVIEWED[event.outcome]}`,
        [event.actor && `by ${event.actor}`, event.comment, event.refusal?.message]
          .filter(Boolean)
          .join(': '),
        event.outcome === 'approved' ? 'magenta' : 'yellow',
      )
    case 'step.routed':
      return step(
        event,
        event.handled === false ? 'failed' : 'goes on',
        'its edges were held by a review',
        'dim',
      )
    case 'run.stopping':
      return run(
        'stopping',
        `${event.reason}${event.error ? `: ${event.error.code}: ${event.error.message}` : ''}`,
        'yellow',
      )
    case 'run.completed':
      return run('completed', brief(event.output), 'green')
    case 'run.failed':
      return run('failed', `${event.error.code}: ${event.error.message}`, 'red')
    case 'run.cancelled':
      return run('cancelled', `by ${event.actor}`, 'magenta')
    case 'message.received':
      return run('message', `${event.name} from ${event.actor}`, 'blue')
    case 'step.admitted':
      return step(event, 'admitted', '', 'dim')
    case 'step.skipped':
      return step(event, 'skipped', '', 'dim')
    case 'step.expanded':
      return step(event, 'expanded', `${event.count} items`, 'cyan')
    case 'step.waiting':
      return step(event, 'waiting', waitText(event), 'yellow')
    case 'attempt.failed':
      return step(
        event,
        'retrying',
        `attempt ${event.attempt}: ${event.error.code}: ${event.error.message}; next in ${durationText(event.retryAt - event.at)}`,
        'yellow',
      )
    case 'step.repeated':
      return step(event, 'repeated', `round ${event.round} is over`, 'blue')
    case 'step.completed': {
      const took = event.startedAt === undefined ? '' : durationText(event.at - event.startedAt)
      return step(
        event,
        'completed',
        [event.label, took, brief(event.output)].filter(Boolean).join('  '),
        'green',
      )
    }
    case 'step.failed':
      return step(
        event,
        event.handled ? 'failed (handled)' : 'failed',
        `${event.error.code}: ${event.error.message}`,
        event.handled ? 'yellow' : 'red',
      )
    case 'step.cancelled':
      return step(event, 'cancelled', '', 'magenta')
    case 'step.joined':
      return step(
        event,
        event.outcome,
        event.error ? `${event.error.code}: ${event.error.message}` : 'all items',
        event.outcome === 'completed' ? 'green' : 'red',
      )
  }
}

const run = (verb: string, rest: string, colour: Colour): Sentence => ({ subject: 'run', verb, rest, colour })
const step = (event: { key: string }, verb: string, rest: string, colour: Colour): Sentence => ({
  subject: event.key,
  verb,
  rest,
  colour,
})

function waitText({ wait, wakeAt, at }: Extract<RunEvent, { type: 'step.waiting' }>): string {
  const until = wakeAt === null ? '' : ` (${durationText(wakeAt - at)})`
  switch (wait.kind) {
    case 'timer':
      return `for ${durationText((wakeAt ?? at) - at)}`
    case 'approval':
      return `for an approval: ${wait.title}${until}`
    case 'message':
      return `for message ${wait.name}${until}`
    case 'child':
      return `for child run ${wait.childId}`
  }
}

const REVIEWED = {
  approved: 'approved',
  rejected: 'rejected',
  timeout: 'timed out',
  refused: 'does not fit',
  dropped: 'dropped',
} as const

const MAX_VALUE_CHARACTERS = 120

/** A value in a few words. */
export function brief(value: unknown): string {
  if (value === null || value === undefined) return ''
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length <= MAX_VALUE_CHARACTERS ? text : `${text.slice(0, MAX_VALUE_CHARACTERS - 1)}…`
}

/** `12:00:01.250  fetch  completed  0.31 s`. */
export function eventLine(event: RunEvent, paint: Paint): string {
  const { subject, verb, rest, colour } = sentenceOf(event)
  return `${paint('dim', timeText(event.at))}  ${plain(subject).padEnd(14)}  ${paint(colour, verb.padEnd(10))}  ${plain(rest)}`.trimEnd()
}

/** Time of day, UTC, of a time given in milliseconds. */
export function timeText(at: number): string {
  const ms = ((at % 86_400_000) + 86_400_000) % 86_400_000
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0')
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}.${String(Math.floor(ms % 1000)).padStart(3, '0')}`
}
