/** `POST /runs/{id}/fork`: a new run that goes on from where another one stood. */

import { requireRole } from '../auth.ts'
import type { Handlers } from '../call.ts'
import { ApiError } from '../errors.ts'
import { forkRun } from '../fork.ts'
import type { HandlerParts } from '../parts.ts'
import { outcomeOf } from './run-shapes.ts'

export function forkHandlers(parts: HandlerParts): Handlers<'forkRun'> {
  return {
    async forkRun(call) {
      const { principal, params, body, idempotencyKey } = call
      const { atSeq, fromStep, input, reason, operations } = body
      if ((atSeq === undefined) === (fromStep === undefined)) {
        throw ApiError.of(
          'invalid_request',
          'The body must say where the fork begins, by exactly one of `atSeq` (an event’s number) and `fromStep` (a step that was reached). No run was started.',
        )
      }
      if (operations !== undefined) requireRole(principal, 'editor', 'A fork with a patch')
      const source = await parts.reader.row(principal.workspace, params.id)
      const { id, created } = await forkRun(parts, {
        principal,
        source,
        point: atSeq === undefined ? { fromStep: fromStep as string } : { atSeq },
        input,
        admit: (graph) => parts.admit(call, graph),
        ...(reason === undefined ? {} : { reason }),
        ...(operations === undefined ? {} : { operations }),
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      })
      if (created)
        return { status: 202, body: { id, status: 'queued' }, headers: { location: `/api/v1/runs/${id}` } }
      return { status: 200, body: outcomeOf(await parts.reader.row(principal.workspace, id)) }
    },
  }
}
