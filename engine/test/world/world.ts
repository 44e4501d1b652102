/**
 * A world of runs without a server: a lane of tasks, signals on their way, people, time, and faults, all from one seed.
 * It checks what must hold after every decision and says by name what did not.
 *
 * The engine comes in as a parameter, so that mutated copies of it can be put into the same world.
 */
import { isDeepStrictEqual } from 'node:util'
import type * as EngineModule from '../../src/index.ts'
import type { Command, Effect, Graph, Json, RunEvent, RunState, Signal, Task } from '../../src/index.ts'
import { fateOf, type Random, random } from './random.ts'
import { checkReviews, followReview, type Open, openReviews } from './reviews.ts'
import { Violation } from './violation.ts'

export type Engine = typeof EngineModule

export interface Faults {
  /** Signals repeat and overtake each other. */
  readonly disorder: boolean
  /** Attempts get lost, and may report all the same. */
  readonly losses: boolean
  /** Everything volatile is wiped now and then, and states are folded anew. */
  readonly crashes: boolean
  /** People pause, cancel, retry and patch. */
  readonly people: boolean
}

export const CALM: Faults = { disorder: false, losses: false, crashes: false, people: false }

/** Sends patches far more often than people do, and hears what became of each. */
export interface Patcher {
  /** A patch for the run as it is; `nth` makes new names. */
  make(
    run: RunState,
    random: Random,
    nth: number,
  ): Pick<Extract<Command, { kind: 'patch' }>, 'operations' | 'baseVersion' | 'by' | 'stepKey'>
  told(verdict: EngineModule.Verdict, phase: RunState['phase']['kind']): void
  /** A review ended, by the event that says so. */
  reviewed?(outcome: string): void
}

export interface LiveRun {
  readonly id: string
  readonly graph: Graph
  state: RunState
  readonly log: RunEvent[]
  readonly completed: Set<string>
  /** Open reviews, with what they hold. */
  readonly reviews: Open
  /** When its timers were last looked at: what came due since then is still to be fired. */
  tickedAt: number
  /** Begun or loaded: nothing of what it owes is published yet. */
  fresh: boolean
}

type Forked = Extract<EngineModule.ForkOutcome, { ok: true }>

interface LaneTask {
  readonly task: Omit<Task, 'workspace'>
  taken: boolean
}

export type Sight = 'lost attempt' | 'pause' | 'cancel' | 'patch' | 'review' | 'retry of the run'

export interface WorldResult {
  readonly root: RunState
  readonly runs: ReadonlyMap<string, LiveRun>
  readonly graphs: ReadonlyMap<string, Graph>
  readonly seen: ReadonlySet<Sight>
  readonly decisions: number
}

const MAX_STEPS = 20_000

export class World {
  readonly engine: Engine
  readonly types: EngineModule.NodeTypes
  readonly random: Random
  readonly faults: Faults
  readonly patcher: Patcher | null
  readonly runs = new Map<string, LiveRun>()
  readonly lane = new Map<string, LaneTask>()
  readonly seen = new Set<Sight>()
  signals: { runId: string; signal: Signal }[] = []
  now = 1_000_000
  decisions = 0
  commands = 0
  readonly answered = new Set<string>()
  /** Waits for a message against which the kept ones were held since the last crash. */
  readonly listened = new Set<string>()
  readonly graphs = new Map<string, Graph>()

  constructor(
    engine: Engine,
    types: EngineModule.NodeTypes,
    seed: number,
    faults: Faults,
    patcher: Patcher | null = null,
  ) {
    this.engine = engine
    this.types = types
    this.random = random(seed ^ 0x5eed)
    this.faults = faults
    this.patcher = patcher
  }

  /** Runs the workflow to its end and checks everything on the way. */
  play(graph: Graph, input: Json): WorldResult {
    this.rememberGraph(graph)
    const root = this.begin('00000000-0000-7000-8000-000000000000', graph, input, undefined)
    const chaos = 40 + this.random.int(160)
    for (let step = 0; this.isOpen(); step++) {
      if (step > MAX_STEPS) throw new Violation(`hangs: the world did not end in ${MAX_STEPS} steps`)
      const moved = step < chaos ? this.disturb() || this.move() || this.heal() : this.heal() || this.move()
      if (!moved) throw new Violation(`hangs: nothing can move run(s) ${this.describeOpen()}`)
    }
    for (const run of this.runs.values()) this.checkFold(run)
    return {
      root: root.state,
      runs: this.runs,
      graphs: this.graphs,
      seen: this.seen,
      decisions: this.decisions,
    }
  }

