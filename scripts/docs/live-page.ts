/** `docs/live.md`: following runs while they happen, and every message of the WebSocket. */
import type { JsonObject } from '@weft/engine'
import { MAX_MESSAGE_BYTES, MAX_SUBSCRIPTIONS } from '../../server/src/api/live-messages.ts'
import { CLOSE_CODES } from '../../server/src/api/live-session.ts'
import { openApiDocument } from '../../server/src/api/openapi.ts'
import { MAX_UNREAD_BYTES } from '../../server/src/api/outlet.ts'
import { block, code, page, table } from './markdown.ts'

interface Field {
  readonly const?: unknown
  readonly type?: string
  readonly enum?: readonly string[]
  readonly items?: Message
  readonly description?: string
}

interface Message {
  readonly description?: string
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Field>>
}

const typeOf = ({ const: only, type, enum: values, items }: Field): string => {
  if (only !== undefined) return JSON.stringify(only)
  if (values) return values.map((value) => JSON.stringify(value)).join(' or ')
  if (!items) return type ?? 'any'
  return items.properties ? `list of { ${fieldsOf(items)} }` : 'list of strings'
}

const fieldsOf = ({ properties = {}, required = [] }: Message): string =>
  Object.entries(properties)
    .filter(([name]) => name !== 'type')
    .map(([name, field]) => `${name}${required.includes(name) ? '' : '?'}: ${typeOf(field)}`)
    .join(', ')

/** What stands at a field in the schema, and is not said by its type. */
const meaningsOf = ({ properties = {} }: Message): string[] =>
  Object.entries(properties).flatMap(([name, { description, items }]) => [
    ...(description === undefined || name === 'ref' ? [] : [`${code(name)}: ${description}`]),
    ...(items ? meaningsOf(items) : []),
  ])

/** As the OpenAPI document shows them. */
function messages(name: 'LiveClientMessage' | 'LiveServerMessage'): string {
  const { schemas } = openApiDocument('').components as JsonObject
  const { oneOf } = (schemas as JsonObject)[name] as unknown as { oneOf: readonly Message[] }
  return table(
    ['type', 'fields', 'meaning'],
    oneOf.map((message) => [
      code(String(message.properties?.type?.const)),
      fieldsOf(message) === '' ? '' : code(fieldsOf(message)),
      [...(message.description === undefined ? [] : [message.description]), ...meaningsOf(message)].join(
        '; ',
      ),
    ]),
  )
}

export const livePage = (): string =>
  page(
    'Live streams',
    'A run’s log can be read while it grows: first what was, then what comes, in order, without a gap or a repeat. Events have a number (`seq`), which grows by one. A reader that was cut off names the next number it wants and has missed nothing. What attempts say while they work (`attempt`: started, progress, log lines) has no number, stands in no log, and may be lost.',
    '## One run: server-sent events',
    block(
      'sh',
      'curl -N -H "Authorization: Bearer $WEFT_API_KEY" -H "Accept: text/event-stream" \\\n  http://127.0.0.1:7400/api/v1/runs/<id>/events',
    ),
    'Each event has its number as `id` and its type as `event`; the data is the event as JSON. `Last-Event-ID` (or `?after=`) resumes after an event. After the last event the stream ends, and to a reader who has that event the answer is 204. A comment comes every five seconds without news. In a browser read the stream with `fetch`: an `EventSource` cannot send a key.',
    '## Many runs, or the workspace: WebSocket',
    'Connect to `/api/v1/live`. Programs send the header `Authorization: Bearer <key>`; browsers cannot, and send an `auth` message first, within ten seconds. Any key that may read will do. Messages are JSON texts, one each.',
    block(
      'json',
      '{ "type": "auth", "token": "weft_…" }\n{ "type": "subscribe", "runs": [{ "id": "01a1fc7a-…" }, { "id": "01a1fc7b-…", "fromSeq": 8 }] }',
    ),
    '### What you say',
    messages('LiveClientMessage'),
    `A message that cannot be understood is answered with \`error\`, and the connection stays. \`ref\` is anything of yours, and comes back with the answers to that message. A connection follows up to ${MAX_SUBSCRIPTIONS.toLocaleString('en')} runs, and a message has up to ${MAX_MESSAGE_BYTES / 1024} KiB.`,
    '### What you hear',
    messages('LiveServerMessage'),
    `While more than ${MAX_UNREAD_BYTES / 1024 / 1024} MiB is on its way to a reader, nothing is gathered for it: \`missed\` says so when it reads again, and the events follow from the log. One that takes nothing for two minutes is cut. The server pings every 15 seconds and drops who answers nothing.`,
    'The connection closes with one of these codes; what closes otherwise is a broken connection, and is opened again.',
    table(
      ['code', 'meaning'],
      CLOSE_CODES.map(([number, meaning]) => [String(number), meaning]),
    ),
    '## The workspace by server-sent events',
    '`GET /api/v1/live` with `Accept: text/event-stream` streams the hints alone, as `event: hint`. A hint says that a run has one more event. Hints have no past: whoever shows a list loads it after the stream is open, and again after `missed`.',
    '## Pages in browsers',
    'Pages of the server’s own origin may connect, and those of origins that [`WEFT_CORS_ORIGINS`](configuration.md) names.',
  )
