/** The live connection: a WebSocket, or the workspace's hints as server-sent events. */
import type { Handlers } from '../call.ts'
import { ApiError } from '../errors.ts'
import { writeEventStream } from '../event-stream.ts'
import { followWorkspace } from '../follow.ts'
import { LiveSession } from '../live-session.ts'
import type { HandlerParts } from '../parts.ts'
import { streamSignal } from '../stream-signal.ts'
import type { WebSockets } from '../websockets.ts'

export function liveHandlers(parts: HandlerParts & { readonly webSockets: WebSockets }): Handlers<'live'> {
  const { webSockets, metrics } = parts
  return {
    live: (call) => ({
      async stream(reply) {
        const { principal, headers } = call
        if (webSockets.isUpgrade(reply.request)) {
          const { authorization } = headers
          webSockets.accept(reply, (socket, stream) => {
            socket.once('close', metrics.liveConnection('websocket'))
            new LiveSession(parts, { socket, stream }).start(
              authorization as string | undefined,
              authorization === undefined ? null : principal,
            )
          })
          return
        }
        if (!String(headers.accept ?? '').includes('text/event-stream'))
          throw ApiError.of(
            'upgrade_required',
            'GET /live is a WebSocket: connect with a WebSocket client. For the workspace’s hints as server-sent events send `Accept: text/event-stream`; for a run’s events GET /runs/<id>/events.',
            { headers: { upgrade: 'websocket', connection: 'upgrade' } },
          )
        const signal = streamSignal(parts, call)
        await writeEventStream(reply, parts, signal, (pace) =>
          followWorkspace(parts, { workspace: principal.workspace, pace, signal }),
        )
      },
    }),
  }
}
