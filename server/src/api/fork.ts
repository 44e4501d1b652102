/**
 * A fork: a new run whose log begins as a copy of another one's. The engine says what is copied; this reads the log,
 * checks the input, and makes the whole beginning durable at once.
 */
import {
  type ForkOutcome,
  type ForkPoint,
  forkEvents,
  type Graph,
  type GraphLookup,
  type Json,
  type JsonObject,
  patchFork,
  type RunEvent,
} from '@weft/engine'
import type { RunRow, Store } from '../store/store.ts'
import { announce } from './announce.ts'
import type { Principal } from './call.ts'
import { ApiError } from './errors.ts'
import { bodyHash, keyReused } from './idempotency.ts'
import type { HandlerParts } from './parts.ts'
import { beginDurably, checkInput, type Submission, type Submitted } from './submit.ts'
import { operationsOf, readBlob, storeValue } from './values.ts'

const EVENTS_PER_PAGE = 1000

export interface ForkParts
  extends Pick<HandlerParts, 'transport' | 'clock' | 'log' | 'graphs' | 'nodeTypes'> {
  readonly store: Pick<Store, 'runs' | 'blobs' | 'variables'>
}

export interface ForkRequest {
  readonly principal: Principal
  readonly source: RunRow
  readonly point: ForkPoint
  readonly input?: unknown
  readonly reason?: string
  /** Of a patch that the fork begins with. */
  readonly operations?: unknown
  readonly idempotencyKey?: string
  /** Rejects to refuse a run of this graph; asked before anything is stored. */
  readonly admit: Submission['admit']
}

type Fork = Extract<ForkOutcome, { ok: true }>

export async function forkRun(parts: ForkParts, request: ForkRequest): Promise<Submitted> {
  const { principal, source, point, reason, idempotencyKey } = request
  const { workspace } = principal
  const events = await readLog(parts, source.id)
  const graphs = await graphsOf(parts, events)
  const lookup = (hash: string) => graphs.get(hash) as Graph
  const first = events[0]
  const input =
    request.input === undefined || first?.type !== 'run.started'
      ? undefined
      : await storeValue(parts, workspace, checkInput(lookup(first.graph), request.input), 'input')
  const runId = parts.clock.id()
  const copy = forkEvents(
    source.id,
    events,
    point,
    {
      runId,
      at: parts.clock.now(),
      actor: principal.actor,
      ...(reason === undefined ? {} : { reason }),
      ...(input === undefined ? {} : { input }),
    },
    lookup,
  )
  if (!copy.ok) throw ApiError.of('invalid_fork', `${copy.message} No run was started.`)
  const { fork, graph } =
    request.operations === undefined
      ? { fork: copy, graph: lookup(copy.graph) }
      : await patched(parts, copy, runId, request, lookup)
  await request.admit?.(graph)
  await parts.graphs.ensureStored(graph)
  const route = `POST /runs/${source.id}/fork`
  const outcome = await beginDurably(parts, {
    id: runId,
    workspace,
    workflow: source.workflow,
    version: source.version,
    graph: fork.graph,
    started: fork.started,
    copied: fork.rest,
    ...(idempotencyKey === undefined
      ? {}
      : {
          idempotency: {
            route,
            key: idempotencyKey,
            bodyHash: bodyHash({ point, input: request.input, reason, operations: request.operations }),
          },
        }),
  })
  if (outcome.kind === 'key_reused') throw keyReused(idempotencyKey ?? '', route)
  if (outcome.kind === 'exists' && outcome.runId !== runId) return { id: outcome.runId, created: false }
  announce(parts, [{ runId, signal: { kind: 'look' } }])
  return { id: runId, created: true }
}

/** The patch is judged on the run as the fork begins it; whatever is wrong with it starts no run. */
async function patched(
  parts: ForkParts,
  copy: Fork,
  runId: string,
  { principal: { workspace }, operations: given, reason = 'forked with a patch' }: ForkRequest,
  graphs: GraphLookup,
): Promise<{ fork: Fork; graph: Graph }> {
  const operations = operationsOf(given)
  const blobs = new Map<string, Json>()
  let vars: JsonObject | undefined
  for (;;) {
    const context = { now: parts.clock.now(), types: parts.nodeTypes.current(), blobs }
    const outcome = patchFork(copy, runId, { operations, reason, ...(vars ? { vars } : {}) }, context, graphs)
    if (outcome.kind === 'refused') {
      const { code, message, detail } = outcome.verdict
      throw ApiError.refused(code, `${message} No run was started.`, detail)
    }
    if (outcome.kind === 'needs_blobs') {
      for (const hash of outcome.hashes) blobs.set(hash, await readBlob(parts.store, workspace, hash))
      continue
    }
    const { fork, graph } = outcome
    const names = graph.variables.filter((name) => !Object.hasOwn(fork.started.vars, name))
    if (names.length > 0 && vars === undefined) {
      vars = await parts.store.variables.get({ workspace, names })
      continue
    }
    for (const { text } of outcome.blobs) {
      const at = parts.clock.now()
      await parts.store.blobs.put({
        workspace,
        bytes: Buffer.from(text),
        contentType: 'application/json',
        at,
      })
    }
    return { fork, graph }
  }
}

async function readLog({ store }: ForkParts, runId: string): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for (;;) {
    const page = await store.runs.events({ runId, afterSeq: events.length, limit: EVENTS_PER_PAGE })
    for (const { event } of page) events.push(event)
    if (page.length < EVENTS_PER_PAGE) return events
  }
}

async function graphsOf(parts: ForkParts, events: readonly RunEvent[]): Promise<Map<string, Graph>> {
  const graphs = new Map<string, Graph>()
  for (const event of events) {
    const hash =
      event.type === 'run.started' ? event.graph : event.type === 'run.patched' ? event.after : null
    if (hash !== null && !graphs.has(hash)) graphs.set(hash, await parts.graphs.get(hash))
  }
  return graphs
}
