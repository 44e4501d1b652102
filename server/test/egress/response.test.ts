import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { egressWith, refusalOf, serve, text } from './local-server.ts'

const MEBIBYTE = 1024 * 1024

test('method, headers and body arrive; the answer comes back whole', async () => {
  const port = await serve(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    response.writeHead(201, {
      'X-Answer': 'yes',
      'Set-Cookie': ['a=1', 'b=2'],
      'x-host': request.headers.host!,
    })
    response.end(`${request.method} ${request.url} ${request.headers['x-ask']} ${Buffer.concat(chunks)}`)
  })
  const egress = egressWith({ allow: ['127.0.0.1'] })
  const url = `http://127.0.0.1:${port}/a%20b?q=1&q=2#fragment`
  const ask = { method: 'POST', headers: { 'X-Ask': 'really', 'Content-Length': '3' }, body: 'grüße' }
  const answer = await egress.request({ ...ask, url })
  expect(answer).toMatchObject({
    status: 201,
    headers: { 'x-answer': 'yes', 'set-cookie': 'a=1, b=2', 'x-host': `127.0.0.1:${port}` },
  })
  expect(text(answer.body)).toBe('POST /a%20b?q=1&q=2 really grüße')

  const response = await egress.fetch(new URL(url), { ...ask, headers: { 'X-Ask': 'really' } })
  expect(response).toMatchObject({ status: 201, url, redirected: false })
  expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
  expect(await response.text()).toBe('POST /a%20b?q=1&q=2 really grüße')
})

test('a Host header and methods that open tunnels are refused', async () => {
  const egress = egressWith({ allow: ['127.0.0.1'] })
  const url = 'http://127.0.0.1:9/'
  for (const wrong of [
    { headers: { HOST: 'internal' } },
    { method: 'CONNECT' },
    { method: 'TRACE' },
    { method: 'GET /x' },
  ]) {
    expect((await refusalOf(egress.request({ method: 'GET', url, ...wrong }))).code).toBe('invalid_request')
  }
  const split = await refusalOf(egress.request({ method: 'GET', url, headers: { a: 'b\r\nc: d' } }))
  expect(split).toMatchObject({ code: 'invalid_request', retryable: false })
})

describe('no response is held beyond its limit', () => {
  /** Announces, or only sends, the bytes; resolves with how many left before the client hung up. */
  async function pouring(
    bytes: number,
    announce: boolean,
  ): Promise<{ port: number; poured: Promise<number> }> {
    const poured = Promise.withResolvers<number>()
    const port = await serve((_request, response) => {
      if (announce) response.setHeader('content-length', bytes)
      let sent = 0
      response.on('close', () => poured.resolve(sent))
      const pour = (): void => {
        while (sent < bytes) {
          sent += 65_536
          if (!response.write(Buffer.alloc(65_536))) return void response.once('drain', pour)
        }
        response.end()
      }
      pour()
    })
    return { port, poured: poured.promise }
  }

  test.each([true, false])('50 MB, announced: %s', async (announce) => {
    const { port, poured } = await pouring(50 * MEBIBYTE, announce)
    const egress = egressWith({ allow: ['127.0.0.1'] })
    const error = await refusalOf(egress.request({ method: 'GET', url: `http://127.0.0.1:${port}/` }))
    expect(error).toMatchObject({ code: 'response_too_large', retryable: false })
    expect(error.message).toContain('16777216 bytes')
    expect(await poured).toBeLessThan(40 * MEBIBYTE)
  })

  test('50 MB through fetch', async () => {
    const { port, poured } = await pouring(50 * MEBIBYTE, false)
    const egress = egressWith({ allow: ['127.0.0.1'] })
    const response = await egress.fetch(`http://127.0.0.1:${port}/`)
    expect((await refusalOf(response.arrayBuffer())).code).toBe('response_too_large')
    expect(await poured).toBeLessThan(40 * MEBIBYTE)
  })

  test('the limit itself is allowed, and a HEAD may announce what it likes', async () => {
    const port = await serve((request, response) => {
      if (request.method === 'HEAD') response.setHeader('content-length', 50 * MEBIBYTE)
      response.end(request.method === 'HEAD' ? undefined : Buffer.alloc(1000))
    })
    const egress = egressWith({ allow: ['127.0.0.1'], maxResponseBytes: 1000 })
    const url = `http://127.0.0.1:${port}/`
    expect((await egress.request({ method: 'GET', url })).body.length).toBe(1000)
    expect((await refusalOf(egress.request({ method: 'GET', url, maxResponseBytes: 999 }))).code).toBe(
      'response_too_large',
    )
    expect((await egress.request({ method: 'HEAD', url })).headers['content-length']).toBe(
      String(50 * MEBIBYTE),
    )
    expect((await egress.fetch(url, { method: 'HEAD' })).body).toBeNull()
  })

  const bomb = Buffer.alloc(64 * MEBIBYTE)
  test.each([
    ['gzip', () => gzipSync(bomb)],
    ['br', () => brotliCompressSync(bomb, { params: {} })],
    ['deflate', () => deflateSync(bomb)],
    ['gzip, gzip', () => gzipSync(gzipSync(bomb))],
  ])('a %s bomb', async (encoding, pack) => {
    const packed = pack()
    expect(packed.length).toBeLessThan(MEBIBYTE)
    const port = await serve((_request, response) => {
      response.setHeader('content-encoding', encoding)
      response.end(packed)
    })
    const egress = egressWith({ allow: ['127.0.0.1'] })
    const url = `http://127.0.0.1:${port}/`
    expect((await refusalOf(egress.request({ method: 'GET', url }))).code).toBe('response_too_large')
    expect((await refusalOf((await egress.fetch(url)).arrayBuffer())).code).toBe('response_too_large')
  })
})

