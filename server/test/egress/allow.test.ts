import { describe, expect, test } from 'vitest'
import { parseAllowList } from '../../src/egress/allow.ts'
import { createEgress } from '../../src/egress/egress.ts'
import { egressWith, noResolver, refusalOf, serve, text } from './local-server.ts'

test('all wrong entries are named at once, each with what to write instead', () => {
  const parsed = parseAllowList([
    'localhost:3000',
    'http://localhost:3000',
    '*.example.com',
    'host:99999',
    'host:',
    '10.0.0.0/33',
    'a b',
    'user@host',
    '',
    ':80',
  ])
  expect(parsed).toEqual({
    ok: false,
    problems: [
      expect.stringMatching(/`http:\/\/localhost:3000`: leave out the scheme: `localhost:3000`/),
      expect.stringMatching(/`\*\.example\.com`: wildcards/),
      expect.stringMatching(/`host:99999`: `99999` is not a port/),
      expect.stringMatching(/`host:`: `` is not a port/),
      expect.stringMatching(/`10\.0\.0\.0\/33`: \/33 is not a prefix length/),
      expect.stringMatching(/`a b`: .*spaces/),
      expect.stringMatching(/`user@host`: userinfo/),
      expect.stringMatching(/`:80`: there is no host/),
    ],
  })
  expect(() => createEgress({ allow: ['*'] })).toThrow(/wildcards/)
})

describe('what an entry lets through', () => {
  const cases: [entry: (port: number) => string, host: string, path: string, outcome: string][] = [
    [(port) => `127.0.0.1:${port}`, '127.0.0.1', '/x', 'ok'],
    [(port) => `127.0.0.1:${port + 1}`, '127.0.0.1', '/x', 'egress_denied'],
    [() => '127.0.0.1', '127.0.0.1', '/x', 'ok'],
    [() => '127.0.0.0/8', '127.0.0.1', '/x', 'ok'],
    [() => '10.0.0.0/8', '127.0.0.1', '/x', 'egress_denied'],
    [() => '::/0', '127.0.0.1', '/x', 'egress_denied'],
    [() => '127.0.0.1', '2130706433', '/x', 'ok'],
    [() => '0x7f.1', '127.0.0.1', '/x', 'ok'],
    [(port) => `shop.test:${port}`, 'shop.test', '/x', 'ok'],
    [() => 'SHOP.test', 'shop.test.', '/x', 'ok'],
    [() => 'shop.test', 'other.test', '/x', 'egress_denied'],
    [() => 'shop.test', 'shop.test.evil.test', '/x', 'egress_denied'],
    [() => 'shop.test', 'a.shop.test', '/x', 'egress_denied'],
    [() => '127.0.0.0/8', 'shop.test', '/x', 'ok'],
    [(port) => `127.0.0.1:${port}`, 'shop.test', '/x', 'ok'],
    [(port) => `localhost:${port}`, 'localhost', '/x', 'ok'],
    [() => '127.0.0.1', 'localhost', '/x', 'egress_denied'],
    [() => '127.0.0.1', '127.0.0.1', '/admin/users', 'egress_path_denied'],
    [() => 'shop.test', 'shop.test', '/.env', 'egress_path_denied'],
    [() => '127.0.0.1/admin', '127.0.0.1', '/admin/users', 'ok'],
    [() => '127.0.0.1/admin', '127.0.0.1', '/x', 'egress_denied'],
    [() => '127.0.0.1/x', '127.0.0.1', '/x/../y', 'egress_denied'],
    [() => '127.0.0.1/x', '127.0.0.1', '/x%2f..%2fy', 'egress_denied'],
    [() => '127.0.0.1/x', '127.0.0.1', '/xy', 'egress_denied'],
    [(port) => `shop.test:${port}/api/keys`, 'shop.test', '/api/keys/7', 'ok'],
    [() => '127.0.0.1/', '127.0.0.1', '/.env', 'ok'],
  ]
  test.each(cases)('%s for %s%s: %s', async (entry, host, path, outcome) => {
    const port = await serve((_request, response) => response.end('reached'))
    const egress = egressWith({ allow: [entry(port)], resolve: async () => ['127.0.0.1'] })
    const request = egress.request({ method: 'GET', url: `http://${host}:${port}${path}` })
    if (outcome === 'ok') expect(text((await request).body)).toBe('reached')
    else expect((await refusalOf(request)).code).toBe(outcome)
  })

  test('doing what a refusal says lets the request through', async () => {
    const port = await serve((_request, response) => response.end('reached'))
    const resolve = async (): Promise<string[]> => ['127.0.0.1']
    for (const url of [
      `http://127.0.0.1:${port}/x`,
      `http://localhost:${port}/x`,
      `http://shop.test:${port}/.env`,
    ]) {
      const refusal = await refusalOf(egressWith({ allow: [], resolve }).request({ method: 'GET', url }))
      expect(refusal.message).toContain(`weft dev --allow ${refusal.allow}`)
      expect(refusal.message).toContain(`WEFT_EGRESS_ALLOW=${refusal.allow}`)
      const answer = await egressWith({ allow: [refusal.allow!], resolve }).request({ method: 'GET', url })
      expect(text(answer.body)).toBe('reached')
    }
  })

  test('a name never opens the way to metadata addresses, only their own entry does', async () => {
    const egress = egressWith({ allow: ['shop.test'], resolve: async () => ['169.254.169.254'] })
    const refusal = await refusalOf(egress.request({ method: 'GET', url: 'http://shop.test/' }))
    expect(refusal).toMatchObject({ code: 'egress_denied', allow: '169.254.169.254:80' })
    expect(refusal.message).toContain('metadata')
  })
})

test.each([
  'http://localhost/',
  'http://LOCALHOST/',
  'http://localhost./',
  'http://a.localhost:3000/',
  'http://metadata.google.internal/computeMetadata/v1/',
  'http://instance-data/latest',
])('%s is refused by its name, before anyone is asked for it', async (url) => {
  const egress = egressWith({ allow: [], resolve: noResolver })
  expect((await refusalOf(egress.request({ method: 'GET', url }))).code).toBe('egress_denied')
})

test.each([
  ['file:///etc/passwd', 'egress_scheme'],
  ['ftp://example.com/', 'egress_scheme'],
  ['data:text/plain,x', 'egress_scheme'],
  ['javascript:alert(1)', 'egress_scheme'],
  ['http://user:secret@example.com/', 'invalid_url'],
  ['http://user@example.com/', 'invalid_url'],
  ['http://', 'invalid_url'],
  ['orders/1', 'invalid_url'],
])('%s is refused: %s', async (url, code) => {
  const egress = egressWith({ allow: [], resolve: noResolver })
  const refusal = await refusalOf(egress.request({ method: 'GET', url }))
  expect(refusal.code).toBe(code)
  expect(refusal.message).not.toContain('secret')
  expect((await refusalOf(egress.fetch(url))).code).toBe(code)
})
