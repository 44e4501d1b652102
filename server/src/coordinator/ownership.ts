/**
 * How a coordinator without peers comes to own everything (R3, R4): with the transport in memory there is one engine per
 * database. It takes all partitions, or says who is in the way. Sharing them is `membership.ts`.
 */
import type { Clock } from '../clock.ts'
import type { OwnerSession } from '../store/store.ts'
import { PARTITIONS } from '../transport/transport.ts'
import { pause } from './commit.ts'

export const ALL_PARTITIONS: readonly number[] = Array.from({ length: PARTITIONS }, (_, index) => index)

/** A killed engine's session lives until Postgres notices; after that, the locks belong to somebody alive. */
export const CLAIM_PATIENCE_MS = 5_000
const CLAIM_RETRY_MS = 50

export class PartitionsTaken extends Error {
  override readonly name = 'PartitionsTaken'
  readonly code = 'partitions_taken'
}

/** Of an engine without Redis that meets another one. */
const takenBySomebody = (owned: number): PartitionsTaken =>
  new PartitionsTaken(
    `another Weft engine is working on this database (${PARTITIONS - owned} of ${PARTITIONS} partitions are locked). ` +
      'One engine at a time may use a database without Redis: stop the other one, or give this one a database of its own.',
  )

/** Of an engine with Redis that meets one that does not share. */
export const takenByStranger = (name: string): PartitionsTaken =>
  new PartitionsTaken(
    `the session \`${name}\` owns partitions of this database and does not share them, as a Weft without Redis does. ` +
      'Stop it: everybody on a database needs the same WEFT_REDIS_URL.',
  )

/** Throws when the database does not answer, or when another engine has it. */
export async function claimEverything(session: OwnerSession, clock: Clock): Promise<void> {
  const deadline = clock.monotonic() + CLAIM_PATIENCE_MS
  for (;;) {
    const owned = await session.claim(ALL_PARTITIONS)
    if (owned.length === PARTITIONS) return
    if (clock.monotonic() >= deadline) throw takenBySomebody(owned.length)
    await pause(clock, CLAIM_RETRY_MS)
  }
}
