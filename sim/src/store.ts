/**
 * The store's twin: the verbs of `server/src/store/store.ts` that runs pass through, on maps, in one thread, each in one
 * step. It passes the same conformance suite as PostgreSQL, so that what the simulator finds is true of the product. It
 * is a means of the tests and never a mode of the product.
 */
import type { Clock } from '../../server/src/clock.ts'
import type { RunStore } from '../../server/src/store/store.ts'
import { openCoordinators } from './store/coordinators.ts'
import { openMessages } from './store/messages.ts'
import {
  openApprovals,
  openBlobs,
  openGraphs,
  openIdempotency,
  openInbox,
  openRecords,
  openVariables,
  openWorkflows,
} from './store/nouns.ts'
import { openOwner, type TwinSession } from './store/owner.ts'
import { openRuns } from './store/runs.ts'
import type { Tables } from './store/tables.ts'

export interface TwinStore extends RunStore {
  openOwner(name: string): Promise<TwinSession>
}

/** @param databaseClock of the database's machine; by default the caller's */
export function twinStore(
  tables: Tables,
  clock: Pick<Clock, 'now'>,
  databaseClock: Pick<Clock, 'now'> = clock,
): TwinStore {
  return {
    runs: openRuns(tables, clock),
    inbox: openInbox(tables, clock),
    messages: openMessages(tables, clock),
    graphs: openGraphs(tables),
    workflows: openWorkflows(tables),
    approvals: openApprovals(tables),
    blobs: openBlobs(tables),
    records: openRecords(tables),
    variables: openVariables(tables),
    idempotency: openIdempotency(tables),
    coordinators: openCoordinators(tables, databaseClock),
    openOwner: async (name) => openOwner(tables, clock, name),
  }
}
