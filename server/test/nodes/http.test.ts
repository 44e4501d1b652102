import type { IncomingMessage, RequestListener } from 'node:http'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { httpNode } from '../../src/nodes/http/http.ts'
import { serve } from '../egress/local-server.ts'
import { type Bench, type BenchSettings, openWorker, RUN } from '../worker/harness.ts'

interface Seen {
  method: string
  url: string
  headers: IncomingMessage['headers']
  body: string
}

interface Http extends Bench {
  readonly seen: Seen[]
  readonly base: string
  http(config: object, more?: object): Promise<Awaited<ReturnType<Bench['perform']>>>
}

/** An `http` step against a service that answers as told and remembers what it saw. */
async function openHttp(answer: RequestListener, settings: BenchSettings = {}): Promise<Http> {
  const seen: Seen[] = []
  const port = await serve(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    seen.push({
      method: request.method as string,
      url: request.url as string,
      headers: request.headers,
      body,
    })
    answer(request, response)
  })
  const bench = await openWorker({
    types: [httpNode(systemClock())],
    allow: [`127.0.0.1:${port}`],
    ...settings,
  })
  const base = `http://127.0.0.1:${port}`
  let count = 0
  return {
    ...bench,
    seen,
    base,
    http: (config, more = {}) =>
      bench.perform({
        type: 'http',
        key: `step${count++}`,
        config: { url: base, ...config } as never,
        ...more,
      }),
  }
}

const json =
  (value: unknown, status = 200, headers: Record<string, string> = {}): RequestListener =>
  (_, response) =>
    void response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(JSON.stringify(value))

const text =
  (body: string | Buffer, contentType: string | undefined, status = 200): RequestListener =>
  (_, response) =>
    void response
      .writeHead(status, contentType === undefined ? {} : { 'content-type': contentType })
      .end(body)

describe('http: what is sent', () => {
  it('names the attempt in every request, and an idempotency key where the request changes something', async () => {
    const { http, seen } = await openHttp(json({}))
    await http({}, { key: 'fetch[3]', round: 2, attempt: 4 })
    await http({ method: 'POST', json: { a: 1 } }, { key: 'send', round: 1, attempt: 2 })
    expect(seen[0]!.headers).toMatchObject({
      'x-weft-run': RUN,
      'x-weft-step': 'fetch[3]',
      'x-weft-round': '2',
      'x-weft-attempt': '4',
    })
    expect(seen[0]!.headers['idempotency-key']).toBeUndefined()
    expect(seen[1]!.headers['idempotency-key']).toBe(`${RUN}/send/1`)
    expect(seen[1]).toMatchObject({ method: 'POST', body: '{"a":1}' })
    expect(seen[1]!.headers['content-type']).toBe('application/json')
  })

  it.each([
    [{ query: { q: 'a b&c', n: 2, no: null, list: ['x', 'y'] } }, '/?q=a+b%26c&n=2&list=x&list=y'],
    [{ path: '/find?old=1#part', query: { new: 'ü' } }, '/find?old=1&new=%C3%BC'],
    [{ path: '/plain', query: {} }, '/plain'],
  ])(
    'encodes the query %j',
    async ({ path = '/', ...config }: { path?: string; query: object }, expected) => {
      const { http, seen, base } = await openHttp(json({}))
      await http({ url: base + path, ...config })
      expect(seen[0]!.url).toBe(expected)
    },
  )

  it('sends forms, texts and an explicit null', async () => {
    const { http, seen } = await openHttp(json({}))
    await http({ method: 'POST', form: { a: '1 2', b: ['x', 'y'] } })
    await http({ method: 'PUT', body: '<a/>', headers: { 'Content-Type': 'application/xml' } })
    await http({ method: 'PATCH', json: null })
    expect(seen.map(({ method, body }) => [method, body])).toEqual([
      ['POST', 'a=1+2&b=x&b=y'],
      ['PUT', '<a/>'],
      ['PATCH', 'null'],
    ])
    expect(seen[1]!.headers['content-type']).toBe('application/xml')
  })

  it.each([
    ['a token', { token: 'token-123456' }, { authorization: 'Bearer token-123456' }],
    [
      'a user',
      { username: 'ann', password: 'pass-123456' },
      { authorization: `Basic ${btoa('ann:pass-123456')}` },
    ],
    ['a header', { header: 'X-Api-Key', value: 'key-123456' }, { 'x-api-key': 'key-123456' }],
    [
      'headers',
      { headers: { 'X-A': 'aaaaaaaa', 'X-B': 'bbbbbbbb' } },
      { 'x-a': 'aaaaaaaa', 'x-b': 'bbbbbbbb' },
    ],
  ])('sends a credential that is %s', async (_, credential, expected) => {
    const { http, seen } = await openHttp(json({}), { credentials: { SHOP: JSON.stringify(credential) } })
    await http({}, { credentials: { default: 'shop' } })
    expect(seen[0]!.headers).toMatchObject(expected)
  })

  it('percent-encodes a value in the URL, so that it stays what it was meant to be', async () => {
    const { http, seen, base } = await openHttp(json({}))
    await http({ url: `${base}/orders/\${{ input.id }}` }, { scope: { input: { id: '../admin?x=1' } } })
    expect(seen[0]!.url).toBe('/orders/..%2Fadmin%3Fx%3D1')
  })

  it.each([
    [{ method: 'GET', json: {} }, '/method'],
    [{ method: 'POST', json: {}, body: 'x' }, ''],
    [{ url: 7 }, '/url'],
    [{ expect: [200, 99] }, '/expect'],
    [{ method: 'FETCH' }, '/method'],
    [{ jsn: {} }, ''],
  ])('refuses the config %j and says where', async (config, pointer) => {
    const { http, seen } = await openHttp(json({}))
    expect(await http(config)).toMatchObject({
      kind: 'failed',
      error: {
        code: 'invalid_config',
        retryable: false,
        pointer: expect.stringContaining(`/with${pointer}`),
      },
    })
    expect(seen).toEqual([])
  })
})

