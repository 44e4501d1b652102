/**
 * The CLI's way to a server: requests and the event stream, with every failure turned into a sentence and an exit code.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isObject, type Json, type Problem, type RunEvent } from '@weft/engine'
import type { AttemptNews } from './draw.ts'
import { CliError, EXIT } from './exit.ts'

export interface ServerAddress {
  readonly url: string
  readonly apiKey: string | null
}

export interface ProblemAnswer {
  readonly status: number
  readonly code: string
  readonly title: string
  readonly detail: string
  readonly problems?: readonly Problem[]
  readonly details?: Json
  readonly requestId?: string
}

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | number | readonly string[] | undefined>>
  readonly body?: unknown
  /** Sent as it is; `contentType` says what it is. */
  readonly text?: string
  readonly contentType?: string
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
}

export interface ServerAnswer {
  readonly status: number
  readonly contentType: string
  readonly text: string
}

export type StreamItem =
  | { readonly kind: 'event'; readonly seq: number; readonly event: RunEvent }
  | { readonly kind: 'attempt'; readonly news: AttemptNews }

export interface FollowOptions {
  /** Stops following. */
  readonly signal?: AbortSignal
  /** The server is away, and is tried again; or it is back. */
  readonly onAway?: (isAway: boolean) => void
}

const FIRST_DELAY_MS = 250
const LONGEST_DELAY_MS = 5_000
/** A server that restarts is back long before. */
const GIVE_UP_AFTER_MS = 120_000

export class Client {
  readonly address: ServerAddress
  constructor(address: ServerAddress) {
    this.address = address
  }

  /** The answer as JSON. Throws `CliError` for a problem and for a server that does not answer. */
  async call<Result>(method: string, path: string, options: RequestOptions = {}): Promise<Result> {
    const { status, text } = await this.send(method, path, options)
    if (status >= 400) throw problemError(status, text)
    return (text === '' ? undefined : JSON.parse(text)) as Result
  }

  /** The answer as it came, whatever its status. */
  async send(method: string, path: string, options: RequestOptions = {}): Promise<ServerAnswer> {
    const response = await this.#fetch(method, path, options)
    try {
      return {
        status: response.status,
        contentType: response.headers.get('content-type') ?? '',
        text: await response.text(),
      }
    } catch (error) {
      throw this.#unreachable(error)
    }
  }

  /** Asks until a server answers; for what is asked in the middle of something that has begun. */
  async patiently<Result>(ask: () => Promise<Result>, options: FollowOptions = {}): Promise<Result> {
    const patience = new Patience(options)
    for (;;) {
      try {
        const result = await ask()
        patience.reset()
        return result
      } catch (error) {
        if (!(error instanceof CliError) || error.exitCode !== EXIT.unreachable || options.signal?.aborted)
          throw error
        await patience.wait(error)
      }
    }
  }

  /** A run's events from after `afterSeq`; connects again where a connection broke, without a gap. */
  async *events(runId: string, afterSeq = 0, options: FollowOptions = {}): AsyncGenerator<StreamItem> {
    const { signal } = options
    const patience = new Patience(options)
    let lastSeq = afterSeq
    while (!signal?.aborted) {
      let broken: unknown = new Error('the server ended the stream')
      try {
        const path = `/api/v1/runs/${encodeURIComponent(runId)}/events`
        const response = await this.#fetch(
          'GET',
          path,
          { query: { after: lastSeq }, ...(signal ? { signal } : {}) },
          'text/event-stream',
        )
        if (response.status === 204) return
        if (response.status !== 200) throw problemError(response.status, await response.text())
        patience.reset()
        for await (const item of readStream(response)) {
          if (item.kind === 'event') lastSeq = item.seq
          yield item
          if (item.kind === 'event' && isFinal(item.event)) return
        }
      } catch (error) {
        // A problem, and what is no answer of Weft's: neither gets better with the next connection.
        if (error instanceof CliError ? error.exitCode !== EXIT.unreachable : error instanceof SyntaxError)
          throw error
        broken = error
      }
      if (!signal?.aborted)
        await patience.wait(broken instanceof CliError ? broken : this.#unreachable(broken))
    }
  }

