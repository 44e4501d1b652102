/**
 * What is done now and then, whoever else is idle: finished runs go after their time (with their events and records),
 * messages that nobody took in time, blobs that nothing refers to, answers kept for idempotency keys; and the clock follows the database's (R12).
 */
import type { SystemClock } from './clock.ts'
import type { Log } from './log.ts'
import type { Service } from './service.ts'
import type { Store } from './store/store.ts'
import { createTurns } from './turns.ts'

const EVERY_MS = 10 * 60_000
/** Rows of one statement: small enough to stay out of everybody's way. */
const BATCH = 500
const BLOBS_KEPT_MS = 24 * 3_600_000
/** Longer than its own time a message is remembered by its id, so that it counts once. */
const MESSAGES_REMEMBERED_MS = 24 * 3_600_000
const ANSWERS_KEPT_MS = 7 * 24 * 3_600_000
/** A smaller offset is the time that the question itself took. */
const MIN_OFFSET_MS = 100

export interface UpkeepParts {
  readonly store: Pick<Store, 'runs' | 'blobs' | 'messages' | 'idempotency' | 'describe'>
  readonly clock: SystemClock
  readonly log: Log
  /** How long finished runs are kept; `null`: for ever. */
  readonly retentionMs: number | null
  /** Whether this process removes anything; the clock is followed in any case. */
  readonly isCleaning: boolean
}

export interface Upkeep extends Service {
  /** One turn. */
  tick(): Promise<void>
}

export function createUpkeep({ store, clock, log: parent, retentionMs, isCleaning }: UpkeepParts): Upkeep {
  const log = parent.child({ part: 'upkeep' })
  let isStopped = false

  /** In batches, until a batch was not full. */
  async function all(remove: () => Promise<number>): Promise<number> {
    let total = 0
    for (let removed = BATCH; removed >= BATCH && !isStopped; total += removed) removed = await remove()
    return total
  }

  async function turn(): Promise<void> {
    await followDatabaseClock(store, clock)
    if (!isCleaning) return
    const now = clock.now()
    const runs =
      retentionMs === null
        ? 0
        : await all(() => store.runs.expire({ before: now - retentionMs, limit: BATCH }))
    const blobs = await all(() => store.blobs.collect({ before: now - BLOBS_KEPT_MS, limit: BATCH }))
    await all(() => store.messages.expire({ before: now - MESSAGES_REMEMBERED_MS, limit: BATCH }))
    await store.idempotency.expire({ before: now - ANSWERS_KEPT_MS })
    if (runs + blobs > 0) log.info({ runs, blobs }, `${runs} finished runs and ${blobs} blobs were removed`)
  }

  const turns = createTurns({
    clock,
    everyMs: EVERY_MS,
    turn,
    failed: (error) => log.warn({ error }, 'the upkeep was interrupted; it goes on at its next turn'),
  })

  return {
    name: 'upkeep',
    tick: turns.tick,
    async start() {
      isStopped = false
      turns.start()
    },
    async stop() {
      isStopped = true
      await turns.stop()
    },
  }
}

/** Sets the clock by the database's, when they differ by more than the question takes. */
export async function followDatabaseClock(store: Pick<Store, 'describe'>, clock: SystemClock): Promise<void> {
  const before = clock.now()
  const { nowMs } = await store.describe()
  const offsetMs = Math.round(nowMs - (before + clock.now()) / 2)
  if (Math.abs(offsetMs) > MIN_OFFSET_MS) clock.adjust(clock.offsetMs + offsetMs)
}
