/** A run in the hands of a test: signals go in, events and effects come out, time is set by hand. */
import { expect } from 'vitest'
import {
  CONTROL_NODE_TYPES,
  type Command,
  compile,
  type Decision,
  decide,
  type Effect,
  explain,
  fold,
  type Graph,
  type Json,
  type JsonObject,
  type NodeTypeInfo,
  type NodeTypes,
  normaliseDefinition,
  outstanding,
  type RunEvent,
  type RunStarted,
  type RunState,
  type Signal,
  type StepError,
  start,
  statusOf,
  type Verdict,
} from '../../src/index.ts'

const task = (type: string, more: Partial<NodeTypeInfo> = {}): NodeTypeInfo => ({
  type,
  title: type,
  description: type,
  kind: 'task',
  labels: [],
  success: [],
  effect: 'write',
  retry: { attempts: 3, delayMs: 2000, factor: 2, maxDelayMs: 60_000 },
  timeoutMs: 30_000,
  fields: {},
  config: { type: 'object' },
  ...more,
})

export const TYPES: NodeTypes = new Map(
  [
    ...CONTROL_NODE_TYPES,
    task('work'),
    task('http', { effect: 'read' }),
    task('pay', { effect: 'irreversible' }),
    task('sort', { labels: ['left', 'right'], success: ['left'] }),
  ].map((type) => [type.type, type]),
)

export const RUN_ID = '01900000-0000-7000-8000-00000000000a'
export const T0 = 1_700_000_000_000

export function graphOf(nodes: Json, more: JsonObject = {}): Graph {
  const normal = normaliseDefinition({ weft: 1, name: 'test', nodes, ...more })
  if (!normal.ok) throw new Error(JSON.stringify(normal.problems))
  const compiled = compile(normal.definition, TYPES)
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems))
  return compiled.graph
}

export class Harness {
  readonly log: RunEvent[]
  readonly graphs = new Map<string, Graph>()
  state: RunState
  now = T0
  blobs = new Map<string, Json>()
  effects: Effect[] = []
  verdict: Verdict | undefined
  last: Decision | undefined
  private commands = 0

  constructor(nodes: Json, more: JsonObject & { runInput?: Json } = {}) {
    const { runInput = {}, ...definition } = more
    const graph = graphOf(nodes, definition)
    this.graphs.set(graph.hash, graph)
    const event: RunStarted = {
      type: 'run.started',
      at: T0,
      graph: graph.hash,
      input: runInput,
      labels: {},
      workflow: { name: 'test', version: null },
      vars: {},
      actor: 'test',
    }
    this.log = [event]
    this.state = start(RUN_ID, event, graph)
    this.signal({ kind: 'look' })
  }

  signal(signal: Signal): this {
    const decision = decide(this.state, signal, { now: this.now, blobs: this.blobs, types: TYPES })
    this.last = decision
    if (decision.kind === 'needs_blobs') {
      this.reload()
      return this
    }
    if (decision.graph) this.graphs.set(decision.graph.hash, decision.graph)
    this.log.push(...decision.events)
    // Whoever loads or begins a run publishes all that it owes.
    this.effects = signal.kind === 'look' ? outstanding(this.state, this.now) : [...decision.effects]
    this.verdict = decision.verdict
    return this
  }

  /** What a restarted process would know. */
  reload(): this {
    this.state = fold(RUN_ID, this.log, (hash) => this.graphs.get(hash)!)
    return this
  }

  private name(key: string) {
    const { id, index } = {
      id: key.split('[')[0]!,
      index: key.includes('[') ? Number(key.split('[')[1]!.slice(0, -1)) : null,
    }
    const step = this.state.steps.get(id)!
    const unit = index === null ? step.unit : step.items?.live.get(index)
    if (!unit) throw new Error(`${key} is not live`)
    return { key, round: unit.round, attempt: unit.attempt }
  }

  complete(key: string, output: Json = { ok: true }, label?: string): this {
    return this.signal({
      kind: 'completed',
      ...this.name(key),
      output,
      startedAt: this.now,
      worker: 'w',
      ...(label ? { label } : {}),
    })
  }

  failing(key: string, error: Partial<StepError> = {}): this {
    const full = { code: 'http_status', message: 'answered 503', retryable: true, ...error }
    return this.signal({ kind: 'failed', ...this.name(key), error: full, startedAt: this.now, worker: 'w' })
  }

  lost(key: string): this {
    return this.signal({ kind: 'lost', ...this.name(key) })
  }

  dropped(key: string): this {
    return this.signal({ kind: 'dropped', ...this.name(key) })
  }

  command(command: Command, actor = 'ann'): this {
    return this.signal({ kind: 'command', id: `c${++this.commands}`, actor, command })
  }

  after(ms: number): this {
    this.now += ms
    return this.signal({ kind: 'tick' })
  }

  /** Keys dispatched by the last decision. */
  get dispatched(): string[] {
    return this.effects.flatMap((effect) => (effect.kind === 'dispatch' ? [effect.task.key] : []))
  }

  get types(): string[] {
    return this.log.map((event) => event.type)
  }

  status(id: string): string {
    return this.state.steps.get(id)!.status
  }

  waits(): string[] {
    return explain(this.state, this.now).map(({ token, waitsFor }) => `${token}:${waitsFor}`)
  }

  waitId(key: string): string {
    for (const [waitId, at] of this.state.waits) if (at === key) return waitId
    throw new Error(`${key} has no open wait`)
  }

  get phase(): RunState['phase'] {
    return this.state.phase
  }

  /** The run ended so, and the fold of its log says the same (R1). */
  expectEnd(kind: 'completed' | 'failed' | 'cancelled'): this {
    expect(this.phase.kind).toBe(kind)
    expect(statusOf(this.state).waitingFor).toEqual([])
    const live = this.state
    this.reload()
    expect({ ...this.state, graph: null }).toEqual({ ...live, graph: null })
    return this
  }

  get error(): StepError | null {
    return this.phase.kind === 'failed' || this.phase.kind === 'stopping' ? this.phase.error : null
  }
}
