/**
 * What Weft counts, for Prometheus: the one list of metric names and help texts. Parts receive the small objects below
 * and never see the client library. Figures that are read rather than counted (queue depths, runs by status) are asked
 * for when somebody scrapes.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86_400]
const COMMIT_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5]
const BATCH = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]

export const METRICS = {
  weft_run_duration_seconds:
    'Time from the start of a run to its end, by status (completed, failed, cancelled).',
  weft_runs: 'Runs in the database, by status.',
  weft_runs_stuck: 'Runs in quarantine: each has a stuck_reason and waits for `weft recover`.',
  weft_steps_total:
    'Steps and forEach items that settled, by outcome (completed, failed, skipped, cancelled).',
  weft_attempts_failed_total: 'Attempts that failed and are tried again.',
  weft_errors_total: 'Failures of attempts, steps and runs, by error code.',
  weft_refusals_total: 'Requests and commands that were refused, by code.',
  weft_requests_total: 'HTTP requests answered, by method, route and status.',
  weft_request_duration_seconds: 'Time to answer an HTTP request, by method and route.',
  weft_live_connections: 'Live connections of this process that are open, by kind (sse, websocket).',
  weft_queue_depth:
    'Tasks in the transport, by node type and state (waiting, active), and attempts whose retry is not due yet (delayed).',
  weft_queue_oldest_age_seconds: 'Age of the oldest waiting task, by node type.',
  weft_signals_waiting: 'Signals in the transport that no coordinator has decided and committed yet.',
  weft_commits_total: 'Commits of the coordinator.',
  weft_commit_runs: 'Runs that one commit carried.',
  weft_commit_events_total: 'Events committed.',
  weft_commit_duration_seconds: 'Time that one commit took.',
  weft_signals_total: 'Signals decided.',
  weft_loads_total: 'Runs whose state was folded from the log.',
  weft_states: 'Run states in memory.',
  weft_states_bytes: 'Estimated size of the run states in memory.',
  weft_partitions_owned: 'Partitions, of 16, that the coordinator of this process owns.',
  weft_quarantined_total: 'Runs that this process put into quarantine.',
} as const

export type RunEnding = 'completed' | 'failed' | 'cancelled'
export type LiveConnectionKind = 'sse' | 'websocket'
export type StepOutcome = 'completed' | 'failed' | 'skipped' | 'cancelled'

/** What the coordinator counts. */
export interface CoordinatorMetrics {
  committed(runs: number, events: number, seconds: number): void
  signals(count: number): void
  loaded(runs: number): void
  states(count: number, bytes: number): void
  quarantined(): void
  owns(partitions: number): void
  runEnded(status: RunEnding, seconds: number): void
  stepSettled(outcome: StepOutcome): void
  attemptFailed(): void
  failed(code: string): void
  refused(code: string): void
}

export interface QueueFigures {
  readonly type: string
  readonly waiting: number
  readonly active: number
  readonly delayed: number
  readonly oldestAgeMs: number
}

/** Asked at each scrape; a source that fails leaves its figures out. */
export interface MetricSources {
  queues(): Promise<readonly QueueFigures[]>
  signals(): Promise<number>
  runs(): Promise<{ byStatus: Readonly<Record<string, number>>; stuck: number }>
}

export interface Metrics {
  readonly coordinator: CoordinatorMetrics
  request(method: string, route: string, status: number, seconds: number): void
  refused(code: string): void
  /** A live connection has opened; to be called when it has ended. */
  liveConnection(kind: LiveConnectionKind): () => void
  /** Names where the figures come from that are read at each scrape. */
  observe(sources: MetricSources): void
  readonly contentType: string
  /** The text that `/metrics` answers. */
  text(): Promise<string>
}

type MetricName = keyof typeof METRICS

