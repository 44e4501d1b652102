/** Server-sent events: writes what `followRun` yields, at the pace of the reader. */
import { once } from 'node:events'
import type { FastifyReply } from 'fastify'
import type { Followed } from './follow.ts'

/** A reader that has more than this unread is waited for; the generator gathers meanwhile, within its own bound. */
const MAX_UNREAD_BYTES = 1024 * 1024

export async function writeEventStream(
  reply: FastifyReply,
  items: AsyncGenerator<Followed>,
  signal: AbortSignal,
): Promise<void> {
  reply.hijack()
  const { raw } = reply
  raw.writeHead(200, {
    ...headersOf(reply),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  raw.flushHeaders()
  try {
    for await (const item of items) {
      if (raw.destroyed) break
      raw.write(textOf(item))
      if (raw.writableLength > MAX_UNREAD_BYTES) await once(raw, 'drain', { signal }).catch(() => undefined)
    }
  } finally {
    raw.end()
  }
}

function textOf(item: Followed): string {
  switch (item.kind) {
    case 'event':
      return `id: ${item.seq}\nevent: ${item.event.type}\ndata: ${JSON.stringify({ seq: item.seq, ...item.event })}\n\n`
    case 'attempt': {
      const { kind, workspace, ...rest } = item.message
      return `event: ${kind}\ndata: ${JSON.stringify(rest)}\n\n`
    }
    case 'quiet':
      return ': nothing new\n\n'
  }
}

function headersOf(reply: FastifyReply): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) headers[name] = String(value)
  return headers
}
