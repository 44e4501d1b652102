/** What came due: retries and rounds, delays, timeouts of people, messages and children, the run's own deadline. */
import { CONTROL_TYPES } from '../node-type.ts'
import { nodeOf } from '../routing.ts'
import { endsBy, parseKey, type Unit } from '../run.ts'
import { findUnit } from '../unit.ts'
import type { Draft } from './draft.ts'
import { enter } from './enter.ts'
import { expireReviews } from './reviewing.ts'
import { complete, fail, stop } from './settle.ts'

/** Fires every timer that is due, in the order of their times. While the run is paused nothing comes due. */
export function fireTimers(draft: Draft): void {
  const { state, now } = draft
  if (state.phase.kind !== 'active') return
  const end = endsBy(state)
  if (end !== null && end <= now) {
    stop(draft, 'failed', {
      error: {
        code: 'run_timeout',
        message: `The run did not end within its limit of ${state.graph.limits.durationMs} ms (\`limits.duration\`). Raise the limit, or look with \`weft why\` at what it waited for.`,
        retryable: false,
      },
    })
    return
  }
  const due = [...state.timers].filter(([, at]) => at <= now)
  due.sort(([aKey, a], [bKey, b]) => a - b || (aKey < bKey ? -1 : 1))
  for (const [key] of due) {
    const unit = findUnit(state, key)
    // An earlier timer of this very decision may have ended it.
    if (unit && state.timers.has(key)) fire(draft, unit)
  }
  expireReviews(draft)
}

function fire(draft: Draft, unit: Unit): void {
  const { activity } = unit
  if (activity.phase === 'backoff' || activity.phase === 'between') {
    draft.touched.units.add(unit.key)
    if (isControl(draft, unit)) enter(draft, unit)
    return
  }
  if (activity.phase !== 'waiting') return
  const { wait } = activity
  switch (wait.kind) {
    case 'timer':
      complete(draft, unit, { output: null })
      return
    case 'message':
      complete(draft, unit, { output: null, label: 'timeout' })
      return
    case 'child':
      fail(draft, unit, timedOut('its child run did not end in time'), {})
      draft.cancelledChildren.push(wait.childId)
      return
    case 'approval':
      if (wait.onTimeout === 'fail') {
        fail(draft, unit, { ...timedOut('nobody decided in time'), code: 'approval_timeout' }, {})
        return
      }
      complete(draft, unit, {
        output: null,
        label: { approve: 'approved', reject: 'rejected', timeout: 'timeout' }[wait.onTimeout],
      })
  }
}

const timedOut = (why: string) => ({
  code: 'timeout',
  message: `It timed out: ${why}.`,
  retryable: false,
})

const isControl = (draft: Draft, unit: Unit): boolean =>
  (CONTROL_TYPES as readonly string[]).includes(nodeOf(draft.state.graph, parseKey(unit.key).id).kind)
