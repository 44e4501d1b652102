/**
 * What a person with a terminal and a script with an API key have: one real server with its own PostgreSQL, the outside
 * world that it calls, the command line.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Json } from '@weft/engine'
import { type ExampleService, startService } from '../../../examples/service/service.ts'
import { Client } from '../../src/cli/client.ts'
import { freePort, newApiKey, newDataDirectory, removeDataDirectory, WeftProcess } from '../weft-process.ts'
import { type Ended, weft } from '../weft-program.ts'

/** A run as the API shows it, as far as these tests look. */
export interface Outcome {
  readonly id: string
  readonly status: string
  readonly output: Json
  readonly error: { readonly code: string; readonly message: string } | null
  readonly labels: Readonly<Record<string, string>>
}

export class Ground {
  readonly server: WeftProcess
  readonly service: ExampleService
  readonly client: Client
  readonly folder: string

  private constructor(server: WeftProcess, service: ExampleService) {
    this.server = server
    this.service = service
    this.folder = server.dataDirectory
    this.client = new Client({ url: server.url, apiKey: server.apiKey })
  }

  static async start(): Promise<Ground> {
    const service = await startService()
    const server = new WeftProcess({
      dataDirectory: newDataDirectory('bad-input'),
      port: await freePort(),
      apiKey: newApiKey(),
      allow: `127.0.0.1:${service.port}`,
      environment: {
        WEFT_CREDENTIAL_TEAM: JSON.stringify({ webhookUrl: `${service.url}/slack/webhook/orders` }),
      },
    })
    await server.start()
    return new Ground(server, service)
  }

  async end(): Promise<void> {
    await this.server.stop()
    await this.service.stop()
    await removeDataDirectory(this.folder)
  }

  /** The program on a definition in a file, as `<name>.yaml`. */
  async cli(verb: string, name: string, text: string, ...args: string[]): Promise<Ended> {
    await writeFile(join(this.folder, `${name}.yaml`), text)
    return weft([verb, `${name}.yaml`, ...args], this.folder, {
      WEFT_URL: this.server.url,
      WEFT_API_KEY: this.server.apiKey,
    })
  }

  /** A run to its end. */
  run(nodes: Json, input: Json = {}, more: Readonly<Record<string, Json>> = {}): Promise<Outcome> {
    return this.client.call('POST', '/api/v1/runs', {
      query: { wait: '50s' },
      body: { definition: { weft: 1, name: 'bad-input', nodes, ...more }, input },
    })
  }

  async ask(method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) {
    const response = await fetch(`${this.server.url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.server.apiKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
    })
    return { status: response.status, body: (await response.json()) as Record<string, never> }
  }

  async runCount(): Promise<number> {
    return (await this.client.call<{ items: unknown[] }>('GET', '/api/v1/runs', { query: { limit: 500 } }))
      .items.length
  }
}