  async #fetch(
    method: string,
    path: string,
    options: RequestOptions,
    accept = 'application/json',
  ): Promise<Response> {
    const url = new URL(path, this.address.url)
    for (const [name, value] of Object.entries(options.query ?? {})) {
      for (const item of Array.isArray(value) ? value : [value])
        if (item !== undefined) url.searchParams.append(name, String(item))
    }
    const headers: Record<string, string> = { accept }
    if (this.address.apiKey !== null) headers.authorization = `Bearer ${this.address.apiKey}`
    if (options.idempotencyKey !== undefined) headers['idempotency-key'] = options.idempotencyKey
    const body = options.text ?? (options.body === undefined ? undefined : JSON.stringify(options.body))
    if (body !== undefined) headers['content-type'] = options.contentType ?? 'application/json'
    try {
      return await fetch(url, { method, headers, body, signal: options.signal ?? null, redirect: 'error' })
    } catch (error) {
      throw this.#unreachable(error)
    }
  }

  #unreachable(error: unknown): CliError {
    const cause =
      error instanceof Error && error.cause instanceof Error
        ? error.cause.message
        : error instanceof Error
          ? error.message
          : String(error)
    return new CliError(
      EXIT.unreachable,
      `No Weft server answers at ${this.address.url} (${cause}). Start one with \`weft dev\`, or name another with --url or WEFT_URL.`,
    )
  }
}

/** Waits for a server that is away, longer each time, and gives up after two minutes. */
class Patience {
  readonly #options: FollowOptions
  #delayMs = FIRST_DELAY_MS
  #waitedMs = 0

  constructor(options: FollowOptions) {
    this.#options = options
  }

  /** A server answers. */
  reset(): void {
    if (this.#waitedMs > 0) this.#options.onAway?.(false)
    this.#delayMs = FIRST_DELAY_MS
    this.#waitedMs = 0
  }

  /** Throws the reason when it has waited long enough. */
  async wait(reason: CliError): Promise<void> {
    const { signal, onAway } = this.#options
    if (this.#waitedMs >= GIVE_UP_AFTER_MS) throw reason
    if (this.#waitedMs === 0) onAway?.(true)
    await sleep(this.#delayMs, undefined, signal ? { signal } : {}).catch(() => undefined)
    this.#waitedMs += this.#delayMs
    this.#delayMs = Math.min(2 * this.#delayMs, LONGEST_DELAY_MS)
  }
}

const isFinal = (event: RunEvent): boolean =>
  event.type === 'run.completed' || event.type === 'run.failed' || event.type === 'run.cancelled'

async function* readStream(response: Response): AsyncGenerator<StreamItem> {
  let rest = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    rest += decoder.decode(chunk, { stream: true })
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const item = readBlock(rest.slice(0, end))
      rest = rest.slice(end + 2)
      if (item) yield item
    }
  }
}

function readBlock(block: string): StreamItem | null {
  const fields = new Map(
    block
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]),
  )
  const data = fields.get('data')
  // Comments keep the connection alive; what else has no number (`missed`) is for programs that show attempts exactly.
  if (data === undefined || (!fields.has('id') && fields.get('event') !== 'attempt')) return null
  if (fields.get('event') === 'attempt') return { kind: 'attempt', news: JSON.parse(data) as AttemptNews }
  const { seq, ...event } = JSON.parse(data) as RunEvent & { seq: number }
  return { kind: 'event', seq, event: event as RunEvent }
}

export function readProblem(status: number, text: string): ProblemAnswer {
  try {
    const problem = JSON.parse(text) as Partial<ProblemAnswer>
    if (typeof problem.code === 'string')
      return { title: '', detail: '', ...problem, status, code: problem.code }
  } catch {
    // Not one of Weft's answers: a proxy, or another program on the port.
  }
  return {
    status,
    code: 'not_weft',
    title: '',
    detail: `The server answered ${status} and not as Weft does: ${text.slice(0, 200)}`,
  }
}

export function problemError(status: number, text: string): CliError {
  const problem = readProblem(status, text)
  const lines = (problem.problems ?? []).map(({ pointer, line, column, code, message }) => {
    const position = line === undefined ? '' : `${line}:${column ?? 1}  `
    return `\n  ${position}${pointer || '/'}\n    ${code}: ${message}`
  })
  const detail = lines.length > 0 ? `${problem.title}.${lines.join('')}` : problem.detail
  const corrected = isObject(problem.details) ? problem.details.corrected : undefined
  const advice = corrected === undefined ? '' : `\n  send instead: ${JSON.stringify(corrected)}`
  return new CliError(exitCodeFor(status), `${problem.code}: ${detail}${advice}`, problem)
}

function exitCodeFor(status: number): number {
  if (status === 400 || status === 404 || status === 413 || status === 415 || status === 422)
    return EXIT.invalid
  return status >= 500 ? EXIT.unreachable : EXIT.refused
}
