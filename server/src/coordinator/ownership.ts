/**
 * The session on which this coordinator owns its partitions (R3, R4).
 *
 * With the transport in memory there is one engine per database: it takes all partitions, or says who is in the way.
 */
import type { Clock } from '../clock.ts'
import type { OwnerSession, Store } from '../store/store.ts'
import { PARTITIONS } from '../transport/transport.ts'
import { pause } from './commit.ts'
import type { Trouble } from './trouble.ts'

export const ALL_PARTITIONS: ReadonlySet<number> = new Set(
  Array.from({ length: PARTITIONS }, (_, index) => index),
)

/** A killed engine's session lives until Postgres notices; after that, the locks belong to somebody alive. */
const CLAIM_PATIENCE_MS = 5_000
const CLAIM_RETRY_MS = 50
const FIRST_REOPEN_MS = 50
const MAX_REOPEN_MS = 2_000

export class PartitionsTaken extends Error {
  override readonly name = 'PartitionsTaken'
  readonly code = 'partitions_taken'
  constructor(owned: number) {
    super(
      `another Weft engine is working on this database (${PARTITIONS - owned} of ${PARTITIONS} partitions are locked). ` +
        'One engine at a time may use a database without Redis: stop the other one, or give this one a database of its own.',
    )
  }
}

export interface OwnershipParts {
  readonly store: Pick<Store, 'openOwner'>
  readonly clock: Clock
  readonly trouble: Trouble
  readonly name: string
}

/** For the start: throws when the database does not answer, or when another engine has it. */
export async function takeOwnership({ store, clock, name }: OwnershipParts): Promise<OwnerSession> {
  const session = await store.openOwner(name)
  try {
    const deadline = clock.monotonic() + CLAIM_PATIENCE_MS
    for (;;) {
      const owned = await session.claim([...ALL_PARTITIONS])
      if (owned.length === PARTITIONS) return session
      if (clock.monotonic() >= deadline) throw new PartitionsTaken(owned.length)
      await pause(clock, CLAIM_RETRY_MS)
    }
  } catch (error) {
    await session.close()
    throw error
  }
}

/** After the session ended: tries until everything is owned again, or until `wanted` says no. */
export async function retakeOwnership(
  parts: OwnershipParts,
  wanted: () => boolean,
): Promise<OwnerSession | null> {
  const { clock, trouble } = parts
  for (let delayMs = FIRST_REOPEN_MS; wanted(); delayMs = Math.min(delayMs * 2, MAX_REOPEN_MS)) {
    try {
      const session = await takeOwnership(parts)
      trouble.over('session')
      return session
    } catch (error) {
      trouble.began('session', error)
    }
    await pause(clock, delayMs)
  }
  return null
}
