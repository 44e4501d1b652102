/**
 * `slack.post_message`: a message by an incoming webhook or by `chat.postMessage`, whichever the credential is for.
 * Slack's ways of refusing become errors that say what to do in Slack.
 */
import { isObject, type Json, type JsonObject } from '@weft/engine'
import { z } from 'zod'
import type { Clock } from '../clock.ts'
import type { EgressResponse } from '../egress/egress.ts'
import { defineNode } from './define-node.ts'
import { type NodeError, nodeError } from './errors.ts'
import { attemptHeaders } from './identity.ts'
import type { NodeContext, NodeType } from './node-type.ts'
import { retryAfterMs } from './retry-after.ts'

const API_URL = 'https://slack.com/api'

const config = z
  .strictObject({
    channel: z.string().min(1).optional().describe('`#name` or id. A webhook has its own and takes none.'),
    text: z
      .string()
      .optional()
      .describe('The message, and the fallback in notifications when there are blocks.'),
    blocks: z.array(z.record(z.string(), z.unknown())).optional().describe("Slack's Block Kit."),
    thread_ts: z.string().optional().describe('`ts` of the message to answer in a thread.'),
  })
  .refine(({ text, blocks }) => text !== undefined || blocks !== undefined, {
    message: 'a message needs `text` or `blocks`',
    path: ['text'],
  })

type SlackConfig = z.output<typeof config>

export const slackPostMessageNode = (clock: Clock): NodeType =>
  defineNode({
    type: 'slack.post_message',
    title: 'Slack message',
    description: 'Posts a message to a Slack channel, by incoming webhook or by bot token.',
    icon: 'message-square',
    config,
    output: z.object({
      ok: z.literal(true),
      channel: z.string().nullable(),
      ts: z.string().nullable().describe('Id of the message; null by webhook, which does not say it.'),
      text: z.string().nullable(),
    }),
    effect: 'write',
    timeoutMs: 30_000,
    async run(message, context) {
      const credential = await context.credential()
      if (credential?.webhookUrl !== undefined)
        return byWebhook(credential.webhookUrl, message, context, clock.now)
      if (credential?.token !== undefined) {
        return byApi(
          { token: credential.token, apiUrl: credential.apiUrl ?? API_URL },
          message,
          context,
          clock.now,
        )
      }
      throw nodeError(
        'credential_invalid',
        `${credential === null ? 'The step names no credential' : 'The credential of the step has neither `webhookUrl` nor `token`'}. Name one with \`credential:\` that is {"webhookUrl":"https://hooks.slack.com/services/…"} or {"token":"xoxb-…"}.`,
      )
    },
  })

const post = (url: string, body: JsonObject, headers: Record<string, string>, context: NodeContext) =>
  context.request({
    method: 'POST',
    url,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'idempotency-key': context.idempotencyKey,
      ...headers,
      ...attemptHeaders(context),
    },
    body: JSON.stringify(body),
  })

const bodyOf = (message: SlackConfig): JsonObject =>
  Object.fromEntries(Object.entries(message).filter(([, value]) => value !== undefined)) as JsonObject

async function byWebhook(
  url: string,
  message: SlackConfig,
  context: NodeContext,
  now: () => number,
): Promise<Json> {
  const response = await post(url, bodyOf(message), {}, context)
  const answer = Buffer.from(response.body).toString().trim()
  if (response.status >= 200 && response.status < 300) {
    return { ok: true, channel: message.channel ?? null, ts: null, text: message.text ?? null }
  }
  throw failureOf(response, answer, now())
}

async function byApi(
  { token, apiUrl }: { token: string; apiUrl: string },
  message: SlackConfig,
  context: NodeContext,
  now: () => number,
): Promise<Json> {
  if (message.channel === undefined) {
    throw nodeError(
      'invalid_config',
      'A message by bot token needs a `channel`: "#orders", or the id of the channel.',
    )
  }
  const url = `${apiUrl.replace(/\/+$/, '')}/chat.postMessage`
  const response = await post(url, bodyOf(message), { authorization: `Bearer ${token}` }, context)
  const text = Buffer.from(response.body).toString()
  const answer = parse(text)
  if (response.status < 300 && answer?.ok === true) {
    const { channel = message.channel, ts = null } = answer
    return { ok: true, channel, ts, text: message.text ?? null }
  }
  const reason = typeof answer?.error === 'string' ? answer.error : ''
  throw failureOf(response, reason, now(), answer)
}

