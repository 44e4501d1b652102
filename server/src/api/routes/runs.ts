/** Runs: what there is, what happened, why it is not moving, and the commands. */

import { type Command, explain, type Graph, type RunState, viewRun } from '@weft/engine'
import { announce } from '../announce.ts'
import type { Answer, Call, Handlers } from '../call.ts'
import type { RouteName } from '../contract.ts'
import { ApiError } from '../errors.ts'
import { writeEventStream } from '../event-stream.ts'
import { followRun } from '../follow.ts'
import { isFinishedRow } from '../outcome.ts'
import type { HandlerParts } from '../parts.ts'
import { streamSignal } from '../stream-signal.ts'
import { normaliseValue, storeValue } from '../values.ts'
import { MESSAGE_TTL_MS } from './messages.ts'
import { drawRun } from './run-graph.ts'
import { summaryOf } from './run-shapes.ts'
import { hintsFor } from './why-hints.ts'

type RunRoute =
  | 'listRuns'
  | 'getRun'
  | 'deleteRun'
  | 'runEvents'
  | 'runGraph'
  | 'runWhy'
  | 'cancelRun'
  | 'pauseRun'
  | 'resumeRun'
  | 'retryRun'
  | 'resolveStep'
  | 'recoverRun'
  | 'sendMessage'

export function runHandlers(parts: HandlerParts): Handlers<RunRoute> {
  const { store, reader, clock } = parts

  async function command(
    call: Call<CommandRoute>,
    verb: string,
    make: (commandId: string) => Command | Promise<Command>,
  ): Promise<Answer> {
    const { id } = call.params
    await reader.row(call.principal.workspace, id)
    return parts.sendCommand({
      principal: call.principal,
      runId: id,
      command: make,
      ...(call.idempotencyKey === undefined
        ? {}
        : { idempotency: { key: call.idempotencyKey, route: `POST /runs/${id}/${verb}`, body: call.body } }),
    })
  }

  return {
    listRuns: (call) => listRuns(parts, call),
    async getRun({ principal, params }) {
      const row = await reader.row(principal.workspace, params.id)
      const state = await reader.state(row)
      const view = viewRun(state, await reader.taken(state))
      const { input, output, error, status, waitingFor, graph, versions, seq, warnings, steps, reviews } =
        view
      return {
        status: 200,
        body: {
          ...summaryOf(row),
          graph,
          versions,
          status,
          waitingFor,
          seq,
          error,
          input,
          output,
          warnings,
          steps,
          reviews,
        },
      }
    },
    async deleteRun({ principal, params }) {
      const row = await reader.row(principal.workspace, params.id)
      const { id } = row
      const outcome = await store.runs.delete({ workspace: principal.workspace, id })
      if (outcome !== 'not_finished') return { status: 204 }
      throw ApiError.of(
        'run_not_finished',
        isFinishedRow(row)
          ? `Run ${id} has ended, and a child run of it has not, or a command to one of them is being answered. Try again in a moment; GET /runs?parentId=${id} lists the children.`
          : `Run ${id} is not finished, and only finished runs are deleted. Cancel it first: POST /runs/${id}/cancel (weft cancel ${id}).`,
      )
    },
    runEvents: (call) => runEvents(parts, call),
    async runGraph({ principal, params, query }) {
      const state = await reader.state(await reader.row(principal.workspace, params.id))
      const graph = await graphOf(parts, state, query.version)
      return { status: 200, body: drawRun(state, graph, await reader.taken(state)) }
    },
    async runWhy({ principal, params }) {
      const row = await reader.row(principal.workspace, params.id)
      const state = await reader.state(row)
      const taken = await reader.taken(state)
      const { status, waitingFor } = viewRun(state, taken)
      const tokens = explain(state, clock.now(), taken)
      return {
        status: 200,
        body: {
          id: row.id,
          status,
          waitingFor,
          stuckReason: row.stuckReason,
          tokens,
          hints: await hintsFor(parts, row, state, tokens),
        },
      }
    },
    cancelRun: (call) =>
      command(call, 'cancel', () => ({
        kind: 'cancel',
        ...(call.body?.reason === undefined ? {} : { reason: call.body.reason }),
      })),
    pauseRun: (call) => command(call, 'pause', () => ({ kind: 'pause' })),
    resumeRun: (call) => command(call, 'resume', () => ({ kind: 'resume' })),
    async retryRun(call) {
      const { graph } = await reader.row(call.principal.workspace, call.params.id)
      await parts.admit(call, await parts.graphs.get(graph))
      return command(call, 'retry', () => ({ kind: 'retry' }))
    },
    resolveStep: (call) =>
      command(call, 'resolve', async () => {
        const { key, outcome, output } = call.body
        if (output === undefined) return { kind: 'resolve', key, outcome }
        const stored = await storeValue(
          parts,
          call.principal.workspace,
          normaliseValue(output, 'output'),
          'output',
        )
        return { kind: 'resolve', key, outcome, output: stored }
      }),
    sendMessage: (call) =>
      command(call, 'messages', async (commandId) => {
        const { name, key, ttl, id } = call.body
        const data = await storeValue(
          parts,
          call.principal.workspace,
          normaliseValue(call.body.data ?? null, 'data'),
          'data',
        )
        return {
          kind: 'message',
          messageId: id ?? commandId,
          name,
          ...(key === undefined ? {} : { correlationKey: key }),
          data,
          ttlMs: ttl ?? MESSAGE_TTL_MS,
        }
      }),
    async recoverRun({ principal, params }) {
      const { id } = await reader.row(principal.workspace, params.id)
      const recovered = await store.runs.recover({ workspace: principal.workspace, id })
      if (!recovered)
        throw ApiError.of(
          'command_refused',
          `Run ${id} is not stuck, so there is nothing to recover. GET /runs/${id}/why says what it waits for.`,
        )
      announce(parts, [{ runId: id, signal: { kind: 'look' } }])
      return { status: 200, body: summaryOf(await reader.row(principal.workspace, id)) }
    },
  }
}