  /** Runs a fork of that run's log to its end, under the same checks. */
  playFork(source: LiveRun, graphs: Iterable<Graph>, point: EngineModule.ForkPoint): WorldResult {
    for (const graph of graphs) this.rememberGraph(graph)
    this.now = source.state.at + 1_000
    const id = '00000000-0000-7000-8000-00000000f000'
    const copy = this.engine.forkEvents(
      source.id,
      source.log,
      point,
      { runId: id, at: this.now, actor: 'test' },
      this.lookup,
    )
    if (!copy.ok) throw new Violation(`cannot be forked: ${copy.message}`)
    const fork = this.patcher ? this.patchedFork(copy, id, this.patcher) : copy
    const log = [fork.started, ...fork.rest]
    const run: LiveRun = {
      id,
      graph: source.graph,
      state: this.engine.fold(id, log, this.lookup),
      log,
      completed: new Set(
        log.flatMap((event) => (event.type === 'step.completed' ? [`${event.key}/${event.round}`] : [])),
      ),
      reviews: openReviews(log),
      tickedAt: 0,
      fresh: true,
    }
    this.runs.set(id, run)
    this.send(id, { kind: 'look' })
    for (let step = 0; this.isOpen(); step++) {
      if (step > MAX_STEPS) throw new Violation(`hangs: the fork did not end in ${MAX_STEPS} steps`)
      if (!this.move()) throw new Violation(`hangs: nothing can move the fork ${this.describeOpen()}`)
    }
    for (const each of this.runs.values()) this.checkFold(each)
    return {
      root: run.state,
      runs: this.runs,
      graphs: this.graphs,
      seen: this.seen,
      decisions: this.decisions,
    }
  }

  /** The fork begins with a patch when it takes it. */
  private patchedFork(copy: Forked, id: string, patcher: Patcher): Forked {
    const state = this.engine.fold(id, [copy.started, ...copy.rest], this.lookup)
    const { operations } = patcher.make(state, this.random, 1)
    const context = { now: this.now, types: this.types, blobs: new Map() }
    const patched = this.engine.patchFork(copy, id, { operations, reason: 'because' }, context, this.lookup)
    if (patched.kind !== 'patched') return copy
    patcher.told({ accepted: true }, state.phase.kind)
    this.rememberGraph(patched.graph)
    return patched.fork
  }

  private isOpen(): boolean {
    return (
      [...this.runs.values()].some((run) => !this.engine.isFinished(run.state)) || this.signals.length > 0
    )
  }

  private describeOpen(): string {
    const open = [...this.runs.values()].filter((run) => !this.engine.isFinished(run.state))
    return open
      .map((run) => `${run.id} ${JSON.stringify(this.engine.explain(run.state, this.now))}`)
      .join('; ')
  }

  private rememberGraph(graph: Graph): void {
    this.graphs.set(graph.hash, graph)
    for (const node of graph.nodes.values()) if (node.body) this.rememberGraph(node.body)
  }

  private lookup = (hash: string): Graph => {
    const graph = this.graphs.get(hash)
    if (!graph) throw new Error(`no graph ${hash}`)
    return graph
  }

  private begin(
    id: string,
    graph: Graph,
    input: Json,
    parent: EngineModule.ParentLink | undefined,
    item?: Json,
    index?: number,
  ): LiveRun {
    const event: EngineModule.RunStarted = {
      type: 'run.started',
      at: this.now,
      graph: graph.hash,
      input,
      labels: {},
      workflow: { name: graph.definition.name, version: null },
      vars: {},
      actor: 'test',
      ...(parent ? { parent } : {}),
      ...(item === undefined ? {} : { item }),
      ...(index === undefined ? {} : { index }),
    }
    const run: LiveRun = {
      id,
      graph,
      state: this.engine.start(id, event, graph),
      log: [event],
      completed: new Set(),
      reviews: new Map(),
      tickedAt: 0,
      fresh: true,
    }
    this.runs.set(id, run)
    this.send(id, { kind: 'look' })
    return run
  }