function parse(text: string): JsonObject | null {
  try {
    const value = JSON.parse(text) as Json
    return isObject(value) ? value : null
  } catch {
    return null
  }
}

/** What went wrong on Slack's side and passes. */
const PASSING = new Set([
  'internal_error',
  'fatal_error',
  'service_unavailable',
  'request_timeout',
  'team_added_to_org',
  'rollup_error',
])
const RATE_LIMITED = new Set(['ratelimited', 'rate_limited', 'message_limit_exceeded'])

const ADVICE: Readonly<Record<string, string>> = {
  account_inactive:
    'The token belongs to an account that was deleted: install the app again and use its new token.',
  action_prohibited: 'An admin of the workspace has restricted posting with this webhook: ask them.',
  channel_is_archived: 'Unarchive the channel or choose another one.',
  channel_not_found:
    'Check the name; a private channel is only found once the app was invited: /invite @app.',
  invalid_auth: "The token is not valid: check the credential's `token`.",
  invalid_blocks: 'Check the blocks with the Block Kit Builder; the details say which part.',
  invalid_payload: 'Slack could not read the message: check `text` and `blocks`.',
  invalid_token: "The webhook's address is not valid: check the credential's `webhookUrl`.",
  is_archived: 'Unarchive the channel or choose another one.',
  missing_scope:
    'Give the app the scope `chat:write` under “OAuth & Permissions”, install it again, and use its new token.',
  msg_too_long: 'Shorten `text`: Slack takes 40,000 characters.',
  no_service: 'The webhook was removed or switched off: make a new one and set it as `webhookUrl`.',
  no_text: 'Give the message a `text` or `blocks`.',
  not_authed: "Slack saw no token: check the credential's `token`.",
  not_in_channel: 'Invite the app into the channel: /invite @app, or give it the scope `chat:write.public`.',
  restricted_action: 'A setting of the workspace forbids posting there: ask its admin.',
  token_expired: 'The token has expired: make a new one and set it as `token`.',
  token_revoked: 'The token was revoked: install the app again and use its new token.',
  user_not_found: 'Check the id of the user.',
}

function failureOf(
  response: EgressResponse,
  reason: string,
  now: number,
  answer: JsonObject | null = null,
): NodeError {
  const { status, headers } = response
  const details: JsonObject = { status, error: reason.slice(0, 200), ...moreOf(answer) }
  const said = reason === '' ? `status ${status}` : `\`${reason.slice(0, 200)}\` (status ${status})`
  const pause = retryAfterMs(headers, now)
  const more = { details, ...(pause !== undefined && { retryAfterMs: pause }) }
  if (status === 429 || RATE_LIMITED.has(reason)) {
    const when = pause === undefined ? '' : ` in ${Math.ceil(pause / 1000)} s`
    return nodeError(
      'slack_rate_limited',
      `Slack asks to be called less often: ${said}. The step is tried again${when}.`,
      more,
    )
  }
  // Slack refuses with a reason; an answer without one came from something between.
  if (status >= 500 || PASSING.has(reason) || reason === '') {
    return nodeError(
      'slack_unavailable',
      `Slack could not post the message: ${said}. See https://slack-status.com if it goes on.`,
      more,
    )
  }
  const advice = ADVICE[reason] ?? "Look the error up in Slack's documentation of chat.postMessage."
  return nodeError('slack_refused', `Slack refused the message: ${said}. ${advice}`, { details })
}

/** What Slack says beside the error: missing scopes, and which block is wrong. */
function moreOf(answer: JsonObject | null): JsonObject {
  if (answer === null) return {}
  const { needed, provided, response_metadata: metadata } = answer
  const messages = isObject(metadata) ? metadata.messages : undefined
  return {
    ...(needed !== undefined && { needed }),
    ...(provided !== undefined && { provided }),
    ...(messages !== undefined && { messages }),
  }
}
