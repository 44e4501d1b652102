/**
 * The append of one batch, and what happens when the database says no.
 *
 * Owns: which failures are waited out, which split the batch, which run is to blame (R16). Does not own: what becomes of
 * the runs it names.
 *
 * 1. What a decision moved out of the log is stored before the events that name it (R1).
 * 2. A statement that failed wrote nothing, unless the session broke: then the outcome is unknown, and `SessionLost` goes
 *    up, because only a load can tell (R3).
 * 3. A batch is never given up for want of room or of an answer: the same statement is tried until it is taken.
 */
import type { Graph } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { GraphCatalog } from '../graphs.ts'
import {
  AppendConflict,
  type OwnerSession,
  type RunAppend,
  SessionLost,
  type Store,
  StoreError,
} from '../store/store.ts'
import type { Entry } from './slot.ts'
import type { Trouble } from './trouble.ts'

export interface CommitParts {
  readonly store: Pick<Store, 'blobs'>
  readonly graphs: Pick<GraphCatalog, 'add' | 'ensureStored'>
  readonly clock: Clock
  readonly trouble: Trouble
}

export interface CommitOutcome {
  readonly committed: Entry[]
  /** Their event numbers were taken: the state was stale, or somebody else wrote. */
  readonly conflicted: Entry[]
  /** Postgres refuses a value of theirs, whatever else is in the batch. */
  readonly refused: { readonly entry: Entry; readonly error: unknown }[]
}

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 5_000

export async function commit(
  parts: CommitParts,
  session: OwnerSession,
  entries: readonly Entry[],
): Promise<CommitOutcome> {
  const outcome: CommitOutcome = { committed: [], conflicted: [], refused: [] }
  for (const entry of entries) {
    if (entry.blobs.length > 0 || entry.graphs.length > 0) {
      await patiently(parts, session, () => storeBeforehand(parts, entries))
      break
    }
  }
  await append(parts, session, entries, outcome)
  return outcome
}

async function storeBeforehand(
  { store, graphs, clock }: CommitParts,
  entries: readonly Entry[],
): Promise<void> {
  const at = clock.now()
  const puts: Promise<unknown>[] = []
  for (const { blobs, graphs: patched, slot } of entries) {
    for (const { text } of blobs) {
      const bytes = new TextEncoder().encode(text)
      puts.push(store.blobs.put({ workspace: slot.workspace, bytes, contentType: 'application/json', at }))
    }
    for (const graph of patched) puts.push(storeGraph(graphs, graph))
  }
  await Promise.all(puts)
}

async function storeGraph(graphs: CommitParts['graphs'], graph: Graph): Promise<void> {
  await graphs.ensureStored(graph)
  graphs.add(graph)
}

async function append(
  parts: CommitParts,
  session: OwnerSession,
  entries: readonly Entry[],
  outcome: CommitOutcome,
): Promise<void> {
  if (entries.length === 0) return
  try {
    const batch = entries.map((entry) => entry.append as RunAppend)
    await patiently(parts, session, () => session.append(batch))
    outcome.committed.push(...entries)
  } catch (error) {
    if (error instanceof SessionLost) throw error
    if (error instanceof AppendConflict) {
      const blamed = entries.find((entry) => entry.slot.runId === error.runId)
      if (blamed) {
        outcome.conflicted.push(blamed)
        await append(
          parts,
          session,
          entries.filter((entry) => entry !== blamed),
          outcome,
        )
        return
      }
    }
    const [only] = entries
    if (entries.length === 1 && only) {
      outcome.refused.push({ entry: only, error })
      return
    }
    const middle = entries.length >> 1
    await append(parts, session, entries.slice(0, middle), outcome)
    await append(parts, session, entries.slice(middle), outcome)
  }
}

/** Tries until it works, fails for good, or the session is gone. */
async function patiently<T>(
  { clock, trouble }: CommitParts,
  session: OwnerSession,
  work: () => Promise<T>,
): Promise<T> {
  for (let delayMs = FIRST_RETRY_MS; ; delayMs = Math.min(delayMs * 2, MAX_RETRY_MS)) {
    try {
      const result = await work()
      trouble.over('commit')
      return result
    } catch (error) {
      if (!(error instanceof StoreError && error.retryable)) throw error
      trouble.began('commit', error)
      let ended = false
      const sessionEnded = session.ended.then(() => {
        ended = true
      })
      await Promise.race([sessionEnded, pause(clock, delayMs)])
      if (ended)
        throw new SessionLost(
          `the session ended while a commit was waiting to be tried again: ${error.message}`,
        )
    }
  }
}

export const pause = (clock: Clock, delayMs: number): Promise<void> =>
  new Promise((resolve) => {
    clock.after(delayMs, resolve)
  })