async function graphOf(
  { graphs }: HandlerParts,
  state: RunState,
  version: string | undefined,
): Promise<Graph> {
  if (version === undefined || version === state.graph.hash) return state.graph
  if (state.versions.includes(version)) return graphs.get(version)
  throw ApiError.of(
    'invalid_query',
    `Run ${state.id} never had the definition ${version}. It had: ${state.versions.join(', ')}.`,
  )
}

type CommandRoute = Extract<
  RouteName,
  'cancelRun' | 'pauseRun' | 'resumeRun' | 'retryRun' | 'resolveStep' | 'sendMessage'
>

async function listRuns({ store }: HandlerParts, { principal, query }: Call<'listRuns'>): Promise<Answer> {
  const { workspace } = principal
  const { status, workflow, label, parentId, stuck, reference, cursor, limit } = query
  if (reference !== undefined) {
    const { ids } = await store.runs.find({ workspace, reference })
    const rows = await Promise.all(ids.slice(0, limit).map((id) => store.runs.get({ workspace, id })))
    return {
      status: 200,
      body: { items: rows.filter((row) => row !== null).map(summaryOf), nextCursor: null },
    }
  }
  const page = await store.runs.list({
    workspace,
    limit,
    ...(status.length > 0 ? { status } : {}),
    ...(workflow === undefined ? {} : { workflow }),
    ...(Object.keys(label).length > 0 ? { labels: label } : {}),
    ...(parentId === undefined ? {} : { parentId }),
    ...(stuck === undefined ? {} : { stuck: true }),
    ...(cursor === undefined ? {} : { cursor }),
  })
  return { status: 200, body: { items: page.items.map(summaryOf), nextCursor: page.nextCursor } }
}

async function runEvents(parts: HandlerParts, call: Call<'runEvents'>): Promise<Answer> {
  const { workspace } = call.principal
  const row = await parts.reader.row(workspace, call.params.id)
  const accept = String(call.headers.accept ?? '')
  if (!accept.includes('text/event-stream')) {
    const { after, limit } = call.query
    const page = await parts.store.runs.events({ runId: row.id, afterSeq: after, limit })
    const last = page.at(-1)
    const nextCursor = page.length === limit && last ? String(last.seq) : null
    return { status: 200, body: { items: page.map(({ seq, event }) => ({ seq, ...event })), nextCursor } }
  }
  const afterSeq = resumePoint(call)
  // An EventSource connects again after the end; 204 is how it learns that there is nothing to come.
  if (isFinishedRow(row) && afterSeq >= row.seq) return { status: 204 }
  const signal = streamSignal(parts, call)
  return {
    stream: (reply) =>
      writeEventStream(reply, parts, signal, (pace) =>
        followRun(parts, { workspace, runId: row.id, afterSeq, pace, signal }),
      ),
  }
}

function resumePoint(call: Call<'runEvents'>): number {
  const header = call.headers['last-event-id']
  if (header === undefined) return call.query.after
  const seq = Number(header)
  if (Number.isSafeInteger(seq) && seq >= 0) return seq
  throw ApiError.of(
    'invalid_request',
    `The Last-Event-ID header says \`${header}\`, and it must be the number of an event of this run. Leave it out to read the log from its start.`,
  )
}
