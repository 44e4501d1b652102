/**
 * Runs that follow from other runs: children, begun, retried and cancelled on behalf of their parent, and what a failed
 * run starts (`onFailure`).
 *
 * 1. A child's id follows from (parent, step key, round), and so do the ids of the commands it gets: doing any of this
 *    twice does it once (R5).
 * 2. What keeps a child from being begun is an answer that the parent is owed: it becomes a row of the parent's inbox,
 *    as a child's own end does (R15).
 */
import {
  checkAgainstSchema,
  type Effect,
  type Graph,
  INLINE_LIMIT,
  isBlobRef,
  type Json,
  type JsonObject,
  type RunState,
  type StepError,
} from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { GraphCatalog } from '../graphs.ts'
import type { Log } from '../log.ts'
import type { NewRun, Store } from '../store/store.ts'
import type { BegunSignal } from '../transport/transport.ts'
import type { OwedEffect } from './slot.ts'

export const MAX_NESTING = 8

type ChildEffect = Extract<Effect, { kind: 'child' }>
type FailureEffect = Extract<Effect, { kind: 'on_failure' }>

export interface ChildrenParts {
  readonly store: Pick<Store, 'runs' | 'inbox' | 'workflows' | 'variables' | 'blobs'>
  readonly graphs: Pick<GraphCatalog, 'get' | 'ensureStored' | 'add'>
  readonly clock: Clock
  readonly log: Log
  /** A blob as JSON. */
  readonly blob: (workspace: string, hash: string) => Promise<Json>
  readonly begun: (childId: string, signal: BegunSignal) => void
  /** Something stands in the inbox of this run. */
  readonly look: (runId: string) => void
}

/** Why a run begins that nobody submitted. */
type Origin = Partial<Pick<BegunSignal['started'], 'parent' | 'item' | 'index' | 'failureOf'>>

interface Target {
  readonly graph: Graph
  readonly name: string
  readonly version: number | null
  /** Of the definition as it was stored: a graph is shared by all that differ in labels alone. */
  readonly labels: Readonly<Record<string, string>>
}

class ChildRefused extends Error {
  readonly error: StepError
  constructor(code: string, message: string) {
    super(message)
    this.error = { code, message, retryable: false }
  }
}

export class Children {
  readonly #parts: ChildrenParts

  constructor(parts: ChildrenParts) {
    this.#parts = parts
  }

  async begin(workspace: string, effect: ChildEffect, { state, body }: OwedEffect): Promise<void> {
    try {
      const target = await this.#target(workspace, effect, body)
      await this.#begin(workspace, effect, state, target)
    } catch (error) {
      if (!(error instanceof ChildRefused)) throw error
      await this.#refuse(workspace, effect, state, error.error)
    }
  }