export function createMetrics(): Metrics {
  const registers = [new Registry()]
  const [registry] = registers as [Registry]
  const counter = <L extends string = never>(name: MetricName, ...labelNames: L[]) =>
    new Counter<L>({ name, help: METRICS[name], labelNames, registers })
  const gauge = <L extends string = never>(name: MetricName, ...labelNames: L[]) =>
    new Gauge<L>({ name, help: METRICS[name], labelNames, registers })
  const histogram = <L extends string = never>(name: MetricName, buckets: number[], ...labelNames: L[]) =>
    new Histogram<L>({ name, help: METRICS[name], buckets, labelNames, registers })

  collectDefaultMetrics({ register: registry })
  const runDuration = histogram('weft_run_duration_seconds', SECONDS, 'status')
  const runs = gauge('weft_runs', 'status')
  const stuck = gauge('weft_runs_stuck')
  const steps = counter('weft_steps_total', 'outcome')
  const attemptsFailed = counter('weft_attempts_failed_total')
  const errors = counter('weft_errors_total', 'code')
  const refusals = counter('weft_refusals_total', 'code')
  const requests = counter('weft_requests_total', 'method', 'route', 'status')
  const requestDuration = histogram('weft_request_duration_seconds', SECONDS, 'method', 'route')
  const liveConnections = gauge('weft_live_connections', 'kind')
  for (const kind of ['sse', 'websocket'] as const) liveConnections.set({ kind }, 0)
  const queueDepth = gauge('weft_queue_depth', 'type', 'state')
  const queueAge = gauge('weft_queue_oldest_age_seconds', 'type')
  const signalsWaiting = gauge('weft_signals_waiting')
  const commits = counter('weft_commits_total')
  const commitRuns = histogram('weft_commit_runs', BATCH)
  const commitEvents = counter('weft_commit_events_total')
  const commitDuration = histogram('weft_commit_duration_seconds', COMMIT_SECONDS)
  const signals = counter('weft_signals_total')
  const loads = counter('weft_loads_total')
  const states = gauge('weft_states')
  const statesBytes = gauge('weft_states_bytes')
  const partitionsOwned = gauge('weft_partitions_owned')
  const quarantined = counter('weft_quarantined_total')

  let sources: MetricSources | null = null
  async function read({ queues, signals: countSignals, runs: countRuns }: MetricSources): Promise<void> {
    const [depths, lag, counts] = await Promise.allSettled([queues(), countSignals(), countRuns()])
    if (lag.status === 'fulfilled') signalsWaiting.set(lag.value)
    if (depths.status === 'fulfilled') {
      queueDepth.reset()
      queueAge.reset()
      for (const { type, waiting, active, delayed, oldestAgeMs } of depths.value) {
        queueDepth.set({ type, state: 'waiting' }, waiting)
        queueDepth.set({ type, state: 'active' }, active)
        queueDepth.set({ type, state: 'delayed' }, delayed)
        queueAge.set({ type }, oldestAgeMs / 1000)
      }
    }
    if (counts.status === 'fulfilled') {
      runs.reset()
      for (const [status, count] of Object.entries(counts.value.byStatus)) runs.set({ status }, count)
      stuck.set(counts.value.stuck)
    }
  }

  return {
    coordinator: {
      committed(count, events, seconds) {
        commits.inc()
        commitRuns.observe(count)
        commitEvents.inc(events)
        commitDuration.observe(seconds)
      },
      signals: (count) => signals.inc(count),
      loaded: (count) => loads.inc(count),
      states(count, bytes) {
        states.set(count)
        statesBytes.set(bytes)
      },
      quarantined: () => quarantined.inc(),
      owns: (partitions) => partitionsOwned.set(partitions),
      runEnded: (status, seconds) => runDuration.observe({ status }, seconds),
      stepSettled: (outcome) => steps.inc({ outcome }),
      attemptFailed: () => attemptsFailed.inc(),
      failed: (code) => errors.inc({ code }),
      refused: (code) => refusals.inc({ code }),
    },
    request(method, route, status, seconds) {
      requests.inc({ method, route, status })
      requestDuration.observe({ method, route }, seconds)
    },
    refused: (code) => refusals.inc({ code }),
    liveConnection(kind) {
      liveConnections.inc({ kind })
      return () => liveConnections.dec({ kind })
    },
    observe(asked) {
      sources = asked
    },
    contentType: registry.contentType,
    async text() {
      if (sources) await read(sources)
      return registry.metrics()
    },
  }
}
