/**
 * What must hold between runs: a child and its parent, a failed run and what its failure starts, a fork and its source.
 * Each is begun once, after the commit that it follows from, and is what that commit says.
 */
import { isDeepStrictEqual } from 'node:util'
import {
  type ForkLink,
  failureRunId,
  fold,
  type GraphLookup,
  isObject,
  type RunEvent,
  type RunStarted,
  type RunState,
} from '@weft/engine'
import { Violation } from '../../engine/test/world/violation.ts'
import type { NewRun } from '../../server/src/store/store.ts'
import type { Shadow } from './checks.ts'
import { activityOf } from './delivery.ts'
import type { Occurrences } from './occurrences.ts'
import { keyOf, type Tables } from './store/tables.ts'

export interface KinshipParts {
  readonly tables: Tables
  readonly runs: ReadonlyMap<string, Shadow>
  readonly graphs: GraphLookup
  readonly occurrences: Occurrences
}

export class Kinship {
  readonly #parts: KinshipParts
  /** Who committed what a run follows from, by the id of that run. */
  readonly #owners = new Map<string, string>()
  /** What each fork was asked for with. */
  readonly #reasons = new Set<string>()
  /** Failures at whose commit the workflow that they start was stored, by the id of the run that they start. */
  readonly #answerable = new Set<string>()

  constructor(parts: KinshipParts) {
    this.#parts = parts
  }

  /** @param process whoever begins it */
  begun({ id, workspace, started, copied = [] }: NewRun, process: string): void {
    if (started.forkedFrom) this.#forked(id, started, started.forkedFrom, copied)
    else if (started.parent) this.#child(id, workspace, started, process)
    else if (started.failureOf !== undefined) this.#answered(id, started, process)
  }

  // ---- children --------------------------------------------------------------------------------------------------

  #child(id: string, workspace: string, started: RunStarted, process: string): void {
    const { occurrences, tables } = this.#parts
    const { runId, key, round } = started.parent as NonNullable<RunStarted['parent']>
    const order = this.#parts.runs
      .get(runId)
      ?.log.findLast(
        (event) =>
          event.type === 'step.waiting' &&
          event.key === key &&
          event.round === round &&
          event.wait.kind === 'child' &&
          event.wait.childId === id,
      )
    if (order?.type !== 'step.waiting' || order.wait.kind !== 'child')
      throw new Violation(`R2: child run ${id} began before the log of run ${runId} waits for it`)
    if (!isDeepStrictEqual(started.input, order.wait.input))
      throw new Violation(`child run ${id} began with another input than its parent gave`)
    if (this.#owners.get(id) !== process) occurrences.add('child by a later owner')
    if (order.wait.workflow === undefined) return
    occurrences.add('child of a stored workflow')
    const { name, version } = started.workflow
    const record = tables.workflows.get(keyOf(workspace, order.wait.workflow))
    const graph = record?.versions.find((row) => row.version === version)?.graph
    if (name !== order.wait.workflow || graph !== started.graph)
      throw new Violation(
        `child run ${id} is of ${name}@${version}, which is not stored as ${order.wait.workflow}`,
      )
  }

  // ---- what a failure starts -------------------------------------------------------------------------------------

  #answered(id: string, started: RunStarted, process: string): void {
    const source = this.#parts.runs.get(started.failureOf as string)
    const copied = source?.state.forkedFrom?.copied ?? 0
    const failure = source?.log.find(
      ({ type }, index) =>
        type === 'run.failed' && index >= copied && failureRunId(source.id, index + 1) === id,
    )
    if (!source || failure?.type !== 'run.failed')
      throw new Violation(`R2: run ${id} began before the failure of run ${started.failureOf} was committed`)
    const { graph, parent, failureOf } = source.state
    if (parent || failureOf || graph.definition.onFailure !== started.workflow.name)
      throw new Violation(`run ${id} began for the failure of run ${source.id}, which starts no such run`)
    const code = isObject(started.input) && isObject(started.input.error) ? started.input.error.code : null
    if (code !== failure.error.code)
      throw new Violation(
        `run ${id} was told of ${code}, and run ${source.id} failed of ${failure.error.code}`,
      )
    this.#parts.occurrences.add('run of onFailure')
    if (this.#owners.get(id) !== process) this.#parts.occurrences.add('run of onFailure by a later owner')
  }

