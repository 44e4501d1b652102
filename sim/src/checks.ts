/**
 * What must hold, looked at whenever something was committed, a step is called, or a decision is made. It keeps, beside
 * the database, the state of every run as its committed events make it.
 */
import { isDeepStrictEqual } from 'node:util'
import {
  compile,
  type Definition,
  evolve,
  explain,
  fold,
  type Graph,
  isFinished,
  type Json,
  type NodeTypes,
  nextWake,
  owesWork,
  parseKey,
  type RunEvent,
  type RunState,
  start,
  statusOf,
} from '@weft/engine'
import type { Random } from '../../engine/test/world/random.ts'
import { checkReviews, followReview, type Open, openReviews } from '../../engine/test/world/reviews.ts'
import { Violation } from '../../engine/test/world/violation.ts'
import { ENGINE, type Engine } from '../../server/src/coordinator/engine.ts'
import type { NodeContext } from '../../server/src/nodes/node-type.ts'
import type { NewRun, RunAppend } from '../../server/src/store/store.ts'
import { Delivery } from './delivery.ts'
import { Kinship } from './kinship.ts'
import { type Occurrence, Occurrences } from './occurrences.ts'
import { parse, type Tables } from './store/tables.ts'
import type { VirtualTime } from './time.ts'

export interface Shadow {
  readonly id: string
  readonly state: RunState
  readonly log: RunEvent[]
  /** Settled for ever: `<key>/<round>` of completed steps, and when that was committed. */
  readonly completed: Map<string, number>
  /** The highest attempt of `<key>/<round>` that has ended. */
  readonly ended: Map<string, number>
  /** Open reviews, with what they hold. */
  readonly reviews: Open
}

export interface ChecksParts {
  readonly tables: Tables
  readonly types: NodeTypes
  readonly time: VirtualTime
  readonly random: Random
  readonly isCalm: boolean
  /** The world ends with this. */
  readonly fail: (error: unknown) => void
}

/** Reasons for which a run is rightly set aside when processes die and sessions break often enough (R16). */
const FORGIVEN = /was handed out \d+ times|the session with the database broke each time/

/** The longest that a call takes which nothing delays. */
const ROUND_TRIP_MS = 10

export class Checks {
  readonly runs = new Map<string, Shadow>()
  readonly occurrences = new Occurrences()
  readonly kinship: Kinship
  readonly delivery: Delivery
  calls = 0
  quarantines = 0
  readonly #parts: ChecksParts
  readonly #graphs = new Map<string, Graph>()
  /** The last attempt of each act that cannot be undone. */
  readonly #acts = new Map<string, number>()

  constructor(parts: ChecksParts) {
    this.#parts = parts
    const graphs = (hash: string): Graph => this.#lookup(hash)
    const { runs, occurrences } = this
    this.kinship = new Kinship({ ...parts, runs, occurrences, graphs })
    this.delivery = new Delivery({ ...parts, runs, occurrences })
  }

  // ---- what was committed ----------------------------------------------------------------------------------------