  private send(runId: string, signal: Signal): void {
    this.signals.push({ runId, signal })
  }

  private command(runId: string, command: Command, id = `c${++this.commands}`, actor = 'somebody'): void {
    this.send(runId, { kind: 'command', id, actor, command })
  }

  // ---- what can happen next ------------------------------------------------------------------------------------

  /** One ordinary move: a signal arrives, a worker works, a person acts, time passes. */
  private move(): boolean {
    const { random } = this
    const dice = random.int(10)
    if (dice < 4 && this.deliver()) return true
    if (dice < 8 && this.work()) return true
    return this.deliver() || this.work() || this.person() || this.tick()
  }

  private deliver(): boolean {
    if (this.signals.length === 0) return false
    const at = this.faults.disorder ? this.random.int(this.signals.length) : 0
    const entry = this.signals[at]!
    const repeats = this.faults.disorder && this.random.chance(0.1)
    if (!repeats) this.signals.splice(at, 1)
    this.decide(entry.runId, entry.signal)
    return true
  }

  /** A worker takes a task, or a taken one ends. */
  private work(): boolean {
    const tasks = [...this.lane.values()]
    if (tasks.length === 0) return false
    const entry = this.faults.disorder ? this.random.pick(tasks) : tasks[0]!
    if (!entry.taken) {
      entry.taken = true
      return true
    }
    const { task } = entry
    this.lane.delete(task.id)
    const name = { key: task.key, round: task.round, attempt: task.attempt }
    if (this.faults.losses && this.random.chance(0.08)) {
      this.seen.add('lost attempt')
      this.send(task.runId, { kind: 'lost', ...name })
      // A worker that was thought dead may report all the same.
      if (this.random.chance(0.5)) this.send(task.runId, this.outcome(task))
      return true
    }
    this.send(task.runId, this.outcome(task))
    return true
  }

  /** What an attempt yields depends on its name alone. */
  private outcome(task: Omit<Task, 'workspace'>): Signal {
    const name = { key: task.key, round: task.round, attempt: task.attempt }
    const performed = { startedAt: this.now, worker: 'w1' }
    const fate = fateOf(`${task.node}/${task.key}/${task.round}/${task.attempt}`, 100)
    if (fate < 12)
      return {
        kind: 'failed',
        ...name,
        ...performed,
        error: { code: 'http_status', message: '503', retryable: true },
      }
    if (fate < 16)
      return {
        kind: 'failed',
        ...name,
        ...performed,
        error: { code: 'http_status', message: '404', retryable: false },
      }
    return {
      kind: 'completed',
      ...name,
      ...performed,
      output: { v: fateOf(`${task.key}/${task.round}`, 100) },
    }
  }

  /** Somebody decides an approval or sends a message that is waited for. */
  private person(): boolean {
    for (const run of this.runs.values()) {
      for (const token of this.engine.explain(run.state, this.now)) {
        // Nobody looks at some patches: their time runs out.
        if (token.subject && run.reviews.has(token.subject) && fateOf(`look/${token.subject}`, 100) < 15)
          continue
        if (token.waitsFor === 'approval' && token.subject) {
          const isReview = run.reviews.has(token.subject)
          const fate = fateOf(`approve/${isReview ? token.subject : token.token}`, 100)
          const decision = fate < (isReview ? 60 : 75) ? 'approve' : 'reject'
          this.command(run.id, { kind: 'decide', waitId: token.subject, decision })
          return true
        }
        if (token.waitsFor === 'message' && token.subject) {
          const messageId = `m${++this.commands}`
          // Every other one is sent by correlation: to the waits that are open now.
          const waitIds = this.commands % 2 === 0 ? { waitIds: this.waitsFor(run, token.subject) } : {}
          this.command(run.id, {
            kind: 'message',
            messageId,
            name: token.subject,
            data: { v: 60 },
            ttlMs: 60_000,
            ...waitIds,
          })
          return true
        }
      }
    }
    return false
  }

  private activity(run: LiveRun, key: string) {
    const { id, index } = this.engine.parseKey(key)
    const step = run.state.steps.get(id)
    return (index === null ? step?.unit : step?.items?.live.get(index))?.activity
  }

  private waitsFor(run: LiveRun, name: string): string[] {
    return [...run.state.waits].flatMap(([waitId, key]) => {
      const activity = this.activity(run, key)
      const isIt =
        activity?.phase === 'waiting' && activity.wait.kind === 'message' && activity.wait.name === name
      return isIt ? [waitId] : []
    })
  }

