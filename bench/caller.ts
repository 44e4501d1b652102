/** Calls of the API from this process: a second one, as users' programs are. Keeps its connections open. */
import { Pool } from 'undici'

export class Caller {
  readonly #pool: Pool
  readonly #headers: Record<string, string>

  constructor(url: string, apiKey: string, connections = 64) {
    this.#pool = new Pool(url, { connections, pipelining: 1, headersTimeout: 120_000, bodyTimeout: 120_000 })
    this.#headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' }
  }

  /** Throws for every answer but a success. */
  async post<T>(path: string, body: unknown): Promise<T> {
    const answer = await this.#pool.request({
      method: 'POST',
      path: `/api/v1${path}`,
      headers: this.#headers,
      body: JSON.stringify(body),
    })
    const text = await answer.body.text()
    if (answer.statusCode < 300) return JSON.parse(text) as T
    throw new Error(`POST ${path} answered ${answer.statusCode}: ${text}`)
  }

  async get<T>(path: string): Promise<T> {
    const answer = await this.#pool.request({ method: 'GET', path: `/api/v1${path}`, headers: this.#headers })
    const text = await answer.body.text()
    if (answer.statusCode < 300) return JSON.parse(text) as T
    throw new Error(`GET ${path} answered ${answer.statusCode}: ${text}`)
  }

  store(definition: unknown): Promise<unknown> {
    return this.post('/workflows', { definition })
  }

  close(): Promise<void> {
    return this.#pool.destroy()
  }
}