  /** @param process whoever begins it */
  begun(run: NewRun, process: string): void {
    const { id, started, copied = [] } = run
    this.#guard(() => {
      this.kinship.begun(run, process)
      const shadow: Shadow = {
        id,
        state: start(id, started, this.#lookup(started.graph)),
        log: [started],
        completed: new Map(),
        ended: new Map(),
        reviews: openReviews(copied),
      }
      this.runs.set(id, shadow)
      for (const event of copied) this.#fold(shadow, event)
    })
  }

  /** @param process whoever committed it */
  appended(batch: readonly RunAppend[], process: string): void {
    this.#guard(() => {
      for (const append of batch) {
        const shadow = this.#shadow(append.runId)
        for (const event of append.events) this.#record(shadow, event, process)
        this.#row(shadow, append)
        checkReviews(shadow)
      }
    })
    for (const { runId } of batch) this.wakes(runId)
  }

  #record(shadow: Shadow, event: RunEvent, process: string): void {
    this.kinship.happens(shadow, event)
    this.delivery.happens(shadow, event)
    this.#fold(shadow, event)
    followReview(shadow, event)
    this.kinship.happened(shadow, event, process)
    this.#count(event)
  }

  #count(event: RunEvent): void {
    if (event.type === 'patch.proposed') this.occurrences.add('review')
    const ended = event.type === 'patch.reviewed' ? REVIEWS[event.outcome] : undefined
    if (ended) this.occurrences.add(ended)
  }

  #fold(shadow: Shadow, event: RunEvent): void {
    const { state, log } = shadow
    const last = log.at(-1)
    if (last && event.at < last.at) throw new Violation(`time went back in run ${shadow.id}`)
    if (isFinished(state) && !AFTER_END.has(event.type))
      throw new Violation(`${event.type} of run ${shadow.id} came after its end`)
    if (state.phase.kind === 'stopping' && STARTS.has(event.type))
      throw new Violation(`R11: ${event.type} of run ${shadow.id} came while it was stopping`)
    if (
      state.phase.kind === 'stopping' &&
      FINAL.has(event.type) &&
      state.live.size > 0 &&
      event.at < state.phase.deadline
    )
      throw new Violation(`R11: run ${shadow.id} ended before its last attempt had reported`)
    log.push(event)
    evolve(state, event, (hash) => this.#lookup(hash))
    this.#attempts(shadow, event)
    if (event.type === 'step.waiting' || event.type === 'step.completed' || event.type === 'step.expanded')
      this.#join(shadow, event.key)
  }

  #attempts(shadow: Shadow, event: RunEvent): void {
    if (event.type === 'step.repeated')
      shadow.completed.set(`${event.key}/${event.round}`, this.#parts.time.elapsedMs)
    if (event.type !== 'step.completed' && event.type !== 'attempt.failed' && event.type !== 'step.failed')
      return
    const name = `${event.key}/${event.round}`
    if (shadow.completed.has(name))
      throw new Violation(`${name} of run ${shadow.id} ended after it was completed`)
    if (event.attempt <= (shadow.ended.get(name) ?? 0))
      throw new Violation(`R7: attempt ${event.attempt} of ${name} of run ${shadow.id} ended twice`)
    shadow.ended.set(name, event.attempt)
    if (event.type === 'step.completed') shadow.completed.set(name, this.#parts.time.elapsedMs)
  }

  /** What lists show of the run is what its log says, and it names its wait. */
  #row({ id, state }: Shadow, append: RunAppend): void {
    const { status, waitingFor } = statusOf(state)
    if (append.status !== status || !isDeepStrictEqual([...append.waitingFor], [...waitingFor]))
      throw new Violation(
        `run ${id} is shown ${append.status} (${append.waitingFor}) and is ${status} (${waitingFor})`,
      )
    if (isFinished(state)) return
    if (explain(state, this.#parts.time.now).length === 0)
      throw new Violation(`run ${id} is ${status} and waits for nothing`)
    if (status !== 'paused' && status !== 'stopping' && waitingFor.length === 0)
      throw new Violation(`run ${id} is ${status} and names no wait`)
  }

  /** A run that the engine, a worker or a timer owes something wakes by itself (R6). */
  wakes(runId: string): void {
    this.#guard(() => {
      const row = this.#parts.tables.runs.get(runId)
      const { state } = this.#shadow(runId)
      if (!row || row.wakeAt !== null || isFinished(state)) return
      if (owesWork(state, this.#parts.time.now) || nextWake(state, 0) !== null)
        throw new Violation(`R6: run ${runId} is owed something, and nothing will wake it`)
    })
  }

  quarantined({ runId, reason }: { runId: string; reason: string }): void {
    this.quarantines++
    if (!FORGIVEN.test(reason)) this.#parts.fail(new Violation(`R16: run ${runId} was set aside: ${reason}`))
  }

  // ---- what was done ---------------------------------------------------------------------------------------------

  /**
   * A worker begins to perform an attempt.
   *
   * @param hasStoodStill the process did so a moment ago
   */
  called({ runId, stepKey, round, attempt }: NodeContext, hasStoodStill: boolean): void {
    this.#guard(() => {
      this.calls++
      const shadow = this.#shadow(runId)
      const name = `${stepKey}/${round}`
      const { elapsedMs } = this.#parts.time
      const completedAt = shadow.completed.get(name)
      // Who looked into the log before the commit begins after it: no look can be closer than its round trip.
      if (completedAt !== undefined && elapsedMs - completedAt > (hasStoodStill ? ROUND_TRIP_MS : 0)) {
        throw new Violation(
          `${name} of run ${runId} was called (attempt ${attempt}) after its completion was committed`,
        )
      }
      if (shadow.state.steps.get(parseKey(stepKey).id)?.status === 'pending')
        throw new Violation(`R2: ${name} of run ${runId} was called before the log says that it was reached`)
      if (
        this.#parts.isCalm &&
        isFinished(shadow.state) &&
        this.#parts.time.now - shadow.state.at > ROUND_TRIP_MS
      )
        throw new Violation(`R11: ${name} of run ${runId} was called after the run had ended`)
      this.#once(shadow, name, attempt)
      this.#join(shadow, stepKey)
    })
  }

  /** What cannot be undone is not begun again by itself: an attempt before this one said that it did nothing, or a person did. */
  #once({ id: runId, state, log }: Shadow, name: string, attempt: number): void {
    const [key = '', round] = name.split('/')
    if (state.graph.nodes.get(parseKey(key).id)?.effect !== 'irreversible') return
    const act = `${runId}/${name}`
    const before = this.#acts.get(act)
    this.#acts.set(act, attempt)
    if (before === undefined) return
    const saidNo = log.some(
      (event) =>
        event.type === 'attempt.failed' &&
        event.key === key &&
        event.round === Number(round) &&
        event.attempt === before &&
        event.error.code === 'http_status',
    )
    if (before === attempt || (!saidNo && !log.some(({ type }) => type === 'run.retried')))
      throw new Violation(`R7: ${name} of run ${runId}, which cannot be undone, was begun again`)
  }

  /** What is after a join sees everything it joined. */
  #join({ id: runId, state }: Shadow, key: string): void {
    const { id } = parseKey(key)
    const node = state.graph.nodes.get(id)
    const step = state.steps.get(id)
    if (!node || !step || node.incoming.length === 0 || step.error !== null) return
    let taken = 0
    for (const edge of node.incoming) {
      const routed = state.steps.get(edge.from)?.routed ?? null
      if (routed?.includes(id)) taken++
      if (node.join === 'all' && routed === null)
        throw new Violation(`${id} of run ${runId} started before ${edge.from} was settled`)
    }
    if (taken === 0) throw new Violation(`${id} of run ${runId} started though no edge into it was taken`)
  }

  /** The engine as coordinators use it, watched: now and then a state in memory is held against the log (R1). */
  engine(): Engine {
    return {
      ...ENGINE,
      decide: (state, signal, context) => {
        if (this.#parts.random.chance(0.05)) this.#guard(() => this.#isFold(state))
        return ENGINE.decide(state, signal, context)
      },
    }
  }

  #isFold(state: RunState): void {
    const shadow = this.runs.get(state.id)
    // One that is ahead of the log or behind it is being decided upon, or belongs to somebody who lost the partition.
    if (!shadow || shadow.state.seq !== state.seq) return
    if (!isDeepStrictEqual(plain(state), plain(shadow.state)))
      throw new Violation(`R1: the state of run ${state.id} in memory is not what its log makes`)
  }

  // ---- at the end ------------------------------------------------------------------------------------------------

  /** Runs that have not ended, with what they wait for. */
  open(): Shadow[] {
    return [...this.runs.values()].filter(({ state }) => !isFinished(state))
  }

  describeOpen(): string {
    return this.open()
      .map(({ id, state }) => {
        const row = this.#parts.tables.runs.get(id)
        const waits = explain(state, this.#parts.time.now).map(({ token, text }) => `${token}: ${text}`)
        return `${id} ${state.phase.kind}, wakes at ${row?.wakeAt ?? 'no time'}${row?.stuckReason ? `, set aside: ${row.stuckReason}` : ''} [${waits.join('; ')}]`
      })
      .join('\n')
  }

  /** Every log folds to what was seen of it, and every row tells its end. */
  finally(): void {
    for (const shadow of this.runs.values()) {
      const { id, state, log } = shadow
      const folded = fold(id, log, (hash) => this.#lookup(hash))
      if (!isDeepStrictEqual(plain(folded), plain(state)))
        throw new Violation(`R1: the log of run ${id} folds to another state than it made`)
      const row = this.#parts.tables.runs.get(id)
      if (!row) throw new Violation(`run ${id} was begun and is gone`)
      if (row.seq !== log.length)
        throw new Violation(`the log of run ${id} has ${row.seq} events, not ${log.length}`)
      if (row.status !== state.phase.kind) throw new Violation(`run ${id} is shown as ${row.status}`)
      if (row.graph !== state.graph.hash) throw new Violation(`R9: run ${id} is shown with another graph`)
      if (state.phase.kind === 'completed' && !isDeepStrictEqual(parse(row.output), state.phase.output))
        throw new Violation(`run ${id} is shown with another output`)
    }
    this.#inboxes()
    this.kinship.finally()
    this.delivery.finally()
  }

  /** What people are shown to decide, and messages to look for, is what the logs say is open. */
  #inboxes(): void {
    const { approvals, waits } = this.#parts.tables
    for (const { id, runId, status, patch } of approvals.values()) {
      const { state, log } = this.#shadow(runId)
      const isOpen = patch === null ? state.waits.has(id) : state.reviews.has(id)
      const review = log.findLast((event) => event.type === 'patch.reviewed' && event.reviewId === id)
      const outcome = review?.type === 'patch.reviewed' ? review.outcome : status
      if ((status === 'open') !== isOpen || (patch !== null && outcome !== status))
        throw new Violation(
          `approval ${id} is shown as ${status}, and its run ${isOpen ? 'waits for it' : 'is past it'}`,
        )
    }
    for (const { id, runId, closedAt } of waits.values())
      if ((closedAt === null) !== this.#shadow(runId).state.waits.has(id))
        throw new Violation(
          `wait ${id} is looked for${closedAt === null ? '' : ' no more'}, unlike its run says`,
        )
  }

  // ----------------------------------------------------------------------------------------------------------------

  #shadow(runId: string): Shadow {
    const shadow = this.runs.get(runId)
    if (!shadow) throw new Violation(`something happened to run ${runId}, which was never begun`)
    return shadow
  }

  /** A graph is stored before anything names it (R9). */
  #lookup(hash: string): Graph {
    const known = this.#graphs.get(hash)
    if (known) return known
    const definition: Json = parse(this.#parts.tables.graphs.get(hash) ?? null)
    if (definition === null) throw new Violation(`R9: the graph ${hash} is named by a log and not stored`)
    const compiled = compile(definition as unknown as Definition, this.#parts.types, { stored: true })
    if (!compiled.ok) throw new Violation(`the stored graph ${hash} does not compile`)
    if (compiled.graph.hash !== hash) throw new Violation(`R9: another graph is stored under ${hash}`)
    this.#graphs.set(hash, compiled.graph)
    return compiled.graph
  }

  #guard(check: () => void): void {
    try {
      check()
    } catch (error) {
      this.#parts.fail(error)
    }
  }
}

const STARTS: ReadonlySet<string> = new Set([
  'step.admitted',
  'step.expanded',
  'step.waiting',
  'step.repeated',
])

const REVIEWS: Readonly<Record<string, Occurrence>> = {
  approved: 'review approved',
  rejected: 'review rejected',
  refused: 'review refused',
  dropped: 'review dropped',
}

/** What is ended is mended, and then retried. */
const AFTER_END: ReadonlySet<string> = new Set([
  'run.retried',
  'run.patched',
  'patch.proposed',
  'patch.reviewed',
])

const FINAL: ReadonlySet<string> = new Set(['run.completed', 'run.failed', 'run.cancelled'])

/** States hold graphs, which are compared by hash. */
const plain = (state: RunState): unknown => ({ ...state, graph: state.graph.hash })
