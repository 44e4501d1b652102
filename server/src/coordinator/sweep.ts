/**
 * The upkeep that runs about every second: lost tasks, runs that are due, effects that could not be published.
 *
 * The index over `wake_at` is the truth about timers (R6); the alarm in this process only rings the near ones on time.
 */
import type { Clock } from '../clock.ts'
import { announce } from '../correlation.ts'
import type { Log } from '../log.ts'
import type { OwnerSession, Store } from '../store/store.ts'
import type { Transport } from '../transport/transport.ts'
import { ALARM_HORIZON_MS, type Pipeline } from './pipeline.ts'
import { MAX_DEADMAN_MS } from './slot.ts'
import type { Trouble } from './trouble.ts'

export const SWEEP_INTERVAL_MS = 1_000
/** A sweep that filled its page is followed by the next after a moment. */
export const FULL_SWEEP_INTERVAL_MS = 50
const PAGE = 500
/** At the start every run that anybody owes something is read; ids only, so that one page holds them all. */
const RECOVERY_PAGE = 200_000

/** A message that is younger is being announced by whoever sent it. */
const ANNOUNCE_AFTER_MS = 5_000
const MESSAGES_PER_SWEEP = 100

export interface SweepParts {
  readonly store: Pick<Store, 'messages' | 'blobs'>
  readonly transport: Transport
  readonly clock: Clock
  readonly log: Log
  readonly pipeline: Pipeline
  readonly trouble: Trouble
}

/** One sweep; answers when the next one should follow. */
export async function sweep(
  parts: SweepParts,
  session: OwnerSession,
  partitions: readonly number[],
): Promise<number> {
  const { transport, clock, pipeline, trouble } = parts
  const answers = await transport.tasks.reap().then(
    () => true,
    (error: unknown) => {
      trouble.began('transport', error)
      return false
    },
  )
  if (answers) trouble.over('transport')
  const now = clock.now()
  // What comes due before the next sweep is left to the alarm.
  const due = await session.due({ partitions, now: now + ALARM_HORIZON_MS, limit: PAGE })
  for (const { runId, wakeAt } of due) {
    if (wakeAt <= now) pipeline.due(runId, wakeAt)
    else pipeline.near(runId, wakeAt)
  }
  if (answers) pipeline.republish()
  pipeline.tidy()
  pipeline.pump()
  await announceForgotten(parts)
  const last = due.at(-1)
  return due.length === PAGE && last && last.wakeAt <= now ? FULL_SWEEP_INTERVAL_MS : SWEEP_INTERVAL_MS
}

/** Messages whose sender died before it looked who waits, and those that were refused by all who got them. */
async function announceForgotten(parts: SweepParts): Promise<void> {
  const before = parts.clock.now() - ANNOUNCE_AFTER_MS
  const messages = await parts.store.messages.unannounced({ before, limit: MESSAGES_PER_SWEEP })
  for (const message of messages) await announce(parts, message)
}

/**
 * After partitions were taken: every run that a worker or the engine owes something may have lost it with the
 * process before. Its dead-man's switch is at most `MAX_DEADMAN_MS` ahead; waiting for it would be safe, and slow.
 */
export async function recover(
  { store, clock, pipeline }: Pick<SweepParts, 'store' | 'clock' | 'pipeline'>,
  session: OwnerSession,
  partitions: readonly number[],
): Promise<number> {
  const owed = await owedRuns(clock, session, partitions)
  for (const { runId, wakeAt } of owed) pipeline.due(runId, wakeAt)
  // A run that waits for nothing but a message is due at no time; it may have died between its commit and its look.
  const expectant = await store.messages.expectant({ partitions, limit: RECOVERY_PAGE })
  for (const runId of expectant) pipeline.look(runId)
  pipeline.pump()
  return owed.length
}

/** What the lanes held is gone: what every owned run is owed is published again (R5). */
export async function restore(
  { clock, pipeline }: Pick<SweepParts, 'clock' | 'pipeline'>,
  session: OwnerSession,
  partitions: readonly number[],
): Promise<number> {
  const owed = await owedRuns(clock, session, partitions)
  for (const { runId } of owed) pipeline.owes(runId)
  pipeline.republish()
  pipeline.pump()
  return owed.length
}

const owedRuns = (clock: Clock, session: OwnerSession, partitions: readonly number[]) =>
  session.due({
    partitions,
    now: clock.now() + MAX_DEADMAN_MS + ALARM_HORIZON_MS,
    limit: RECOVERY_PAGE,
  })