  /** Time passes until some run wants attention by itself. */
  private tick(): boolean {
    let next: { at: number; run: LiveRun } | null = null
    for (const run of this.runs.values()) {
      const at = this.engine.nextWake(run.state, run.tickedAt)
      if (at !== null && (next === null || at < next.at)) next = { at, run }
    }
    if (!next) return false
    this.now = Math.max(this.now + 1, next.at)
    next.run.tickedAt = this.now
    this.decide(next.run.id, { kind: 'tick' })
    return true
  }

  /** A fault or an intervention, sometimes. */
  private disturb(): boolean {
    const { random, faults } = this
    if (faults.crashes && random.chance(0.02)) {
      this.crash()
      return true
    }
    if (faults.disorder && random.chance(0.05) && this.tick()) return true
    if (this.patcher && random.chance(0.2)) {
      this.patch(random.pick([...this.runs.values()]))
      return true
    }
    if (faults.people && random.chance(0.06)) return this.intervene()
    return false
  }

  private intervene(): boolean {
    const { random } = this
    const run = random.pick([...this.runs.values()])
    const [review] = run.reviews.keys()
    if (review !== undefined && random.chance(0.5)) {
      this.command(run.id, {
        kind: 'decide',
        waitId: review,
        decision: random.chance(0.6) ? 'approve' : 'reject',
      })
      return true
    }
    const dice = random.int(100)
    if (dice < 30) {
      this.seen.add('pause')
      this.command(run.id, { kind: 'pause' })
    } else if (dice < 50) this.command(run.id, { kind: 'resume' })
    else if (dice < 60) {
      this.seen.add('cancel')
      this.command(run.id, { kind: 'cancel' })
    } else if (dice < 70) {
      this.seen.add('retry of the run')
      this.command(run.id, { kind: 'retry' })
    } else if (dice < 95) this.patch(run)
    else
      this.command(run.id, {
        kind: 'message',
        messageId: `m${++this.commands}`,
        name: 'm1',
        data: { v: 10 },
        ttlMs: 60_000,
      })
    return true
  }

  private patch(run: LiveRun): void {
    const { random } = this
    this.seen.add('patch')
    const nth = ++this.commands
    if (this.patcher) {
      const patch = this.patcher.make(run.state, random, nth)
      this.command(run.id, { kind: 'patch', ...patch, reason: 'because' })
      return
    }
    const ids = [...run.state.graph.nodes.keys()]
    const id = `p${nth}`
    const target = random.pick(ids)
    const operations: Json = [
      { op: 'add', path: `/nodes/${id}`, value: { type: 'work', needs: { [target]: { on: ['always'] } } } },
    ]
    if (random.chance(0.3)) operations.push({ op: 'remove', path: `/nodes/${random.pick(ids)}` })
    if (random.chance(0.3))
      operations.push({ op: 'add', path: `/nodes/${random.pick(ids)}/notes`, value: id })
    const from = random.chance(0.7) ? { by: 'agent' as const, ...this.proposing(run) } : {}
    this.command(run.id, { kind: 'patch', ...from, operations, reason: 'because' })
  }

  /** A step that is being performed, so that an agent in it may speak. */
  private proposing({ state }: LiveRun): { stepKey?: string } {
    const working = [...state.live].filter((id) => state.steps.get(id)?.unit?.activity.phase === 'working')
    return working.length > 0 ? { stepKey: this.random.pick(working) } : {}
  }

  /** Faults are over: whatever was paused goes on. */
  private heal(): boolean {
    for (const run of this.runs.values()) {
      const pending = this.signals.some(
        ({ runId, signal }) =>
          runId === run.id && signal.kind === 'command' && signal.command.kind === 'resume',
      )
      if (run.state.phase.kind === 'paused' && !pending) {
        this.command(run.id, { kind: 'resume' })
        return true
      }
    }
    return false
  }

  /** The process dies: volatile things are gone, commands are durable, states are folded from the log (R1, R2, R5). */
  private crash(): void {
    this.lane.clear()
    this.listened.clear()
    this.signals = this.signals.filter(({ signal }) => signal.kind === 'command')
    for (const run of this.runs.values()) {
      run.state = this.engine.fold(run.id, run.log, this.lookup)
      run.tickedAt = 0
      run.fresh = true
      this.send(run.id, { kind: 'look' })
    }
  }

