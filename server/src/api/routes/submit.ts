/** `POST /runs` and `POST /orchestrate`: the hot way in. */
import type { Json } from '@weft/engine'
import type { RunRow } from '../../store/store.ts'
import { requireRole } from '../auth.ts'
import type { Answer, Call, Handlers } from '../call.ts'
import { ApiError } from '../errors.ts'
import { isFinishedRow } from '../outcome.ts'
import type { HandlerParts } from '../parts.ts'
import type { SubmitBody } from '../schemas.ts'
import type { Submission } from '../submit.ts'
import { outcomeOf } from './run-shapes.ts'

export function submitHandlers(parts: HandlerParts): Handlers<'submitRun' | 'orchestrate'> {
  return {
    submitRun(call) {
      const what = whatToRun(call.body)
      if (!('workflow' in what))
        requireRole(call.principal, 'editor', 'Running a definition that is not stored')
      return submit(parts, call, 'POST /runs', what)
    },
    orchestrate(call) {
      const what = whatToRun(call.body)
      if (!('workflow' in what)) return submit(parts, call, 'POST /orchestrate', what)
      throw ApiError.of(
        'invalid_request',
        'POST /orchestrate runs a definition that comes along, under `definition` or `source`. To run a stored workflow send the same body to POST /runs.',
      )
    },
  }
}

function whatToRun(body: SubmitBody): Submission['what'] {
  const { workflow, definition, source } = body
  const given = [workflow, definition, source].filter((value) => value !== undefined)
  if (given.length !== 1) {
    const found = given.length === 0 ? 'none of them is there' : `${given.length} of them are there`
    throw ApiError.of(
      'invalid_request',
      `The body must name what to run by exactly one of \`workflow\` (stored), \`definition\` (JSON) and \`source\` (YAML or JSON text); ${found}. No run was started.`,
    )
  }
  if (workflow !== undefined) return { workflow }
  if (source !== undefined) return { source }
  return { definition: definition as Json }
}

async function submit(
  parts: HandlerParts,
  call: Call<'submitRun'> | Call<'orchestrate'>,
  route: string,
  what: Submission['what'],
): Promise<Answer> {
  const { principal, body } = call
  const key = call.idempotencyKey ?? body.idempotencyKey
  const submission: Submission = {
    workspace: principal.workspace,
    actor: principal.actor,
    what,
    input: body.input,
    labels: body.labels,
    admit: (graph) => parts.admit(call, graph),
    ...(key === undefined ? {} : { idempotency: { key, route } }),
  }
  const waitMs = call.query.wait
  if (waitMs === undefined) {
    const { id, created } = await parts.submit(submission)
    if (created)
      return { status: 202, body: { id, status: 'queued' }, headers: { location: `/api/v1/runs/${id}` } }
    const row = await parts.reader.row(principal.workspace, id)
    return { status: 200, body: outcomeOf(row) }
  }
  const id = parts.clock.id()
  const request = { workspace: principal.workspace, id, waitMs, gone: call.gone() }
  const { result, row } = await parts.outcomes.after(request, () => parts.submit(submission, id))
  const current = row ?? (await parts.reader.row(principal.workspace, result.id))
  return {
    status: statusOf(current),
    body: outcomeOf(current),
    headers: { location: `/api/v1/runs/${result.id}` },
  }
}

const statusOf = (row: RunRow): number => (isFinishedRow(row) ? 200 : 202)