test.each([
  ['gzip', gzipSync('hello')],
  ['x-gzip', gzipSync('hello')],
  ['deflate', deflateSync('hello')],
  ['br', brotliCompressSync('hello')],
  ['gzip, br', brotliCompressSync(gzipSync('hello'))],
  ['identity', Buffer.from('hello')],
])('a body in %s is decoded', async (encoding, packed) => {
  const port = await serve((request, response) => {
    response.setHeader('content-encoding', encoding)
    response.setHeader('content-length', packed.length)
    response.end(request.method === 'HEAD' ? undefined : packed)
  })
  const egress = egressWith({ allow: ['127.0.0.1'] })
  const url = `http://127.0.0.1:${port}/`
  const answer = await egress.request({ method: 'GET', url })
  expect(text(answer.body)).toBe('hello')
  expect(answer.headers).not.toHaveProperty('content-encoding')
  expect(await (await egress.fetch(url)).text()).toBe('hello')
  expect((await egress.request({ method: 'HEAD', url })).headers['content-encoding']).toBe(encoding)
})

test('bare deflate is decoded; a broken or endlessly wrapped body is an error; an unknown encoding stays as it came', async () => {
  const bodies: Record<string, [encoding: string, body: Buffer]> = {
    '/bare': ['deflate', deflateRawSync('hello')],
    '/broken': ['gzip', Buffer.from('not gzip')],
    '/wrapped': ['gzip, gzip, gzip, gzip', gzipSync('x')],
    '/unknown': ['zip-of-tomorrow', Buffer.from('raw')],
  }
  const port = await serve((request, response) => {
    const [encoding, body] = bodies[request.url!]!
    response.setHeader('content-encoding', encoding)
    response.end(body)
  })
  const egress = egressWith({ allow: ['127.0.0.1'] })
  const get = (path: string) => egress.request({ method: 'GET', url: `http://127.0.0.1:${port}${path}` })
  expect(text((await get('/bare')).body)).toBe('hello')
  for (const path of ['/broken', '/wrapped']) {
    expect(await refusalOf(get(path))).toMatchObject({ code: 'response_undecodable', retryable: false })
  }
  expect(await get('/unknown')).toMatchObject({ headers: { 'content-encoding': 'zip-of-tomorrow' } })
})