  /** Begins the run that `onFailure` names. What keeps it from beginning would keep it the next time, too: it is said. */
  async beginOnFailure(workspace: string, effect: FailureEffect, { state }: OwedEffect): Promise<void> {
    try {
      const target = await this.#target(workspace, { node: '', workflow: effect.workflow }, null)
      const { runId, input } = effect
      await this.#start(workspace, runId, target, state, {
        input,
        captured: {},
        more: { failureOf: state.id },
      })
    } catch (error) {
      if (!(error instanceof ChildRefused)) throw error
      this.#parts.log.warn(
        { runId: state.id, workflow: effect.workflow, code: error.error.code },
        `onFailure of a failed run starts nothing: ${error.message}`,
      )
    }
  }

  async cancel(workspace: string, childId: string, { state, occasion }: OwedEffect): Promise<void> {
    const outcome = await this.#parts.store.inbox.insert({
      id: `${childId}:cancel:${occasion}`,
      runId: childId,
      actor: actorOf(state),
      command: { kind: 'cancel', reason: `parent run ${state.id} stops` },
      workspace,
    })
    if (outcome.kind === 'queued') this.#parts.look(childId)
  }

  async #target(
    workspace: string,
    effect: Pick<ChildEffect, 'node' | 'workflow'>,
    body: Graph | null,
  ): Promise<Target> {
    if (effect.workflow === undefined) {
      if (!body)
        throw new ChildRefused(
          'unknown_workflow',
          `Step \`${effect.node}\` has no body that could run as a child.`,
        )
      return { graph: body, name: body.definition.name, version: null, labels: {} }
    }
    const stored = await this.#parts.store.workflows.get({ workspace, reference: effect.workflow })
    if (!stored) {
      throw new ChildRefused(
        'unknown_workflow',
        `There is no workflow \`${effect.workflow}\` in this workspace. Push it, then retry the run.`,
      )
    }
    const { name, version } = stored
    const labels = (stored.definition as { labels?: Record<string, string> }).labels ?? {}
    return { graph: await this.#parts.graphs.get(stored.graph), name, version, labels }
  }

  async #begin(workspace: string, effect: ChildEffect, parent: RunState, target: Target): Promise<void> {
    const depth = (parent.parent?.depth ?? 0) + 1
    if (depth > MAX_NESTING) {
      throw new ChildRefused(
        'nesting_too_deep',
        `Child runs nest at most ${MAX_NESTING} deep, and this one would be number ${depth}. Does the workflow start itself?`,
      )
    }
    const link = {
      runId: parent.id,
      key: effect.key,
      round: effect.round,
      rootId: parent.parent?.rootId ?? parent.id,
      depth,
    }
    const hasBegun = await this.#start(workspace, effect.childId, target, parent, {
      input: effect.input,
      captured: parent.vars,
      more: { parent: link, ...(await this.#item(workspace, effect)) },
    })
    if (!hasBegun && effect.attempt > 1) await this.#retry(workspace, effect, parent)
  }

  /** Begins a run on behalf of another one; `false`: it had begun before. */
  async #start(
    workspace: string,
    id: string,
    { graph, name, version, labels }: Target,
    from: RunState,
    { input, captured, more }: { input: Json; captured: JsonObject; more: Origin },
  ): Promise<boolean> {
    const { store, graphs, clock, begun } = this.#parts
    await graphs.ensureStored(graph)
    const started: BegunSignal['started'] = {
      type: 'run.started',
      at: clock.now(),
      graph: graph.hash,
      input: await this.#input(workspace, input, graph),
      labels: { ...labels, ...from.labels },
      workflow: { name, version },
      vars: await this.#variables(workspace, graph, captured),
      actor: actorOf(from),
      ...more,
    }
    const run: NewRun = { id, workspace, workflow: name, version, graph: graph.hash, started }
    const outcome = await store.runs.begin(run)
    if (outcome.kind !== 'begun') return false
    graphs.add(graph)
    begun(id, { kind: 'begun', workspace, started })
    return true
  }

  async #retry(workspace: string, effect: ChildEffect, parent: RunState): Promise<void> {
    const outcome = await this.#parts.store.inbox.insert({
      id: `${effect.childId}:retry:${effect.attempt}`,
      runId: effect.childId,
      actor: actorOf(parent),
      command: { kind: 'retry' },
      workspace,
    })
    if (outcome.kind === 'queued') this.#parts.look(effect.childId)
  }

  async #refuse(workspace: string, effect: ChildEffect, parent: RunState, error: StepError): Promise<void> {
    await this.#parts.store.inbox.insert({
      id: `${effect.childId}:refused:${effect.attempt}`,
      runId: parent.id,
      actor: 'engine',
      command: {
        kind: 'child_finished',
        childId: effect.childId,
        key: effect.key,
        round: effect.round,
        outcome: 'failed',
        error,
      },
      workspace,
    })
    this.#parts.look(parent.id)
  }

  async #input(workspace: string, given: Json, graph: Graph): Promise<Json> {
    const schema = graph.definition.input
    if (!schema) return isBlobRef(given) ? given : this.#offload(workspace, given)
    const input = isBlobRef(given) ? await this.#parts.blob(workspace, given.$blob) : given
    const checked = checkAgainstSchema(schema, input)
    if (checked.ok) return this.#offload(workspace, checked.value)
    const problems = checked.problems
      .map(({ pointer, message }) => `${pointer || '/'}: ${message}`)
      .join('; ')
    throw new ChildRefused(
      'invalid_input',
      `The input of the new run does not match the schema of workflow \`${graph.definition.name}\`: ${problems}`,
    )
  }

  async #item(workspace: string, { item, index }: ChildEffect): Promise<{ item?: Json; index?: number }> {
    if (!item) return {}
    const value = await itemValue(item, (hash) => this.#parts.blob(workspace, hash))
    return { item: await this.#offload(workspace, value), ...(index === undefined ? {} : { index }) }
  }

  async #variables(workspace: string, graph: Graph, known: JsonObject): Promise<JsonObject> {
    const captured = graph.variables.filter((name) => Object.hasOwn(known, name))
    const names = graph.variables.filter((name) => !Object.hasOwn(known, name))
    const own: JsonObject = Object.fromEntries(captured.map((name) => [name, known[name] as Json]))
    return names.length === 0
      ? own
      : { ...own, ...(await this.#parts.store.variables.get({ workspace, names })) }
  }

  async #offload(workspace: string, value: Json): Promise<Json> {
    const text = JSON.stringify(value)
    if (text.length <= INLINE_LIMIT) return value
    const bytes = new TextEncoder().encode(text)
    const at = this.#parts.clock.now()
    return {
      ...(await this.#parts.store.blobs.put({ workspace, bytes, contentType: 'application/json', at })),
    }
  }
}

const actorOf = (parent: RunState): string => `run:${parent.id}`

/** An element of a list that may lie in a blob. */
export async function itemValue(
  item: NonNullable<ChildEffect['item']>,
  blob: (hash: string) => Promise<Json>,
): Promise<Json> {
  if ('value' in item) return item.value
  const list = await blob(item.blob)
  return Array.isArray(list) ? (list[item.index] ?? null) : null
}
