/** The record that keeps an irreversible attempt from being begun twice. */
import type { Task } from '@weft/engine'
import type { Clock } from '../clock.ts'
import { nodeError } from '../nodes/errors.ts'
import type { Store } from '../store/store.ts'
import { persistently } from './blobs.ts'

/**
 * Records that the attempt begins, before it does. Whoever finds that record made by somebody else comes after a crash:
 * the act may have happened, so it is not repeated, and a person is asked (R7).
 */
export async function beginForGood(
  { runId, key, round, attempt, type }: Task,
  at: number,
  { store, clock }: { readonly store: Pick<Store, 'records'>; readonly clock: Clock },
): Promise<void> {
  const by = clock.token(8)
  const name = `weft:began:${attempt}`
  const record = await persistently(clock, () =>
    store.records.once({ runId, key, round, attempt, name, value: by, at }),
  )
  if ('value' in record && record.value === by) return
  throw nodeError(
    'outcome_unknown',
    `Attempt ${attempt} of \`${key}\` had begun when its worker died, and what \`${type}\` does cannot be undone: it is not known whether it happened.`,
  )
}
