/** A client of the HTTP API, as far as examples and tour need it. */
import type { RunEvent, RunView, StepView } from '@weft/engine'

export type RunDetail = Pick<
  RunView,
  'id' | 'status' | 'waitingFor' | 'output' | 'error' | 'startedAt' | 'finishedAt' | 'seq'
> & { readonly steps: readonly StepView[]; readonly workflow: string; readonly parentId: string | null }

/** The API said no. */
export class ApiRefusal extends Error {
  override readonly name = 'ApiRefusal'
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export class Client {
  readonly url: string
  readonly #key: string

  constructor(url: string, key: string) {
    this.url = url
    this.#key = key
  }

  /** Throws {@link ApiRefusal}, or `fetch`'s own error when nobody answers. */
  async call<Answer>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const answer = (await response.json()) as { title?: string; detail?: string }
    if (response.ok) return answer as Answer
    throw new ApiRefusal(
      response.status,
      `${method} ${path}: ${response.status} ${answer.detail ?? answer.title ?? ''}`,
    )
  }

  async submit(source: string, input: unknown): Promise<string> {
    return (await this.call<{ id: string }>('POST', '/runs', { source, input })).id
  }

  run(id: string): Promise<RunDetail> {
    return this.call('GET', `/runs/${id}`)
  }

  /** The whole log. */
  async events(id: string): Promise<(RunEvent & { seq: number })[]> {
    const all: (RunEvent & { seq: number })[] = []
    for (let after: string | null = '0'; after !== null; ) {
      const page: { items: typeof all; nextCursor: string | null } = await this.call(
        'GET',
        `/runs/${id}/events?after=${after}&limit=1000`,
      )
      all.push(...page.items)
      after = page.nextCursor
    }
    return all
  }
}

export const isFinished = ({ status }: Pick<RunDetail, 'status'>): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled'
