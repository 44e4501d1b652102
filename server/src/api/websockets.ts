/**
 * How a request becomes a WebSocket: which ones may, and the way there through Fastify, so that what is looked at
 * before any answer (browser check, key, role) is looked at here too, and refused in the same words.
 *
 * Requests for other upgrades, and for a WebSocket at another address, are answered as if they had not asked.
 */
import { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type WebSocket, WebSocketServer } from 'ws'
import { pathsOf, ROUTES } from './contract.ts'
import { MAX_MESSAGE_BYTES } from './live-messages.ts'

type RawRequest = FastifyRequest['raw']

interface Upgrade {
  readonly stream: Duplex
  readonly head: Buffer
}

const PATHS = new Set(pathsOf(ROUTES.live))

/** For `http.createServer`: whether the request is for a WebSocket where there is one. */
export const isForWebSocket = ({ headers, url }: RawRequest): boolean =>
  headers.upgrade?.toLowerCase() === 'websocket' &&
  PATHS.has((url ?? '').replace(/\?.*$/s, '').replace(/\/$/, ''))

export class WebSockets {
  readonly #upgrades = new WeakMap<RawRequest, Upgrade>()
  readonly #server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: MAX_MESSAGE_BYTES,
  })

  attach(app: FastifyInstance): void {
    app.server.on('upgrade', (request: RawRequest, stream: Duplex, head: Buffer) => {
      // Until the WebSocket listens itself.
      stream.on('error', () => stream.destroy())
      this.#upgrades.set(request, { stream, head })
      const response = new ServerResponse(request)
      response.shouldKeepAlive = false
      response.assignSocket(stream as Parameters<ServerResponse['assignSocket']>[0])
      response.once('finish', () => stream.end())
      app.routing(request, response)
    })
  }

  isUpgrade(request: FastifyRequest): boolean {
    return this.#upgrades.has(request.raw)
  }

  /** Completes the upgrade; a request that is no good handshake is answered, and nothing comes of it. */
  accept(reply: FastifyReply, onOpen: (socket: WebSocket, stream: Duplex) => void): void {
    const { raw: request } = reply.request
    const { stream, head } = this.#upgrades.get(request) as Upgrade
    reply.hijack()
    reply.raw.detachSocket(stream as Parameters<ServerResponse['detachSocket']>[0])
    this.#server.handleUpgrade(request, stream, head, (socket) => onOpen(socket, stream))
  }
}