describe('http: what comes back', () => {
  const bodyOf = (signal: unknown) => (signal as { output: { body: unknown } }).output.body

  it.each([
    ['JSON', json({ a: [1, null] }), { a: [1, null] }],
    ['JSON of another name', text('{"a":1}', 'application/problem+json; charset=utf-8'), { a: 1 }],
    ['text', text('<p>hi</p>', 'text/html'), '<p>hi</p>'],
    [
      'text in another charset',
      text(Buffer.from([0x63, 0x61, 0x66, 0xe9]), 'text/plain; charset=latin1'),
      'café',
    ],
    ['text that does not say what it is', text('hi', undefined), 'hi'],
    ['nothing', text('', 'application/json'), null],
    ['XML', text('<a/>', 'application/atom+xml'), '<a/>'],
  ])('reads %s', async (_, answer, expected) => {
    const { http } = await openHttp(answer)
    const signal = await http({})
    expect(bodyOf(signal)).toEqual(expected)
    expect(signal).toMatchObject({
      kind: 'completed',
      output: { status: 200, url: expect.stringContaining('http://127.0.0.1') },
    })
  })

  it('keeps keys like __proto__ as they came', async () => {
    const { http } = await openHttp(text('{"__proto__":{"admin":true},"constructor":1}', 'application/json'))
    expect(JSON.stringify(bodyOf(await http({})))).toBe('{"__proto__":{"admin":true},"constructor":1}')
  })

  it('puts bytes into the blob store', async () => {
    const bytes = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 255])
    const { http, store } = await openHttp(text(bytes, 'image/png'))
    const body = bodyOf(await http({})) as { $blob: string }
    expect(body).toEqual({ $blob: expect.stringMatching(/^sha256:/), bytes: 6, contentType: 'image/png' })
    expect(Buffer.from(store.blobTexts.get(`default ${body.$blob}`)!)).toEqual(bytes)
  })

  it('says so when HTML comes where JSON was promised', async () => {
    const { http } = await openHttp(text('<!doctype html><title>Sign in</title>', 'application/json'))
    const signal = await http({})
    expect(signal).toMatchObject({ kind: 'failed', error: { code: 'http_invalid_json', retryable: false } })
    expect(JSON.stringify(signal)).toContain('Sign in')
    expect(JSON.stringify(signal)).toContain('it is HTML')
  })

  it.each([
    [400, false],
    [401, false],
    [404, false],
    [408, true],
    [409, false],
    [425, true],
    [429, true],
    [500, true],
    [503, true],
  ])('fails with status %i, retryable: %s', async (status, retryable) => {
    const { http } = await openHttp(json({ why: 'because' }, status))
    const signal = await http({})
    expect(signal).toMatchObject({
      kind: 'failed',
      error: { code: 'http_status', retryable, details: { status } },
    })
    expect(JSON.stringify(signal)).toContain('because')
  })

  it('honours Retry-After in seconds and as a date', async () => {
    const inTen = await openHttp(json({}, 429, { 'retry-after': '10' }))
    expect(await inTen.http({})).toMatchObject({ error: { retryAfterMs: 10_000 } })
    const date = 'Sat, 21 Nov 2026 10:00:00 GMT'
    const until = 'Sat, 21 Nov 2026 10:01:30 GMT'
    const byDate = await openHttp(json({}, 503, { 'retry-after': until, date }))
    expect(await byDate.http({})).toMatchObject({ error: { retryAfterMs: 90_000 } })
    const final = await openHttp(json({}, 404, { 'retry-after': '10' }))
    expect(await final.http({})).not.toMatchObject({ error: { retryAfterMs: 10_000 } })
  })

  it('completes with the statuses that the step expects, and with no others', async () => {
    const missing = await openHttp(json({ gone: true }, 404))
    expect(await missing.http({ expect: [200, 404] })).toMatchObject({
      kind: 'completed',
      output: { status: 404, body: { gone: true } },
    })
    expect(await missing.http({ expect: 404 })).toMatchObject({ kind: 'completed' })
    const fine = await openHttp(json({}))
    expect(await fine.http({ expect: [404] })).toMatchObject({
      kind: 'failed',
      error: { code: 'http_status', retryable: false },
    })
  })

  it('hands the redirect itself over when it is not to follow it', async () => {
    const { http } = await openHttp(
      (_, response) => void response.writeHead(302, { location: '/there' }).end(),
    )
    expect(await http({ followRedirects: false })).toMatchObject({
      kind: 'completed',
      output: { status: 302, headers: { location: '/there' } },
    })
  })

  it('gives up on a response of 50 MB', async () => {
    const { http } = await openHttp((_, response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' })
      const chunk = Buffer.alloc(1024 * 1024)
      let sent = 0
      const more = (): void => {
        if (response.destroyed) return
        if (sent++ < 50) response.write(chunk, more)
        else response.end()
      }
      more()
    })
    expect(await http({})).toMatchObject({
      kind: 'failed',
      error: { code: 'response_too_large', retryable: false },
    })
  })

  it('does not follow a redirect to the metadata service, and says which flag would', async () => {
    const { http } = await openHttp(
      (_, response) =>
        void response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data' }).end(),
    )
    const signal = await http({})
    expect(signal).toMatchObject({ kind: 'failed', error: { code: 'egress_denied', retryable: false } })
    expect(JSON.stringify(signal)).toContain('--allow 169.254.169.254')
  })

  it('tries again when nobody listens', async () => {
    const { http } = await openHttp(json({}), { allow: ['127.0.0.1:1'] })
    expect(await http({ url: 'http://127.0.0.1:1/' })).toMatchObject({
      kind: 'failed',
      error: { code: 'connection_failed', retryable: true },
    })
  })

  it('ends the request when the time is up', async () => {
    let closed: () => void
    const gone = new Promise<void>((resolve) => {
      closed = resolve
    })
    const { http } = await openHttp((request) => void request.socket.on('close', () => closed()))
    expect(await http({}, { timeoutMs: 100 })).toMatchObject({
      kind: 'failed',
      error: { code: 'timeout', retryable: true },
    })
    await gone
  })

  it('shows no secret of its credential, in whatever form the service repeats it', async () => {
    const token = 'very secret/token+1'
    const { http, live, lines } = await openHttp(
      (request, response) => {
        const echo = {
          whole: request.headers.authorization,
          url: encodeURIComponent(token),
          base64: btoa(`user:${token}`),
        }
        response.writeHead(request.url === '/fails' ? 500 : 200, {
          'content-type': 'application/json',
          'x-echo': token,
        })
        response.end(JSON.stringify(echo))
      },
      { credentials: { WEFT_CREDENTIAL_SHOP: JSON.stringify({ token }) } },
    )
    const fine = await http({}, { credentials: { default: 'shop' } })
    const failed = await http(
      { url: '${{ input }}' },
      { credentials: { default: 'shop' }, scope: { input: 'PLACE' } },
    )
    expect(fine).toMatchObject({
      kind: 'completed',
      output: { body: { whole: 'Bearer [redacted]', url: '[redacted]' } },
    })
    const everything = JSON.stringify([fine, failed, live, lines])
    for (const form of [token, encodeURIComponent(token), btoa(`user:${token}`).slice(8, -4)])
      expect(everything).not.toContain(form)
  })
})
