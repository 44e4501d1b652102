/**
 * One command to many runs: each gets a row of its own inbox (R15).
 *
 * Invariant: a command's id follows from the verb, the run and the last event that the caller's page saw. Repeating a
 * call that was cut off, or sending it twice at once, adds nothing; a run that has moved on since takes a new command.
 */

import type { Command } from '@weft/engine'
import { announce } from './announce.ts'
import type { Caller, Principal } from './call.ts'
import type { CommandParts } from './commands.ts'
import type { Admission, RefusedRuns } from './limits.ts'

/** Commands that are stored at the same time: a few of the pool's connections, never all. */
const AT_ONCE = 4

export interface BulkTarget {
  readonly runId: string
  readonly seq: number
  /** The hash of its definition. */
  readonly graph: string
}

export interface BulkRequest {
  readonly principal: Principal
  readonly targets: readonly BulkTarget[]
  readonly command: Extract<Command, { kind: 'cancel' | 'retry' }>
}

export interface Retried {
  /** Runs that got the command now. */
  readonly queued: number
  readonly refused: readonly RefusedRuns[]
}

/** Retries what `WEFT_RATE_LIMITS` has room for, and says what it left as it was. */
export async function retryAll(
  parts: CommandParts & Admission,
  caller: Caller,
  targets: readonly BulkTarget[],
): Promise<Retried> {
  const { admitted, refused } = await parts.admitEach(caller, targets)
  const { principal } = caller
  return {
    queued: await sendToAll(parts, { principal, targets: admitted, command: { kind: 'retry' } }),
    refused,
  }
}

/** Answers how many commands are new; the others were there, or their run is gone. */
export async function sendToAll(parts: CommandParts, request: BulkRequest): Promise<number> {
  const { command, targets, principal } = request
  const queued: string[] = []
  for (let from = 0; from < targets.length; from += AT_ONCE) {
    await Promise.all(
      targets.slice(from, from + AT_ONCE).map(async ({ runId, seq }) => {
        const outcome = await parts.store.inbox.insert({
          id: `bulk:${command.kind}:${runId}:${seq}`,
          runId,
          actor: principal.actor,
          command,
          workspace: principal.workspace,
        })
        if (outcome.kind === 'queued') queued.push(runId)
      }),
    )
  }
  announce(
    parts,
    queued.map((runId) => ({ runId, signal: { kind: 'look' } })),
  )
  return queued.length
}
