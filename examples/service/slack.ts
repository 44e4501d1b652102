/** A receiver that answers as Slack does, to incoming webhooks and to `chat.postMessage`, and keeps what it got. */
import { type Answer, type Call, fieldsOf, jsonOf, problem, type Route, route } from './call.ts'

export interface SlackMessage {
  channel: string
  text: string
  blocks?: unknown
  ts: string
  via: 'webhook' | 'chat.postMessage'
  run: string | null
  step: string | null
  receivedAt: string
}

/** What the next calls answer instead of taking the message. */
interface Behaviour {
  status: number
  /** Seconds, for the `Retry-After` header. */
  retryAfter?: number
  /** For how many calls; for ever when absent. */
  times?: number
}

const WELL: Behaviour = { status: 200 }

export function slackRoutes(messages: SlackMessage[]): Route[] {
  let behaviour = WELL

  function misbehave(): Behaviour | undefined {
    if (behaviour.status === 200) return undefined
    const current = behaviour
    if (current.times !== undefined)
      behaviour = current.times > 1 ? { ...current, times: current.times - 1 } : WELL
    return current
  }

  function receive(
    call: Call,
    via: SlackMessage['via'],
    channel: string,
    text: string,
    blocks: unknown,
  ): SlackMessage {
    const now = new Date()
    const message: SlackMessage = {
      channel,
      text,
      ...(blocks === undefined ? {} : { blocks }),
      ts: `${Math.trunc(now.getTime() / 1000)}.${String(messages.length + 1).padStart(6, '0')}`,
      via,
      run: call.caller.run,
      step: call.caller.step,
      receivedAt: now.toISOString(),
    }
    messages.push(message)
    return message
  }

  return [
    route('POST', '/slack/webhook/:channel', (call) => {
      const wrong = misbehave()
      if (wrong !== undefined) return failure(wrong, wrong.status === 429 ? 'rate_limited' : 'server_error')
      const fields = webhookFields(call)
      if (fields === undefined) return { status: 400, body: 'invalid_payload' }
      const { text, blocks } = fields
      if (typeof text !== 'string' && blocks === undefined) return { status: 400, body: 'no_text' }
      receive(call, 'webhook', call.params.channel!, String(text ?? ''), blocks)
      return { body: 'ok' }
    }),

    route('POST', '/api/chat.postMessage', (call) => {
      const wrong = misbehave()
      if (wrong?.status === 429) return failure(wrong, { ok: false, error: 'ratelimited' })
      if (wrong !== undefined) return failure(wrong, { ok: false, error: 'internal_error' })
      const token = /^Bearer (\S+)$/i.exec(call.headers.authorization ?? '')?.[1]
      if (token === undefined) return refusal('not_authed')
      if (token === 'bad') return refusal('invalid_auth')
      const fields = fieldsOf(call)
      if (fields === undefined) return refusal('invalid_json')
      const { channel, text, blocks } = fields
      if (typeof channel !== 'string' || channel === '') return refusal('channel_not_found')
      if ((typeof text !== 'string' || text === '') && blocks === undefined) return refusal('no_text')
      const message = receive(call, 'chat.postMessage', channel, String(text ?? ''), blocks)
      const echo = {
        type: 'message',
        user: 'U0WEFT',
        text: message.text,
        blocks: message.blocks,
        ts: message.ts,
      }
      return { body: { ok: true, channel, ts: message.ts, message: echo } }
    }),

    route('GET', '/slack/messages', () => ({ body: messages })),

    route('POST', '/slack/behaviour', (call) => {
      const { status, retryAfter, times } = fieldsOf(call) ?? {}
      if (typeof status !== 'number' || !Number.isInteger(status) || status < 200 || status > 599) {
        return problem(
          400,
          'say which status, as in {"status": 429, "retryAfter": 1, "times": 2}; 200 is well again',
        )
      }
      behaviour = {
        status,
        ...(typeof retryAfter === 'number' ? { retryAfter } : {}),
        ...(typeof times === 'number' ? { times } : {}),
      }
      return { body: behaviour }
    }),
  ]
}

/** A webhook takes JSON, or a form with the JSON in `payload`. */
function webhookFields(call: Call): Record<string, unknown> | undefined {
  const fields = fieldsOf(call)
  if (typeof fields?.payload !== 'string') return fields
  const payload = jsonOf(fields.payload)
  return typeof payload === 'object' && payload !== null ? { ...payload } : undefined
}

/** Slack says no with 200 and `ok: false`. */
const refusal = (error: string): Answer => ({ body: { ok: false, error } })

const failure = ({ status, retryAfter }: Behaviour, body: unknown): Answer => ({
  status,
  headers: retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) },
  body,
})
