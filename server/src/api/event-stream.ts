/** Server-sent events: writes what is followed, at the pace of the reader. */
import type { FastifyReply } from 'fastify'
import type { Followed, WorkspaceNews } from './follow.ts'
import { attemptText, eventText, hintText } from './live-text.ts'
import { Outlet, type Pace } from './outlet.ts'
import type { ApiParts } from './parts.ts'

/** How long a reader that is behind may take what is on its way, when the server stops. */
const LAST_WORDS_MS = 1_000

export async function writeEventStream(
  reply: FastifyReply,
  { clock, metrics }: Pick<ApiParts, 'clock' | 'metrics'>,
  signal: AbortSignal,
  follow: (pace: Pace) => AsyncIterable<Followed | WorkspaceNews>,
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
  signal.addEventListener('abort', () => clock.after(LAST_WORDS_MS, () => raw.destroy()), { once: true })
  const outlet = new Outlet(raw, clock)
  const ended = metrics.liveConnection('sse')
  try {
    await outlet.pour(follow(outlet), (item) => raw.write(blockOf(item)), signal)
  } finally {
    ended()
    raw.end()
  }
}

function blockOf(item: Followed | WorkspaceNews): string {
  switch (item.kind) {
    case 'event':
      return `id: ${item.seq}\nevent: ${item.event.type}\ndata: ${eventText(item)}\n\n`
    case 'attempt':
      return `event: attempt\ndata: ${attemptText(item.message)}\n\n`
    case 'hint':
      return `event: hint\ndata: ${hintText(item)}\n\n`
    case 'missed':
      return `event: missed\ndata: ${JSON.stringify('fromSeq' in item ? { fromSeq: item.fromSeq } : {})}\n\n`
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
