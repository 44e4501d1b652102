/**
 * A steady stream of submits, and what became of each: the client of a service that must not notice that processes come
 * and go. Connection errors are tried again, at the next address, under the same idempotency key; any other answer than
 * an acceptance is a problem.
 *
 * Each run calls the service of this module, step by step, which writes down every call.
 */
import { randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import type { Deployment } from './deployment.ts'

const STEPS = ['a', 'b', 'c'] as const
const RETRY_MS = 50
const GIVE_UP_MS = 60_000
const LOOK_EVERY_MS = 100
/** Between the time in an event and the moment at which its commit is visible. */
const COMMIT_MS = 50

export interface LoadReport {
  readonly submitted: number
  /** Answered with a run. */
  readonly accepted: number
  readonly retriedConnections: number
  /** Answers that were neither an acceptance nor a broken connection. */
  readonly refusals: readonly string[]
  readonly statuses: Readonly<Record<string, number>>
  /** Accepted, and not in the database. */
  readonly lost: number
  readonly calls: number
  readonly repeatedCalls: number
  /** Calls that came after the completion of their step was committed. */
  readonly lateCalls: number
  readonly durationMs: { readonly p50: number; readonly p99: number; readonly max: number }
  /** Longest time in which no run ended although some were at work. */
  readonly longestStallMs: number
  /** When runs ended, in order. */
  readonly endedAt: readonly number[]
}

/** Where runs are submitted; the addresses are read at each submit. */
type Target = Pick<Deployment, 'apiUrls' | 'apiKey'>

export class Load {
  readonly #target: Target
  readonly #service: Service
  readonly #accepted: string[] = []
  readonly #refusals: string[] = []
  readonly #submits = new Set<Promise<void>>()
  #submitted = 0
  #retried = 0
  #isOver = false
  #loop: Promise<void> = Promise.resolve()

  constructor(target: Target, service: Service) {
    this.#target = target
    this.#service = service
  }

  /** Submits this many runs a second, whether or not the ones before were answered, until `stop`. */
  start(perSecond: number): this {
    this.#loop = this.#offer(perSecond)
    return this
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#loop
    await Promise.all(this.#submits)
  }

  get accepted(): number {
    return this.#accepted.length
  }

  async #offer(perSecond: number): Promise<void> {
    const begun = performance.now()
    while (!this.#isOver) {
      const due = ((performance.now() - begun) / 1_000) * perSecond
      for (; this.#submitted < due; this.#submitted++) {
        const submit = this.#submit(this.#submitted).finally(() => this.#submits.delete(submit))
        this.#submits.add(submit)
      }
      await pause(5)
    }
  }

  async #submit(number: number): Promise<void> {
    const urls = this.#target.apiUrls
    const key = randomUUID()
    const begun = performance.now()
    for (let attempt = 0; ; attempt++) {
      try {
        const response = await fetch(`${urls[(number + attempt) % urls.length]}/api/v1/runs`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${this.#target.apiKey}`,
            'content-type': 'application/json',
            'idempotency-key': key,
          },
          body: JSON.stringify({ definition: definitionFor(this.#service.url) }),
        })
        const text = await response.text()
        if (response.ok) this.#accepted.push((JSON.parse(text) as { id: string }).id)
        else this.#refusals.push(`${response.status} ${text.slice(0, 200)}`)
        return
      } catch (error) {
        if (performance.now() - begun > GIVE_UP_MS) {
          this.#refusals.push(`no answer within ${GIVE_UP_MS} ms: ${String((error as Error).cause ?? error)}`)
          return
        }
        this.#retried++
        await pause(RETRY_MS)
      }
    }
  }

  /** Waits until every accepted run has ended, as far as the database knows. */
  async settle(databaseUrl: string, withinMs: number): Promise<LoadReport> {
    const client = new pg.Client({ connectionString: databaseUrl })
    await client.connect()
    try {
      const deadline = performance.now() + withinMs
      for (;;) {
        const { rows } = await client.query<{ open: number }>(
          'select count(*)::int as open from runs where id = any($1) and finished_at is null',
          [this.#accepted],
        )
        if (rows[0]?.open === 0 || performance.now() > deadline) return await this.#report(client)
        await pause(LOOK_EVERY_MS)
      }
    } finally {
      await client.end()
    }
  }

  async #report(client: pg.Client): Promise<LoadReport> {
    const ids = this.#accepted
    const { rows: runs } = await client.query<{
      status: string
      created_at: string
      finished_at: string | null
    }>('select status, created_at, finished_at from runs where id = any($1)', [ids])
    const { rows: steps } = await client.query<{ run_id: string; key: string; at: string }>(
      `select run_id, data->>'key' as key, at from run_events where run_id = any($1) and type = 'step.completed'`,
      [ids],
    )
    const completedAt = new Map(steps.map(({ run_id, key, at }) => [`${run_id}/${key}`, Number(at)]))
    let calls = 0
    let repeated = 0
    let late = 0
    for (const [step, times] of this.#service.calls) {
      calls += times.length
      repeated += times.length - 1
      const at = completedAt.get(step)
      if (at !== undefined) late += times.filter((time) => time > at + COMMIT_MS).length
    }
    const statuses: Record<string, number> = {}
    for (const { status } of runs) statuses[status] = (statuses[status] ?? 0) + 1
    return {
      submitted: this.#submitted,
      accepted: ids.length,
      retriedConnections: this.#retried,
      refusals: this.#refusals,
      statuses,
      lost: new Set(ids).size - runs.length,
      calls,
      repeatedCalls: repeated,
      lateCalls: late,
      ...timesOf(
        runs.map(({ created_at, finished_at }) => ({
          from: Number(created_at),
          to: finished_at === null ? Number.POSITIVE_INFINITY : Number(finished_at),
        })),
      ),
    }
  }
}

/** How long runs took, and the longest time in which none ended although at least one was open. */
function timesOf(spans: readonly { readonly from: number; readonly to: number }[]) {
  const durations = spans.map(({ from, to }) => to - from).sort((a, b) => a - b)
  const at = (share: number): number =>
    durations[Math.min(durations.length - 1, Math.floor(durations.length * share))] ?? 0
  const ends = spans.map(({ to }) => to).sort((a, b) => a - b)
  const begins = spans.map(({ from }) => from).sort((a, b) => a - b)
  let stall = 0
  for (const [index, end] of ends.entries()) {
    const before = index === 0 ? Number.NEGATIVE_INFINITY : (ends[index - 1] as number)
    // The run that is open the longest among those that have not ended before this one.
    const since = Math.max(before, begins[index] as number)
    stall = Math.max(stall, end - since)
  }
  const durationMs = { p50: at(0.5), p99: at(0.99), max: at(1) }
  return { durationMs, longestStallMs: stall, endedAt: ends.filter((end) => Number.isFinite(end)) }
}

function definitionFor(url: string) {
  const nodes: Record<string, unknown> = {}
  for (const [index, id] of STEPS.entries()) {
    const needs = STEPS[index - 1]
    nodes[id] = { type: 'http', ...(needs ? { needs } : {}), with: { method: 'POST', url } }
  }
  return { weft: 1, name: 'steady', nodes }
}

/** The world outside: answers at once unless told otherwise, and remembers every call by `run/step`. */
export class Service {
  readonly calls = new Map<string, number[]>()
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  /** Answers nobody before `open`. */
  static async start(open: Promise<void> = Promise.resolve()): Promise<Service> {
    const server = createServer()
    const service = new Service(server)
    server.on('request', (request, response) => {
      // `run/step/round`
      const step = String(request.headers['idempotency-key']).split('/').slice(0, 2).join('/')
      const times = service.calls.get(step)
      if (times) times.push(Date.now())
      else service.calls.set(step, [Date.now()])
      request.resume()
      void open.then(() => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return service
  }

  get host(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the service does not listen')
    return `127.0.0.1:${address.port}`
  }

  get url(): string {
    return `http://${this.host}/work`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
