/**
 * Health and metrics over HTTP for processes without the API, and on a port of their own where one is given. Nothing here
 * asks for a key: the port belongs to whoever runs the machine, as the address does that it listens on.
 */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { Health } from './health.ts'
import type { Metrics } from './metrics.ts'
import type { Service } from './service.ts'

export interface OpsServerParts {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly health: Health
  readonly metrics: Pick<Metrics, 'contentType' | 'text'>
}

export interface OpsServer extends Service {
  /** Where it listens, once started. */
  url(): string
}

export function createOpsServer({ host, port, health, metrics }: OpsServerParts): OpsServer {
  let server: Server | null = null
  let isStopping = false

  async function answer(path: string, response: ServerResponse): Promise<void> {
    switch (path) {
      case '/healthz':
        return json(response, 200, health.live())
      case '/readyz': {
        const readiness = await health.ready(isStopping)
        return json(response, readiness.status === 'not_ready' ? 503 : 200, readiness)
      }
      case '/metrics':
        response.writeHead(200, { 'content-type': metrics.contentType }).end(await metrics.text())
        return
      default:
        json(response, 404, {
          code: 'route_not_found',
          detail: `There is no ${path} here: this port answers /healthz, /readyz and /metrics.`,
        })
    }
  }

  return {
    name: 'health and metrics',
    async start() {
      if (server) return
      isStopping = false
      const created = createServer((request, response) => {
        const { pathname } = new URL(request.url ?? '/', 'http://ops')
        answer(pathname, response).catch((error: unknown) => {
          json(response, 500, {
            code: 'internal',
            detail: error instanceof Error ? error.message : String(error),
          })
        })
      })
      server = created
      await new Promise<void>((resolve, reject) => {
        created.once('error', reject)
        created.listen(port, host, () => resolve())
      })
    },
    async stop() {
      const stopped = server
      if (!stopped) return
      isStopping = true
      server = null
      stopped.closeAllConnections()
      await new Promise<void>((resolve) => stopped.close(() => resolve()))
    },
    url() {
      const address = server?.address()
      if (!address || typeof address === 'string') throw new Error('it does not listen: call start() first')
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
      return `http://${name}:${address.port}`
    },
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) return
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body))
}