  /** Failed runs that are still owed the run that their failure starts. */
  owed(): string[] {
    return this.#failures().flatMap(({ source, startedId }) => {
      const row = this.#parts.tables.runs.get(source)
      return this.#parts.runs.has(startedId) || row?.wakeAt === null ? [] : [source]
    })
  }

  #failures(): { source: string; startedId: string }[] {
    return [...this.#parts.runs.values()].flatMap(({ id, state }) => {
      if (state.phase.kind !== 'failed' || startedBy(state) === undefined) return []
      return [{ source: id, startedId: failureRunId(id, state.phase.seq) }]
    })
  }

  // ---- forks -----------------------------------------------------------------------------------------------------

  #forked(id: string, started: RunStarted, link: ForkLink, copied: readonly RunEvent[]): void {
    const source = this.#parts.runs.get(link.runId)
    if (!source || source.log.length < link.seq)
      throw new Violation(`fork ${id} copies ${link.seq} events of run ${link.runId}, which has fewer`)
    if (link.copied !== copied.length + 1)
      throw new Violation(`fork ${id} says that it copies ${link.copied}`)
    // Each request has a reason of its own, and is repeated under one key.
    if (link.reason !== undefined && this.#reasons.has(link.reason))
      throw new Violation(`R15: the fork "${link.reason}" was begun twice`)
    if (link.reason !== undefined) this.#reasons.add(link.reason)
    const prefix = source.log.slice(0, link.seq)
    checkFirst(id, started, prefix[0] as RunEvent)
    const before = fold(link.runId, prefix, this.#parts.graphs)
    const rest = this.#copies(id, prefix.slice(1), copied, before)
    const [patch, ...more] = rest
    if (patch === undefined) return
    if (patch.type !== 'run.patched' || more.length > 0)
      throw new Violation(`fork ${id} begins with ${rest.map(({ type }) => type)} behind its copy`)
    this.#parts.occurrences.add('fork with a patch')
  }

  /** Every event stands in the copy, but for the waits that were open and the pause that was in force. Answers the rest. */
  #copies(
    id: string,
    events: readonly RunEvent[],
    copied: readonly RunEvent[],
    before: RunState,
  ): readonly RunEvent[] {
    const pause = before.phase.kind === 'paused' ? events.findLast(({ type }) => type === 'run.paused') : null
    const names = new Map<string, string>()
    let next = 0
    for (const event of events) {
      const copy = copied[next]
      const isLeft = event === pause || (event.type === 'step.waiting' && before.waits.has(event.waitId))
      if (isLeft) continue
      if (!copy || !isCopy(event, copy, id, names))
        throw new Violation(`fork ${id}: ${copy?.type} stands where its source has ${event.type}`)
      next++
    }
    return copied.slice(next)
  }

  // ---- what was committed ----------------------------------------------------------------------------------------

  /** Before the event is folded. */
  happens({ id, state }: Shadow, event: RunEvent): void {
    if (event.type !== 'step.completed') return
    const activity = activityOf(state, event.key)
    if (activity?.phase !== 'waiting' || activity.wait.kind !== 'child') return
    const child = this.#parts.runs.get(activity.wait.childId)?.state
    if (child?.phase.kind !== 'completed' || !isDeepStrictEqual(child.phase.output, event.output))
      throw new Violation(`${event.key} of run ${id} ended with what its child run did not yield`)
  }

  /** @param owner whoever committed it */
  happened(shadow: Shadow, event: RunEvent, owner: string): void {
    const { id, state } = shadow
    if (event.type === 'step.waiting' && event.wait.kind === 'child')
      this.#owners.set(event.wait.childId, owner)
    if (event.type !== 'run.failed') return
    const startedId = failureRunId(id, state.seq)
    this.#owners.set(startedId, owner)
    const workflow = startedBy(state)
    if (workflow === undefined) return
    const isStored = [...this.#parts.tables.workflows.keys()].some((key) => JSON.parse(key)[1] === workflow)
    if (isStored) this.#answerable.add(startedId)
  }

  finally(): void {
    const { runs, tables, occurrences } = this.#parts
    for (const { source, startedId } of this.#failures()) {
      if (runs.has(startedId)) continue
      if (this.#answerable.has(startedId))
        throw new Violation(`run ${source} failed, and the run that its failure starts was never begun`)
      occurrences.add('onFailure that names nothing')
    }
    for (const id of tables.inbox.keys()) if (id.includes(':refused:')) occurrences.add('child refused')
  }
}

const startedBy = ({ graph, parent, failureOf }: RunState): string | undefined =>
  parent || failureOf ? undefined : graph.definition.onFailure

function checkFirst(id: string, { parent, ...started }: RunStarted, first: RunEvent): void {
  if (first.type !== 'run.started') throw new Violation(`the source of fork ${id} does not begin`)
  const isSame = (['at', 'graph', 'labels', 'workflow', 'vars', 'item', 'index'] as const).every((name) =>
    isDeepStrictEqual(started[name], first[name]),
  )
  if (!isSame || parent) throw new Violation(`fork ${id} does not begin as its source did`)
}

/** Waits and reviews get names of the fork, each always the same. */
function isCopy(event: RunEvent, copy: RunEvent, forkId: string, names: Map<string, string>): boolean {
  const field = 'waitId' in event ? 'waitId' : 'reviewId' in event ? 'reviewId' : null
  if (field === null) return isDeepStrictEqual(event, copy)
  const { [field]: old, ...rest } = event as never as Record<string, string>
  const { [field]: own, ...same } = copy as never as Record<string, string>
  if (old === undefined || own === undefined) return old === own && isDeepStrictEqual(rest, same)
  const known = names.get(old) ?? own
  names.set(old, known)
  return known === own && own.startsWith(`${forkId}.`) && isDeepStrictEqual(rest, same)
}
