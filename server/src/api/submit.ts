/**
 * The way of a run into the store: resolve, check, make durable, tell the owner. Also called in process.
 *
 * Invariants: an id is answered only once the run is durable, and a run that is durable is never answered as refused;
 * when the outcome of the commit is unknown, the same id is begun again, which is either a no-op or the commit (R15).
 */

import { checkAgainstSchema, type Graph, type Json, type JsonObject, type RunEvent } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { GraphCatalog } from '../graphs.ts'
import type { Log } from '../log.ts'
import type { BeginOutcome, NewRun, Store } from '../store/store.ts'
import type { Transport } from '../transport/transport.ts'
import { announce } from './announce.ts'
import type { Definitions, Document } from './definitions.ts'
import { ApiError, summarise } from './errors.ts'
import { bodyHash, keyReused } from './idempotency.ts'
import { storeFailure } from './store-failure.ts'
import { normaliseValue, storeValue } from './values.ts'

export interface Submission {
  readonly workspace: string
  readonly actor: string
  readonly what: { readonly workflow: string } | Document
  readonly input?: unknown
  readonly labels?: Readonly<Record<string, string>>
  readonly idempotency?: { readonly key: string; readonly route: string }
  /** Rejects to refuse a run of this graph; asked before anything is stored. */
  readonly admit?: (graph: Graph) => Promise<void> | undefined
}

export interface Submitted {
  readonly id: string
  /** False: an earlier request with the same idempotency key began it. */
  readonly created: boolean
}

export interface SubmitParts {
  readonly store: Pick<Store, 'runs' | 'blobs' | 'variables'>
  readonly transport: Transport
  readonly clock: Clock
  readonly log: Log
  readonly graphs: GraphCatalog
  readonly definitions: Definitions
}

export type Submit = (submission: Submission, runId?: string) => Promise<Submitted>

const BEGIN_RETRY_DELAYS_MS = [50, 250, 1000]

export function createSubmit(parts: SubmitParts): Submit {
  return async (submission, runId = parts.clock.id()) => {
    const { workspace, what } = submission
    const target =
      'workflow' in what ? await parts.definitions.stored(workspace, what.workflow) : inline(parts, what)
    const { graph } = target
    const input = checkInput(graph, submission.input)
    const admission = submission.admit?.(graph)
    if (admission) await admission
    await parts.graphs.ensureStored(graph)
    const started: Extract<RunEvent, { type: 'run.started' }> = {
      type: 'run.started',
      at: parts.clock.now(),
      graph: graph.hash,
      input: await storeValue(parts, workspace, input, 'input'),
      labels: { ...target.labels, ...submission.labels },
      workflow: { name: target.name, version: target.version },
      vars: await captureVariables(parts.store, workspace, graph),
      actor: submission.actor,
    }
    const run: NewRun = {
      id: runId,
      workspace,
      workflow: target.name,
      version: target.version,
      graph: graph.hash,
      started,
      ...(submission.idempotency && {
        idempotency: {
          ...submission.idempotency,
          bodyHash: bodyHash({ what, input: submission.input, labels: submission.labels }),
        },
      }),
    }
    const outcome = await beginDurably(parts, run)
    if (outcome.kind === 'key_reused') {
      throw keyReused(submission.idempotency?.key ?? '', submission.idempotency?.route ?? '')
    }
    if (outcome.kind === 'exists' && outcome.runId !== runId) return { id: outcome.runId, created: false }
    // The owner finds the run by its wake time if this is lost: it hurries, nothing more (R6).
    announce(parts, [{ runId, signal: { kind: 'begun', workspace, started } }])
    return { id: runId, created: true }
  }
}

function inline(parts: SubmitParts, document: Document) {
  const { graph, definition } = parts.definitions.compile(document)
  return { name: definition.name, version: null, graph, labels: definition.labels ?? {} }
}

export function checkInput(graph: Graph, given: unknown): Json {
  const input = given === undefined ? {} : normaliseValue(given, 'input')
  const schema = graph.definition.input
  if (!schema) return input
  const checked = checkAgainstSchema(schema, input)
  if (checked.ok) return checked.value
  const problems = checked.problems.map((problem) => ({ ...problem, pointer: `/input${problem.pointer}` }))
  throw ApiError.of(
    'invalid_input',
    `${summarise(problems, 'The input')} No run was started. The schema stands under \`input\` of workflow \`${graph.definition.name}\`.`,
    { problems },
  )
}

async function captureVariables(
  store: SubmitParts['store'],
  workspace: string,
  graph: Graph,
): Promise<JsonObject> {
  return graph.variables.length === 0 ? {} : store.variables.get({ workspace, names: graph.variables })
}

/** `begin` by id does nothing the second time, so repeating it settles an unknown outcome either way. */
export async function beginDurably(
  parts: { readonly store: Pick<Store, 'runs'>; readonly clock: Clock },
  run: NewRun,
): Promise<BeginOutcome> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await parts.store.runs.begin(run)
    } catch (error) {
      const failure = storeFailure(error)
      if (!failure.outcomeUnknown) throw failure.error
      const delayMs = BEGIN_RETRY_DELAYS_MS[attempt]
      if (delayMs === undefined) {
        const next = run.idempotency
          ? 'Send the request again under the same Idempotency-Key once it is back: it makes one run, however often it is sent.'
          : `Ask GET /runs/${run.id} once it is back: 404 means that the run does not exist and may be submitted again.`
        throw ApiError.of(
          'outcome_unknown',
          `The database went away while run ${run.id} was being stored. ${next}`,
          { details: { id: run.id }, headers: { 'retry-after': '5' }, cause: error },
        )
      }
      await new Promise<void>((resolve) => void parts.clock.after(delayMs, resolve))
    }
  }
}