  // ---- decisions and their effects -----------------------------------------------------------------------------

  private decide(runId: string, signal: Signal): void {
    const run = this.runs.get(runId)
    if (!run) throw new Error(`no run ${runId}`)
    // A command is a row that is settled with its verdict: told twice, it is read once (R15).
    if (signal.kind === 'command') {
      if (this.answered.has(signal.id)) return
      this.answered.add(signal.id)
    }
    const decision = this.engine.decide(run.state, signal, {
      now: this.now,
      blobs: new Map(),
      types: this.types,
    })
    this.decisions++
    if (decision.kind !== 'decided') throw new Violation('asked for a blob where there is none')
    if (decision.graph) this.rememberGraph(decision.graph)
    if (signal.kind === 'command' && !decision.verdict)
      throw new Violation(`command ${signal.command.kind} got no verdict`)
    if (signal.kind === 'command' && signal.command.kind === 'patch' && decision.verdict)
      this.patcher?.told(decision.verdict, run.state.phase.kind)
    for (const event of decision.events) this.record(run, event)
    this.checkWaits(run)
    checkReviews(run)
    // Whoever loads or begins a run publishes all that it owes (R5).
    this.publish(run, run.fresh ? this.engine.outstanding(run.state, this.now) : decision.effects)
    run.fresh = false
    this.checkListening(run)
    if (decision.report) this.command(decision.report.parentId, decision.report.command, decision.report.id)
    if (this.random.chance(0.05)) this.checkFold(run)
  }

  private record(run: LiveRun, event: RunEvent): void {
    const last = run.log.at(-1)
    if (last && event.at < last.at) throw new Violation(`time went back in ${run.id}`)
    run.log.push(event)
    if (event.type === 'step.completed') {
      const name = `${event.key}/${event.round}`
      if (run.completed.has(name)) throw new Violation(`${name} completed twice`)
      run.completed.add(name)
    }
    if (event.type === 'step.waiting' || event.type === 'step.completed' || event.type === 'step.expanded')
      this.checkJoin(run, event.key)
    followReview(run, event)
    if (event.type === 'patch.proposed') this.seen.add('review')
    if (event.type === 'patch.reviewed') this.patcher?.reviewed?.(event.outcome)
  }

