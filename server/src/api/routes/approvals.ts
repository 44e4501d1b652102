/** Approvals: what waits for a person, and the decision. */
import { type Command, checkAgainstSchema, type Json } from '@weft/engine'
import type { ApprovalRow } from '../../store/store.ts'
import type { Call, Handlers } from '../call.ts'
import { ApiError, summarise } from '../errors.ts'
import { recall } from '../idempotency.ts'
import type { HandlerParts } from '../parts.ts'
import { normaliseValue, readOperations, storeValue } from '../values.ts'

/** The coordinator checks the form again and reads the data for it, so that it must not lie in a blob. */
const MAX_FORM_DATA_BYTES = 256 * 1024

export function approvalHandlers(
  parts: HandlerParts,
): Handlers<'listApprovals' | 'getApproval' | 'decideApproval'> {
  return {
    async listApprovals({ principal, query }) {
      const page = await parts.store.approvals.list({ workspace: principal.workspace, ...query })
      return { status: 200, body: { items: page.items.map(viewOf), nextCursor: page.nextCursor } }
    },
    async getApproval({ principal, params }) {
      const approval = viewOf(await find(parts, principal.workspace, params.id))
      if (!approval.patch) return { status: 200, body: approval }
      const operations = await readOperations(
        parts.store,
        principal.workspace,
        approval.patch.operations ?? null,
      )
      return { status: 200, body: { ...approval, patch: { ...approval.patch, operations } } }
    },
    async decideApproval(call) {
      const { principal, params } = call
      const approval = await find(parts, principal.workspace, params.id)
      const route = `POST /approvals/${approval.id}/decide`
      const keyed =
        call.idempotencyKey === undefined ? null : { route, key: call.idempotencyKey, body: call.body }
      const isRepeat =
        keyed !== null &&
        (await recall(parts.store, { workspace: principal.workspace, ...keyed })) !== undefined
      if (!isRepeat) refuseUnlessOpen(approval)
      return parts.sendCommand({
        principal,
        runId: approval.runId,
        command: () => decisionOf(parts, call, approval),
        ...(keyed ? { idempotency: keyed } : {}),
      })
    },
  }
}

async function find({ store }: HandlerParts, workspace: string, id: string): Promise<ApprovalRow> {
  const approval = await store.approvals.get({ workspace, id })
  if (approval) return approval
  throw ApiError.of(
    'approval_not_found',
    `This workspace has no approval \`${id}\`. List the open ones with GET /approvals?status=open (weft approvals list).`,
  )
}

function viewOf({ workspace: _, ...approval }: ApprovalRow) {
  return approval
}

/** The coordinator's verdict decides; this only answers the plain case without a round trip. */
function refuseUnlessOpen({ id, status, actor, closedAt }: ApprovalRow): void {
  switch (status) {
    case 'open':
      return
    case 'superseded':
      throw ApiError.of(
        'superseded',
        `Approval ${id} was replaced when its run was retried. List the open ones with GET /approvals?status=open and decide the new one.`,
      )
    case 'approved':
    case 'rejected':
      if (actor !== null) {
        throw ApiError.of(
          'already_decided',
          `${actor} has decided approval ${id} already: ${status}. A decision cannot be taken back.`,
          {
            details: { outcome: status, by: actor, at: closedAt },
          },
        )
      }
      throw ApiError.of(
        'approval_closed',
        `Approval ${id} was ${status} when its time ran out; nobody decided it.`,
      )
    case 'refused':
      throw ApiError.of(
        'already_decided',
        `${actor} has approved the patch of approval ${id} already, and the run could not take it by then. Send the patch again if it is still wanted.`,
        { details: { outcome: status, by: actor, at: closedAt } },
      )
    case 'timeout':
      throw ApiError.of('approval_closed', `The time of approval ${id} ran out before anybody decided it.`)
    case 'closed':
      throw ApiError.of(
        'approval_closed',
        `Approval ${id} was closed because its run ended, or went on without it.`,
      )
  }
}

async function decisionOf(
  parts: HandlerParts,
  call: Call<'decideApproval'>,
  approval: ApprovalRow,
): Promise<Command> {
  const { decision, comment } = call.body
  if (approval.patch && call.body.data !== undefined) {
    throw ApiError.of(
      'invalid_request',
      `Approval ${approval.id} is about a patch, which takes no \`data\`: approve or reject it, with a \`comment\` if you like. Nothing was decided.`,
    )
  }
  const given = call.body.data === undefined ? undefined : normaliseValue(call.body.data, 'data')
  const checked = decision === 'approve' && approval.form ? checkForm(approval, given ?? {}) : given
  const data =
    checked === undefined || approval.form
      ? checked
      : await storeValue(parts, call.principal.workspace, checked, 'data')
  return {
    kind: 'decide',
    waitId: approval.id,
    decision,
    ...(comment === undefined ? {} : { comment }),
    ...(data === undefined ? {} : { data }),
  }
}

function checkForm({ id, form }: ApprovalRow, data: Json): Json {
  const bytes = Buffer.byteLength(JSON.stringify(data))
  if (bytes > MAX_FORM_DATA_BYTES) {
    throw ApiError.of(
      'value_too_large',
      `The data for the form of approval ${id} is ${bytes} bytes; at most ${MAX_FORM_DATA_BYTES} are taken. Send a reference to the rest.`,
    )
  }
  const checked = checkAgainstSchema(form ?? {}, data)
  if (checked.ok) return checked.value
  const problems = checked.problems.map((problem) => ({ ...problem, pointer: `/data${problem.pointer}` }))
  throw ApiError.of(
    'invalid_form',
    `${summarise(problems, 'The data')} Nothing was decided; the form stands under \`form\` of GET /approvals/${id}.`,
    { problems },
  )
}
