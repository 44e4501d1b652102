/**
 * A caller of the API that lives through kills: a request that could not be delivered, or whose answer did not come, is
 * sent again, to the next of the API's addresses. Nothing else is retried: any answer but a success is an error of the trial.
 */
import { setTimeout as pause } from 'node:timers/promises'

/** Doubled each time: a crowd that asks again at once keeps a server down that has just come back. */
const FIRST_RETRY_MS = 50
const MAX_RETRY_MS = 2_000
/** A process that was stopped takes requests and never answers. */
const ANSWER_WITHIN_MS = 5_000

export class UnexpectedAnswer extends Error {
  override readonly name = 'UnexpectedAnswer'
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export class ApiClient {
  readonly #urls: readonly string[]
  readonly #apiKey: string
  #next = 0
  /** Requests that had to be sent again. */
  resent = 0

  /** With one address an answer is waited for as long as it takes. */
  constructor(urls: string | readonly string[], apiKey: string) {
    this.#urls = typeof urls === 'string' ? [urls] : urls
    this.#apiKey = apiKey
  }

  get<T>(path: string): Promise<T> {
    return this.#call('GET', path)
  }

  /** The key makes a repeated request the same request. */
  post<T>(path: string, body: unknown, idempotencyKey: string): Promise<T> {
    return this.#call('POST', path, body, idempotencyKey)
  }

  async #call<T>(method: string, path: string, body?: unknown, idempotencyKey?: string): Promise<T> {
    for (let pauseMs = FIRST_RETRY_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_RETRY_MS)) {
      const response = await this.#send(method, path, body, idempotencyKey)
      if (response !== null) return response as T
      this.resent++
      await pause(pauseMs)
    }
  }

  /** `null`: no answer, or one that says that the database is not there (yet). */
  async #send(method: string, path: string, body: unknown, idempotencyKey?: string): Promise<unknown> {
    let answer: { status: number; text: string }
    const url = this.#urls[this.#next++ % this.#urls.length]
    try {
      const response = await fetch(`${url}/api/v1${path}`, {
        method,
        ...(this.#urls.length > 1 ? { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) } : {}),
        headers: {
          authorization: `Bearer ${this.#apiKey}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      answer = { status: response.status, text: await response.text() }
    } catch {
      return null
    }
    if (answer.status === 503) return null
    if (answer.status < 300) return answer.text === '' ? undefined : JSON.parse(answer.text)
    throw new UnexpectedAnswer(answer.status, `${method} ${path} answered ${answer.status}: ${answer.text}`)
  }
}