describe('time', () => {
  /** Sends one byte and then nothing more; tells when the byte is out and when the client is gone. */
  async function dripping(): Promise<{ url: string; dripped: Promise<void>; gone: Promise<void> }> {
    const dripped = Promise.withResolvers<void>()
    const gone = Promise.withResolvers<void>()
    const port = await serve((_request, response) => {
      response.on('close', gone.resolve)
      response.write('.', () => dripped.resolve())
    })
    return { url: `http://127.0.0.1:${port}/`, dripped: dripped.promise, gone: gone.promise }
  }

  test('a server that drips is given up after the timeout, and its connection is closed', async () => {
    const { url, gone } = await dripping()
    const egress = egressWith({ allow: ['127.0.0.1'] })
    const error = await refusalOf(egress.request({ method: 'GET', url, timeoutMs: 50 }))
    expect(error).toMatchObject({ code: 'request_timeout', retryable: true })
    await gone
  })

  test('the signal ends a request in the middle of its body', async () => {
    const { url, dripped, gone } = await dripping()
    const egress = egressWith({ allow: ['127.0.0.1'] })
    const controller = new AbortController()
    const pending = refusalOf(egress.request({ method: 'GET', url, signal: controller.signal }))
    await dripped
    controller.abort(new Error('cancelled by Ada'))
    expect(await pending).toMatchObject({
      code: 'aborted',
      retryable: false,
      cause: { message: 'cancelled by Ada' },
    })
    await gone
  })

  test('the signal ends a fetch in the middle of its body, with its own reason', async () => {
    const { url, gone } = await dripping()
    const egress = egressWith({ allow: ['127.0.0.1'] })
    const controller = new AbortController()
    const response = await egress.fetch(url, { signal: controller.signal })
    const reading = response.text()
    controller.abort()
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' })
    await expect(egress.fetch(url, { signal: controller.signal })).rejects.toMatchObject({
      name: 'AbortError',
    })
    await gone
  })

  test('a signal that has fired sends nothing', async () => {
    let served = 0
    const port = await serve((_request, response) => {
      served++
      response.end()
    })
    const egress = egressWith({ allow: ['127.0.0.1'] })
    const url = `http://127.0.0.1:${port}/`
    expect((await refusalOf(egress.request({ method: 'GET', url, signal: AbortSignal.abort() }))).code).toBe(
      'aborted',
    )
    await egress.request({ method: 'GET', url })
    expect(served).toBe(1)
  })

  test('a request that waits for a free connection is given up, too, and is then not sent', async () => {
    const waiting: (() => void)[] = []
    const full = Promise.withResolvers<void>()
    const seen: string[] = []
    const port = await serve((request, response) => {
      seen.push(request.url!)
      waiting.push(() => response.end())
      if (waiting.length === 128) full.resolve()
    })
    const egress = egressWith({ allow: ['127.0.0.1'] })
    const get = (path: string, signal?: AbortSignal) =>
      egress.request({ method: 'GET', url: `http://127.0.0.1:${port}${path}`, signal })
    const holding = Array.from({ length: 128 }, () => get('/hold'))
    await full.promise
    const controller = new AbortController()
    const pending = refusalOf(get('/late', controller.signal))
    controller.abort()
    expect((await pending).code).toBe('aborted')
    for (const release of waiting) release()
    await Promise.all(holding)
    expect(seen).not.toContain('/late')
  })
})

test('fetch streams: a reader has the first event before the server sends the second', async () => {
  const read = Promise.withResolvers<void>()
  const port = await serve(async (_request, response) => {
    response.setHeader('content-type', 'text/event-stream')
    response.write('data: 1\n\n')
    await read.promise
    response.end('data: 2\n\n')
  })
  const egress = egressWith({ allow: ['127.0.0.1'] })
  const response = await egress.fetch(`http://127.0.0.1:${port}/`)
  const reader = response.body!.getReader()
  expect(text((await reader.read()).value!)).toBe('data: 1\n\n')
  read.resolve()
  expect(text((await reader.read()).value!)).toBe('data: 2\n\n')
  expect((await reader.read()).done).toBe(true)
})