  private publish(run: LiveRun, effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'dispatch':
          this.checkDispatch(run, effect.task)
          if (!this.lane.has(effect.task.id))
            this.lane.set(effect.task.id, { task: effect.task, taken: false })
          break
        case 'child':
          this.startChild(run, effect)
          break
        case 'cancel_child':
          if (this.runs.has(effect.childId))
            this.command(effect.childId, { kind: 'cancel' }, undefined, `run:${run.id}`)
          else this.refuseUnborn(run, effect.childId)
          break
        case 'halt':
          this.halt(run, effect)
          break
        case 'listen':
          this.listened.add(effect.waitId)
          break
        case 'unhalt':
          break
      }
    }
  }

  /** A child that was owed and never began cannot report: its parent is told so. */
  private refuseUnborn(run: LiveRun, childId: string): void {
    for (const event of run.log) {
      if (event.type !== 'step.waiting' || event.wait.kind !== 'child' || event.wait.childId !== childId)
        continue
      this.command(run.id, {
        kind: 'child_finished',
        childId,
        key: event.key,
        round: event.round,
        outcome: 'cancelled',
      })
      return
    }
  }

  private startChild(run: LiveRun, effect: Extract<Effect, { kind: 'child' }>): void {
    const existing = this.runs.get(effect.childId)
    if (existing) {
      if (effect.attempt > 1)
        this.command(
          effect.childId,
          { kind: 'retry' },
          `${effect.childId}:retry:${effect.attempt}`,
          `run:${run.id}`,
        )
      return
    }
    const body = run.state.graph.nodes.get(effect.node)?.body
    if (!body) throw new Error('only inline bodies here')
    const parent = {
      runId: run.id,
      key: effect.key,
      round: effect.round,
      rootId: run.id,
      depth: (run.state.parent?.depth ?? 0) + 1,
    }
    const item = effect.item && 'value' in effect.item ? effect.item.value : undefined
    this.begin(effect.childId, body, effect.input, parent, item, effect.index)
  }

  private halt(run: LiveRun, effect: Extract<Effect, { kind: 'halt' }>): void {
    for (const [id, entry] of [...this.lane]) {
      if (entry.task.runId !== run.id || entry.taken) continue
      this.lane.delete(id)
      this.send(run.id, {
        kind: 'dropped',
        key: entry.task.key,
        round: entry.task.round,
        attempt: entry.task.attempt,
      })
    }
    for (const name of effect.attempts) {
      if (!this.lane.has(this.engine.taskId(run.id, name.key, name.round, name.attempt)))
        this.send(run.id, { kind: 'dropped', ...name })
    }
  }

  // ---- what must hold ------------------------------------------------------------------------------------------

  private checkFold(run: LiveRun): void {
    const folded = this.engine.fold(run.id, run.log, this.lookup)
    if (!isDeepStrictEqual(strip(folded), strip(run.state)))
      throw new Violation(`R1: the fold of ${run.id} differs from its live state`)
    const live = this.engine.outstanding(run.state, this.now)
    if (!isDeepStrictEqual(this.engine.outstanding(folded, this.now), live))
      throw new Violation('R5: the fold owes something else')
    // What is owed to workers is in the lane, taken, or on its way back as a signal.
    for (const effect of live) {
      if (effect.kind !== 'dispatch' || this.lane.has(effect.task.id)) continue
      // A retry that came due since the last tick is not published yet.
      if ((run.state.timers.get(effect.task.key) ?? 0) > run.tickedAt) continue
      const { runId, key, round, attempt } = effect.task
      const reported = this.signals.some(
        ({ runId: id, signal }) =>
          id === runId &&
          'attempt' in signal &&
          signal.key === key &&
          signal.round === round &&
          signal.attempt === attempt,
      )
      if (!reported) throw new Violation(`R5: ${effect.task.id} is owed and nobody has it`)
    }
  }

  private checkWaits(run: LiveRun): void {
    if (this.engine.isFinished(run.state)) return
    const { status, waitingFor } = this.engine.statusOf(run.state)
    if (this.engine.explain(run.state, this.now).length === 0)
      throw new Violation(`run ${run.id} is ${status} and waits for nothing`)
    if ((status === 'running' || status === 'waiting' || status === 'queued') && waitingFor.length === 0) {
      throw new Violation(`run ${run.id} is ${status} and names no wait`)
    }
    for (const step of run.state.steps.values()) {
      if (step.unit?.activity.phase === 'entering') throw new Violation(`step ${step.id} was left entering`)
    }
  }

  /** A message that was kept before its wait opened is found: whoever opens a wait looks, after every load too. */
  private checkListening(run: LiveRun): void {
    if (run.state.phase.kind !== 'active') return
    for (const [waitId, key] of run.state.waits) {
      const activity = this.activity(run, key)
      if (activity?.phase !== 'waiting' || activity.wait.kind !== 'message') continue
      if (!this.listened.has(waitId)) throw new Violation(`R5: nobody looks for what ${waitId} waits for`)
    }
  }

  private checkDispatch(run: LiveRun, task: Omit<Task, 'workspace'>): void {
    if (run.completed.has(`${task.key}/${task.round}`))
      throw new Violation(`${task.key}/${task.round} was dispatched after it completed`)
    this.checkJoin(run, task.key)
  }

  /** What is after a join sees everything it joined. */
  private checkJoin(run: LiveRun, key: string): void {
    const { id } = this.engine.parseKey(key)
    const node = run.state.graph.nodes.get(id)
    if (!node || node.incoming.length === 0) return
    let taken = 0
    for (const edge of node.incoming) {
      const source = run.state.steps.get(edge.from)
      if (source?.routed?.includes(id)) taken++
      const failedInto = run.state.steps.get(id)?.error !== null
      if (node.join === 'all' && (source?.routed ?? null) === null && !failedInto)
        throw new Violation(`${id} started before ${edge.from} was settled`)
    }
    if (taken === 0 && run.state.steps.get(id)?.error === null)
      throw new Violation(`${id} started though no edge into it was taken`)
  }
}

/** States hold graphs, which are compared by hash. */
const strip = (state: RunState): unknown => ({ ...state, graph: state.graph.hash })
