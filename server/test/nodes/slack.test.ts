import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { slackPostMessageNode } from '../../src/nodes/slack.ts'
import { serve } from '../egress/local-server.ts'
import { openWorker } from '../worker/harness.ts'

interface Answer {
  status?: number
  headers?: Record<string, string>
  body: string
}

async function openSlack(answer: Answer) {
  const seen: { url: string; authorization: string | undefined; body: unknown }[] = []
  const port = await serve(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    seen.push({
      url: request.url as string,
      authorization: request.headers.authorization,
      body: JSON.parse(body),
    })
    response.writeHead(answer.status ?? 200, answer.headers).end(answer.body)
  })
  const base = `http://127.0.0.1:${port}`
  const bench = await openWorker({
    types: [slackPostMessageNode(systemClock())],
    allow: [`127.0.0.1:${port}`],
    credentials: {
      HOOK: JSON.stringify({ webhookUrl: `${base}/services/T000/B000/secretsecret` }),
      BOT: JSON.stringify({ token: 'xoxb-1234567890', apiUrl: `${base}/api/` }),
      ODD: JSON.stringify({ user: 'x' }),
    },
  })
  const post = (credential: string | null, config: object) =>
    bench.perform({
      type: 'slack.post_message',
      config: config as never,
      credentials: credential === null ? {} : { default: credential },
    })
  return { ...bench, seen, post }
}

describe('slack.post_message', () => {
  it('posts by webhook', async () => {
    const { post, seen } = await openSlack({ body: 'ok' })
    const signal = await post('hook', { text: 'Hello', blocks: [{ type: 'divider' }] })
    expect(signal).toMatchObject({
      kind: 'completed',
      output: { ok: true, channel: null, ts: null, text: 'Hello' },
    })
    expect(seen).toEqual([
      {
        url: '/services/T000/B000/secretsecret',
        authorization: undefined,
        body: { text: 'Hello', blocks: [{ type: 'divider' }] },
      },
    ])
  })

  it('posts by bot token', async () => {
    const { post, seen } = await openSlack({ body: '{"ok":true,"channel":"C1","ts":"1.2","message":{}}' })
    const signal = await post('bot', { channel: '#orders', text: 'Hello', thread_ts: '1.1' })
    expect(signal).toMatchObject({
      kind: 'completed',
      output: { ok: true, channel: 'C1', ts: '1.2', text: 'Hello' },
    })
    expect(seen).toEqual([
      {
        url: '/api/chat.postMessage',
        authorization: 'Bearer xoxb-1234567890',
        body: { channel: '#orders', text: 'Hello', thread_ts: '1.1' },
      },
    ])
  })

  it.each(['hook', 'bot'])(
    'waits as long as Slack says when it is called too often (%s)',
    async (credential) => {
      const { post } = await openSlack({
        status: 429,
        headers: { 'retry-after': '30' },
        body: '{"ok":false,"error":"ratelimited"}',
      })
      expect(await post(credential, { channel: '#a', text: 'x' })).toMatchObject({
        kind: 'failed',
        error: { code: 'slack_rate_limited', retryable: true, retryAfterMs: 30_000 },
      })
    },
  )

  it.each([
    ['bot', { body: '{"ok":false,"error":"not_in_channel"}' }, 'slack_refused', false, /invite @app/],
    [
      'bot',
      { body: '{"ok":false,"error":"missing_scope","needed":"chat:write"}' },
      'slack_refused',
      false,
      /chat:write/,
    ],
    ['bot', { body: '{"ok":false,"error":"brand_new_error"}' }, 'slack_refused', false, /brand_new_error/],
    ['bot', { body: '{"ok":false,"error":"internal_error"}' }, 'slack_unavailable', true, /internal_error/],
    ['bot', { status: 502, body: '<html>Bad gateway</html>' }, 'slack_unavailable', true, /502/],
    ['bot', { body: '<html>Proxy sign-in</html>' }, 'slack_unavailable', true, /200/],
    ['hook', { status: 404, body: 'no_service' }, 'slack_refused', false, /removed or switched off/],
    ['hook', { status: 400, body: 'invalid_payload' }, 'slack_refused', false, /`text` and `blocks`/],
    ['hook', { status: 500, body: 'rollup_error' }, 'slack_unavailable', true, /rollup_error/],
  ] as const)('tells what %s may do about %j', async (credential, answer, code, retryable, text) => {
    const { post } = await openSlack(answer)
    const signal = await post(credential, { channel: '#a', text: 'x' })
    expect(signal).toMatchObject({ kind: 'failed', error: { code, retryable } })
    expect((signal as { error: { message: string } }).error.message).toMatch(text)
  })

  it.each([
    [null, { channel: '#a', text: 'x' }, 'credential_invalid', /names no credential/],
    ['odd', { channel: '#a', text: 'x' }, 'credential_invalid', /neither `webhookUrl` nor `token`/],
    ['absent', { channel: '#a', text: 'x' }, 'credential_missing', /WEFT_CREDENTIAL_ABSENT/],
    ['bot', { text: 'x' }, 'invalid_config', /needs a `channel`/],
    ['bot', { channel: '#a' }, 'invalid_config', /`text` or `blocks`/],
  ])('posts nothing and says why: %s %j', async (credential, config, code, text) => {
    const { post, seen } = await openSlack({ body: 'ok' })
    const signal = await post(credential, config)
    expect(signal).toMatchObject({ kind: 'failed', error: { code, retryable: false } })
    expect((signal as { error: { message: string } }).error.message).toMatch(text)
    expect(seen).toEqual([])
  })

  it('keeps the address of the webhook to itself', async () => {
    const { post, live } = await openSlack({
      status: 404,
      body: 'no_service for https://hooks.slack.com/services/T000/B000/other',
    })
    const signal = await post('hook', { text: 'x' })
    expect(JSON.stringify([signal, live])).not.toMatch(/secretsecret|B000\/other/)
  })
})
