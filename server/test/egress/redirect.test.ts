import { describe, expect, test } from 'vitest'
import { egressWith, refusalOf, serve, text } from './local-server.ts'

/** A server that redirects `/status/location` and otherwise tells what it was sent. */
const redirecting = (): Promise<number> =>
  serve(async (request, response) => {
    const to = /^\/to\/(\d+)\?(.*)$/.exec(request.url!)
    if (to) {
      response.writeHead(Number(to[1]), { location: decodeURIComponent(to[2]!) })
      response.end('moved')
      return
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    response.setHeader('content-type', 'application/json')
    response.end(
      JSON.stringify({
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      }),
    )
  })

const via = (port: number, status: number, location: string): string =>
  `http://127.0.0.1:${port}/to/${status}?${encodeURIComponent(location)}`

describe('a redirect is judged like any request', () => {
  test.each([
    ['http://169.254.169.254/latest/meta-data/', 'egress_denied'],
    ['http://[fd00:ec2::254]/', 'egress_denied'],
    ['http://127.0.0.1:1/', 'egress_denied'],
    ['//10.0.0.1/', 'egress_denied'],
    ['http://0x7f.1:2/', 'egress_denied'],
    ['/admin', 'egress_path_denied'],
    ['file:///etc/passwd', 'egress_scheme'],
    ['http://user:pass@127.0.0.1/', 'invalid_url'],
    ['http://[', 'invalid_url'],
  ])('to %s: %s', async (location, code) => {
    const port = await redirecting()
    const egress = egressWith({ allow: [`127.0.0.1:${port}`] })
    expect((await refusalOf(egress.request({ method: 'GET', url: via(port, 302, location) }))).code).toBe(
      code,
    )
    expect((await refusalOf(egress.fetch(via(port, 302, location)))).code).toBe(code)
  })

  test('a loop ends at the limit, which 0 sets to "hand me the redirect"', async () => {
    const port = await serve((request, response) => {
      response.writeHead(302, { location: request.url! })
      response.end()
    })
    const egress = egressWith({ allow: ['127.0.0.1'] })
    const url = `http://127.0.0.1:${port}/loop`
    expect(await refusalOf(egress.request({ method: 'GET', url }))).toMatchObject({
      code: 'egress_redirect_limit',
      retryable: false,
    })
    expect((await refusalOf(egress.fetch(url))).code).toBe('egress_redirect_limit')
    expect((await egress.request({ method: 'GET', url, maxRedirects: 0 })).status).toBe(302)
    expect((await egress.fetch(url, { redirect: 'manual' })).status).toBe(302)
    expect((await refusalOf(egress.fetch(url, { redirect: 'error' }))).code).toBe('egress_redirect_limit')
  })

  test('the rest of a redirect that never ends is not waited for', async () => {
    const port = await serve((request, response) => {
      if (request.url === '/end') return void response.end('arrived')
      response.writeHead(302, { location: '/end' })
      const pour = (): void => void (response.write(Buffer.alloc(65_536)) && setImmediate(pour))
      response.on('drain', pour)
      pour()
    })
    const egress = egressWith({ allow: ['127.0.0.1'] })
    expect(text((await egress.request({ method: 'GET', url: `http://127.0.0.1:${port}/` })).body)).toBe(
      'arrived',
    )
    expect(await (await egress.fetch(`http://127.0.0.1:${port}/`)).text()).toBe('arrived')
  })
})

interface Told {
  method: string
  url: string
  headers: Record<string, string>
  body: string
}

const told = (body: Uint8Array): Told => JSON.parse(text(body)) as Told

const HEADERS = {
  Authorization: 'Bearer t0ken',
  Cookie: 'a=b',
  'X-Api-Key': 'k3y',
  'X-Shop-Anything': 's3cret',
  'Proxy-Authorization': 'p',
  Accept: 'application/json',
  'Idempotency-Key': 'i1',
  'x-weft-run': 'r1',
}

test('credentials stay with the origin they were given for', async () => {
  const port = await redirecting()
  const other = await redirecting()
  const egress = egressWith({ allow: ['127.0.0.1', 'shop.test'], resolve: async () => ['127.0.0.1'] })
  for (const elsewhere of [`http://127.0.0.1:${other}/x`, `http://shop.test:${port}/x`]) {
    const answers = [
      told((await egress.request({ method: 'GET', url: via(port, 307, elsewhere), headers: HEADERS })).body),
      (await (await egress.fetch(via(port, 307, elsewhere), { headers: HEADERS })).json()) as Told,
    ]
    for (const { headers } of answers) {
      expect(headers).toMatchObject({
        accept: 'application/json',
        'idempotency-key': 'i1',
        'x-weft-run': 'r1',
      })
      expect(JSON.stringify(headers)).not.toMatch(/t0ken|a=b|k3y|s3cret|proxy/)
    }
  }
  const same = await egress.request({ method: 'GET', url: via(port, 302, '/x'), headers: HEADERS })
  expect(told(same.body).headers).toMatchObject({
    authorization: 'Bearer t0ken',
    cookie: 'a=b',
    'x-api-key': 'k3y',
  })
  expect(same.url).toBe(`http://127.0.0.1:${port}/x`)

  const back = via(port, 302, via(other, 302, `http://127.0.0.1:${port}/x`))
  expect(
    JSON.stringify(told((await egress.request({ method: 'GET', url: back, headers: HEADERS })).body)),
  ).not.toContain('t0ken')
})

test.each([
  ['POST', 301, 'GET', ''],
  ['POST', 302, 'GET', ''],
  ['PUT', 302, 'PUT', 'text'],
  ['POST', 303, 'GET', ''],
  ['DELETE', 303, 'GET', ''],
  ['POST', 307, 'POST', 'text'],
  ['PATCH', 308, 'PATCH', 'text'],
])('%s after %d becomes %s', async (method, status, next, body) => {
  const port = await redirecting()
  const egress = egressWith({ allow: ['127.0.0.1'] })
  const request = { method, body: 'text', headers: { 'Content-Type': 'text/plain' } }
  const url = via(port, status, '/x')
  for (const answer of [
    told((await egress.request({ ...request, url })).body),
    (await (await egress.fetch(url, request)).json()) as Told,
  ]) {
    expect(answer).toMatchObject({ method: next, body })
    expect(answer.headers['content-type']).toBe(body === '' ? undefined : 'text/plain')
  }
})
