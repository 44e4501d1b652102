/**
 * Patches of a run: sent to it as a command, tried without one (`dryRun`), and listed from its log.
 *
 * The coordinator's verdict is the answer: what is checked here only says which variables the patched graph reads, since
 * their values are captured with the patch, as those of the base were when the run began.
 */
import { type Command, checkPatch, type Json, type JsonObject, type RunEvent } from '@weft/engine'
import type { RunRow } from '../../store/store.ts'
import type { Answer, Call, Handlers } from '../call.ts'
import { ApiError } from '../errors.ts'
import type { HandlerParts } from '../parts.ts'
import { operationsOf, readOperations } from '../values.ts'

export function patchHandlers(parts: HandlerParts): Handlers<'patchRun' | 'listPatches'> {
  const { reader, store } = parts
  return {
    async patchRun(call) {
      const row = await reader.row(call.principal.workspace, call.params.id)
      const operations = operationsOf(call.body.operations)
      if (call.body.dryRun === true) return tryPatch(parts, row, call, operations)
      return parts.sendCommand({
        principal: call.principal,
        runId: row.id,
        command: () => commandOf(parts, row, call, operations),
        ...(call.idempotencyKey === undefined
          ? {}
          : {
              idempotency: {
                key: call.idempotencyKey,
                route: `POST /runs/${row.id}/patches`,
                body: call.body,
              },
            }),
      })
    },
    async listPatches({ principal, params, query }) {
      const row = await reader.row(principal.workspace, params.id)
      const { after, limit } = query
      const page = await store.runs.events({ runId: row.id, afterSeq: after, limit, type: 'run.patched' })
      const last = page.at(-1)
      const items = []
      for (const { seq, event } of page) {
        if (event.type !== 'run.patched') continue
        items.push({
          seq,
          ...shown(event, await readOperations(store, principal.workspace, event.operations)),
        })
      }
      return {
        status: 200,
        body: {
          items,
          nextCursor: page.length === limit && last ? String(last.seq) : null,
        },
      }
    },
  }
}

async function tryPatch(
  { reader, nodeTypes }: HandlerParts,
  row: RunRow,
  { body }: Call<'patchRun'>,
  operations: Json,
): Promise<Answer> {
  const state = await reader.state(row)
  const checked = checkPatch(state, { operations, ...baseOf(body) }, nodeTypes.current())
  if (!checked.ok) {
    const { code, message, detail } = checked.verdict
    throw ApiError.refused(code, message, detail)
  }
  return {
    status: 200,
    body: {
      dryRun: true,
      before: state.graph.hash,
      version: checked.graph.hash,
      preview: checked.preview,
      because: checked.reviewedFor,
      warnings: checked.warnings,
      definition: checked.definition,
    },
  }
}

async function commandOf(
  parts: HandlerParts,
  row: RunRow,
  { body, principal }: Call<'patchRun'>,
  operations: Json,
): Promise<Command> {
  const vars = await newVariables(parts, principal.workspace, row, operations)
  return {
    kind: 'patch',
    operations,
    reason: body.reason,
    ...baseOf(body),
    ...(vars === null ? {} : { vars }),
  }
}

const baseOf = ({ baseVersion }: Call<'patchRun'>['body']) =>
  baseVersion === undefined ? {} : { baseVersion }

/** Values of the variables that the run reads only with this patch; `null` for none. */
async function newVariables(
  { reader, store, nodeTypes }: HandlerParts,
  workspace: string,
  row: RunRow,
  operations: Json,
): Promise<JsonObject | null> {
  const state = await reader.state(row)
  const checked = checkPatch(state, { operations }, nodeTypes.current())
  if (!checked.ok) return null
  const names = checked.graph.variables.filter((name) => !Object.hasOwn(state.vars, name))
  return names.length === 0 ? null : store.variables.get({ workspace, names })
}

const shown = (event: Extract<RunEvent, { type: 'run.patched' }>, operations: Json) => {
  const { at, actor, reason, before, after, by = 'api', stepKey = null, approvedBy = null } = event
  return { at, actor, reason, operations, before, after, by, stepKey, approvedBy }
}
