/** Browsers: which pages may call, what they are told before and with an answer, and names bent to this machine. */
import { expect, test } from 'vitest'
import { createBrowserCheck } from '../../src/api/browser.ts'
import { connect, live } from './live-client.ts'
import { apiWorld, type Told } from './world.ts'

const PAGE = 'https://app.example.com'

const asked = (told: Told) => told.headers as Record<string, string>

test('by default no page of another origin, and no preflight that says otherwise', async () => {
  const world = await apiWorld({ coordinator: false })
  for (const origin of [PAGE, 'null', 'http://localhost:3000']) {
    const { status, body } = await world.get('/runs', { headers: { origin } })
    expect([status, body.code]).toEqual([403, 'origin_refused'])
    expect(body.detail).toContain(`WEFT_CORS_ORIGINS=${origin}`)
  }
  const preflight = await world.api.app.inject({
    method: 'OPTIONS',
    url: '/api/v1/runs',
    headers: { host: 'localhost', origin: PAGE, 'access-control-request-method': 'POST' },
  })
  expect(preflight.statusCode).toBe(403)
  expect(preflight.headers).not.toHaveProperty('access-control-allow-origin')
  expect(asked(await world.get('/runs'))).not.toHaveProperty('vary')
})

test('a page of a named origin may ask, call, read errors and streams, and open the WebSocket', async () => {
  const world = await apiWorld({ coordinator: false, corsOrigins: [PAGE] })
  await world.api.start()
  const preflight = await world.api.app.inject({
    method: 'OPTIONS',
    url: '/api/v1/runs',
    headers: {
      host: 'localhost',
      origin: PAGE,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
      'access-control-request-private-network': 'true',
    },
  })
  expect(preflight.statusCode).toBe(204)
  expect(preflight.headers).toMatchObject({
    'access-control-allow-origin': PAGE,
    'access-control-allow-methods': 'GET, POST, PUT, DELETE',
    'access-control-allow-headers': expect.stringContaining('authorization, content-type, idempotency-key'),
    'access-control-allow-private-network': 'true',
    vary: 'Origin',
  })
  expect(preflight.headers).not.toHaveProperty('access-control-allow-credentials')
  const headers = { origin: PAGE }
  for (const told of [
    await world.get('/runs', { headers }),
    await world.get('/runs', { headers, key: null }),
    await world.get('/nothing-here', { headers }),
  ]) {
    expect(asked(told)['access-control-allow-origin']).toBe(PAGE)
    expect(asked(told)['access-control-expose-headers']).toContain('x-request-id')
  }
  const stream = await fetch(`${world.api.url()}/api/v1/live`, {
    headers: { ...headers, authorization: `Bearer ${await world.key()}`, accept: 'text/event-stream' },
  })
  expect(stream.headers.get('access-control-allow-origin')).toBe(PAGE)
  await stream.body?.cancel()
  await live(world, { headers })
  await expect(connect(world, { headers: { origin: 'https://evil.example' } })).rejects.toThrow(
    'origin_refused',
  )

  // Programs and the server's own pages: nothing is allowed that was not asked, and caches keep answers apart.
  expect(asked(await world.get('/runs'))).not.toHaveProperty('access-control-allow-origin')
  expect(asked(await world.get('/runs')).vary).toBe('Origin')
  expect((await world.get('/runs', { headers: { origin: 'http://localhost' } })).status).toBe(200)
  expect((await world.get('/runs', { headers: { origin: 'https://evil.example' } })).status).toBe(403)
})

test('a name that was bent to this machine is refused, whatever page it comes from', async () => {
  const world = await apiWorld({ coordinator: false, corsOrigins: ['http://evil.example'] })
  for (const host of ['localhost', '127.0.0.1:7400', '[::1]:7400', 'weft.localhost']) {
    expect((await world.get('/healthz', { headers: { host } })).status).toBe(200)
  }
  for (const host of ['evil.example', '127.0.0.1.evil.example:7400', '10.0.0.1']) {
    const { body } = await world.get('/healthz', { headers: { host, origin: `http://${host}` } })
    expect(body.code).toBe('host_refused')
  }
})

test('a server on another address knows no names of its own, and still refuses pages of others', () => {
  const check = createBrowserCheck({ host: '0.0.0.0', corsOrigins: [] })
  expect(check('GET', { host: 'weft.example.com' }).isPreflight).toBe(false)
  expect(() => check('GET', { host: 'weft.example.com', origin: 'https://weft.example.com' })).not.toThrow()
  expect(() => check('GET', { host: 'weft.example.com', origin: PAGE })).toThrow('other origins may not')
})
