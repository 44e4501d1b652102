/**
 * Who should own which partitions (R4): pure, so that every process that sees the same list comes to the same answer.
 *
 * The 16 partitions are divided as evenly as they go; those who started first get the larger shares, so that a new one
 * moves as little as possible. A process above its share gives up only what somebody below theirs can take, and free
 * partitions are dealt out in order, so that two rarely reach for the same one.
 */
import type { CoordinatorRow } from '../store/store.ts'
import { PARTITIONS } from '../transport/transport.ts'

/** A coordinator that was silent for this long is taken for dead; its partitions are freed. */
export const SILENT_MS = 8_000

export interface SharePlan {
  /** Free partitions for this coordinator. */
  readonly claim: readonly number[]
  /** What it owns beyond its share, and others lack. */
  readonly giveUp: readonly number[]
  /** Coordinators that are dead as far as anybody can see. */
  readonly silent: readonly string[]
  /** Owns partitions without sharing them: the only engine that a database can have without Redis. */
  readonly stranger: CoordinatorRow | null
}

export function planShares(
  myId: string,
  owned: ReadonlySet<number>,
  coordinators: readonly CoordinatorRow[],
): SharePlan {
  const silent = coordinators.flatMap(({ id, silentMs }) =>
    id !== null && id !== myId && silentMs >= SILENT_MS ? [id] : [],
  )
  const sharing = coordinators
    .filter(({ id, leaving }) => id === myId || (id !== null && !leaving && !silent.includes(id)))
    .toSorted((a, b) => a.startedAt - b.startedAt || ((a.id ?? '') < (b.id ?? '') ? -1 : 1))
  const taken = new Set([...owned, ...coordinators.flatMap(({ partitions }) => partitions)])
  const free = Array.from({ length: PARTITIONS }, (_, number) => number).filter(
    (number) => !taken.has(number),
  )
  let claim: readonly number[] = []
  let surplus = 0
  let lacking = -free.length
  let dealt = 0
  for (const [rank, coordinator] of sharing.entries()) {
    const isMe = coordinator.id === myId
    const has = isMe ? owned.size : coordinator.partitions.length
    const share = Math.floor(PARTITIONS / sharing.length) + (rank < PARTITIONS % sharing.length ? 1 : 0)
    const wants = Math.max(0, share - has)
    if (isMe) {
      claim = free.slice(dealt, dealt + wants)
      surplus = Math.max(0, has - share)
    }
    dealt += wants
    lacking += wants
  }
  const count = Math.min(surplus, Math.max(0, lacking))
  return {
    claim,
    giveUp: count === 0 ? [] : [...owned].sort((a, b) => a - b).slice(-count),
    silent,
    stranger: coordinators.find(({ id, partitions }) => id === null && partitions.length > 0) ?? null,
  }
}
