/**
 * Commands: a row of the inbox first, then a look, then the coordinator's verdict (R15).
 *
 * Invariant: whatever is answered was durable before. A verdict that does not come in time is answered as 202 with the
 * command's id; the command still counts, once. A process that was started paused waits for none.
 */

import { type Command, isObject, type Json, type Verdict } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'
import type { Transport } from '../transport/transport.ts'
import { announce } from './announce.ts'
import type { Answer, Principal } from './call.ts'
import { ApiError } from './errors.ts'
import { remember } from './idempotency.ts'
import type { Watch } from './watch.ts'

export const VERDICT_DEADLINE_MS = 10_000
const VERDICT_POLL_MS = 250

export interface CommandParts {
  readonly store: Store
  readonly transport: Transport
  readonly clock: Clock
  readonly log: Log
  readonly watch: Watch
  readonly isHeld: () => boolean
}

export interface CommandRequest {
  readonly principal: Principal
  readonly runId: string
  /** Receives the command's id, which is stable under one idempotency key. */
  readonly command: (commandId: string) => Promise<Command> | Command
  readonly idempotency?: { readonly key: string; readonly route: string; readonly body: unknown }
}

export type SendCommand = (request: CommandRequest) => Promise<Answer>

export function createSendCommand(parts: CommandParts): SendCommand {
  return async (request) => {
    const commandId = await commandIdOf(parts, request)
    const command = await request.command(commandId)
    const waiter = verdictWaiter(parts, commandId)
    try {
      const { workspace, actor } = request.principal
      const outcome = await parts.store.inbox.insert({
        id: commandId,
        runId: request.runId,
        actor,
        command,
        workspace,
      })
      if (outcome.kind === 'no_run') throw runNotFound(request.runId)
      if (outcome.kind === 'exists' && outcome.verdict) return answerOf(commandId, outcome.verdict)
      announce(parts, [{ runId: request.runId, signal: { kind: 'look' } }])
      const verdict = parts.isHeld() ? null : await waiter.verdict()
      return verdict ? answerOf(commandId, verdict) : { status: 202, body: { commandId } }
    } finally {
      waiter.close()
    }
  }
}

export const runNotFound = (runId: string): ApiError =>
  ApiError.of(
    'run_not_found',
    `This workspace has no run \`${runId}\`. It may have been deleted, or the id is cut off: list runs with GET /runs (weft runs list).`,
  )

async function commandIdOf(parts: CommandParts, request: CommandRequest): Promise<string> {
  const fresh = parts.clock.id()
  if (!request.idempotency) return fresh
  const keyed = { workspace: request.principal.workspace, ...request.idempotency }
  const answer = await remember(parts.store, parts.clock, keyed, { commandId: fresh })
  return isObject(answer) && typeof answer.commandId === 'string' ? answer.commandId : fresh
}

function answerOf(commandId: string, verdict: Verdict): Answer {
  if (!verdict.accepted) throw ApiError.refused(verdict.code, verdict.message, verdict.detail)
  const body: { [key: string]: Json } = { commandId, accepted: true }
  if (verdict.detail !== undefined) body.detail = verdict.detail
  return { status: 200, body }
}

/** Listens from before the command is inserted; looks at once when told, and every 250 ms, for 10 s at most. */
function verdictWaiter(parts: CommandParts, commandId: string) {
  let told = false
  let wake: () => void = () => {}
  const unsubscribe = parts.watch.command(commandId, () => {
    told = true
    wake()
  })
  const pause = () =>
    new Promise<void>((resolve) => {
      const withdraw = parts.clock.after(VERDICT_POLL_MS, resolve)
      wake = () => {
        withdraw()
        resolve()
      }
    })
  return {
    async verdict(): Promise<Verdict | null> {
      const deadline = parts.clock.monotonic() + VERDICT_DEADLINE_MS
      while (parts.clock.monotonic() < deadline) {
        if (!told) await pause()
        told = false
        const verdict = await parts.store.inbox.verdict(commandId)
        if (verdict) return verdict
      }
      return null
    },
    close: unsubscribe,
  }
}
