/** What a patch under review holds, written down from the log alone and held against the state. */
import type { Holds, RunEvent, RunState } from '../../src/index.ts'
import { Violation } from './violation.ts'

/** Open reviews by id, with what they hold. */
export type Open = Map<string, Holds>

interface Reviewed {
  readonly id: string
  /** With the event that is followed. */
  readonly log: readonly RunEvent[]
  readonly reviews: Open
}

export function openReviews(log: readonly RunEvent[]): Open {
  const open: Open = new Map()
  for (const event of log) follow(open, event)
  return open
}

function follow(open: Open, event: RunEvent): void {
  if (event.type === 'patch.proposed') open.set(event.reviewId, event.holds)
  if (event.type === 'patch.reviewed' && !open.delete(event.reviewId))
    throw new Violation(`${event.reviewId} was reviewed twice`)
  if (event.type === 'run.stopping' || event.type === 'run.retried') open.clear()
}

export function followReview(run: Reviewed, event: RunEvent): void {
  follow(run.reviews, event)
  const isEnd = event.type === 'run.completed' && run.log.at(-2)?.type !== 'run.stopping'
  if (isEnd && run.reviews.size > 0) throw new Violation(`${run.id} completed over a patch under review`)
}

/** While a patch is under review nothing that it touches moves; once it is over, nothing is left behind. */
export function checkReviews({ state, reviews }: { readonly state: RunState; readonly reviews: Open }): void {
  for (const { starts, routes } of reviews.values()) {
    for (const id of starts) {
      const status = state.steps.get(id)?.status ?? 'pending'
      if (status !== 'pending') throw new Violation(`${id} is ${status} though a review holds it`)
    }
    for (const id of routes)
      if (state.steps.get(id)?.routed) throw new Violation(`edges of ${id} were decided under review`)
  }
  if (state.phase.kind !== 'active' || reviews.size > 0) return
  for (const step of state.steps.values()) {
    const isOver = step.status === 'completed' || step.status === 'skipped' || step.handled
    if (isOver && step.routed === null) throw new Violation(`${step.id} is over and leads nowhere`)
    if (step.status === 'pending' && step.unmet === 0)
      throw new Violation(`${step.id} is due and left behind`)
  }
}
