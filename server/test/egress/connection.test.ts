/** The address that is judged is the address connected to, for every connection. */
import { readFileSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import tls from 'node:tls'
import { expect, test } from 'vitest'
import { egressWith, listen, refusalOf, serve, text } from './local-server.ts'

test('a name is resolved once per connection: the second answer of a rebinding server is never asked for', async () => {
  const port = await serve((_request, response) => response.end('first'))
  const answers = [['127.0.0.1'], ['169.254.169.254']]
  let asked = 0
  const egress = egressWith({ allow: [`127.0.0.1:${port}`], resolve: async () => answers[asked++]! })
  expect(text((await egress.request({ method: 'GET', url: `http://rebind.test:${port}/` })).body)).toBe(
    'first',
  )
  expect(asked).toBe(1)
})

test('a new connection is judged by what the name resolves to now', async () => {
  let served = 0
  const port = await serve((_request, response) => {
    served++
    response.setHeader('connection', 'close')
    response.end()
  })
  const answers = [
    ['127.0.0.1'],
    ['10.0.0.5'],
    ['127.0.0.1', '192.168.0.1'],
    ['::ffff:10.0.0.5'],
    ['8.8.8.8', '::1'],
  ]
  const egress = egressWith({ allow: [`127.0.0.1:${port}`], resolve: async () => answers.shift()! })
  const request = { method: 'GET', url: `http://rebind.test:${port}/` }
  await egress.request(request)
  while (answers.length > 0) {
    const refusal = await refusalOf(egress.request(request))
    expect(refusal).toMatchObject({ code: 'egress_denied', allow: `rebind.test:${port}` })
  }
  expect(served).toBe(1)
})

test('a kept-alive connection that one path was allowed does not serve another path', async () => {
  const seen: string[] = []
  const port = await serve((request, response) => {
    seen.push(request.url!)
    response.end()
  })
  const egress = egressWith({ allow: [`shop.test:${port}/open`], resolve: async () => ['127.0.0.1'] })
  await egress.request({ method: 'GET', url: `http://shop.test:${port}/open/1` })
  expect(
    (await refusalOf(egress.request({ method: 'GET', url: `http://shop.test:${port}/other` }))).code,
  ).toBe('egress_denied')
  await egress.request({ method: 'GET', url: `http://shop.test:${port}/open/2` })
  expect(seen).toEqual(['/open/1', '/open/2'])
})

test('connections are kept alive', async () => {
  const sockets = new Set<unknown>()
  const port = await serve((request, response) => {
    sockets.add(request.socket)
    response.end()
  })
  const egress = egressWith({ allow: [`127.0.0.1:${port}`] })
  for (let n = 0; n < 20; n++) await egress.request({ method: 'GET', url: `http://127.0.0.1:${port}/${n}` })
  // Two, since a connection is free again one turn after its answer was handed over.
  expect(sockets.size).toBeLessThanOrEqual(2)
})

test('a certificate is checked against the name, not against the address connected to', async () => {
  const pem = readFileSync(new URL('./secure.test.pem', import.meta.url), 'utf8')
  const server = createTlsServer({ key: pem, cert: pem }, (_request, response) => response.end('secure'))
  const port = await listen(server)
  const egress = egressWith({ allow: [`127.0.0.1:${port}`], resolve: async () => ['127.0.0.1'] })

  const stranger = await refusalOf(egress.request({ method: 'GET', url: `https://secure.test:${port}/` }))
  expect(stranger).toMatchObject({ code: 'tls_failed', retryable: false })

  tls.setDefaultCACertificates([...tls.getCACertificates('default'), pem])
  const trusting = egressWith({ allow: [`127.0.0.1:${port}`], resolve: async () => ['127.0.0.1'] })
  expect(text((await trusting.request({ method: 'GET', url: `https://secure.test:${port}/` })).body)).toBe(
    'secure',
  )
  for (const host of ['other.test', '127.0.0.1']) {
    expect((await refusalOf(trusting.request({ method: 'GET', url: `https://${host}:${port}/` }))).code).toBe(
      'tls_failed',
    )
  }
})

test('a name that does not resolve, and a port where nobody listens, may be tried again', async () => {
  const gone = await serve(() => {}).then(String)
  const resolve = async (host: string): Promise<string[]> => {
    if (host === 'empty.test') return []
    throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' })
  }
  const egress = egressWith({ allow: ['127.0.0.1'], resolve })
  for (const host of ['missing.test', 'empty.test']) {
    const error = await refusalOf(egress.request({ method: 'GET', url: `http://${host}:${gone}/` }))
    expect(error).toMatchObject({ code: 'dns_failed', retryable: true })
  }
  const refused = await refusalOf(egress.request({ method: 'GET', url: 'http://127.0.0.1:1/' }))
  expect(refused).toMatchObject({ code: 'connection_failed', retryable: true })
  expect(refused.message).toContain('ECONNREFUSED')
})

test('after close, requests in flight and new ones end as aborted', async () => {
  const arrived = Promise.withResolvers<void>()
  const port = await serve(() => arrived.resolve())
  const egress = egressWith({ allow: ['127.0.0.1'] })
  const pending = refusalOf(egress.request({ method: 'GET', url: `http://127.0.0.1:${port}/` }))
  await arrived.promise
  await egress.close()
  expect((await pending).code).toBe('aborted')
})
