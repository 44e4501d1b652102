/** The outside world of the examples: what they, the tour and the trials count on must hold. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type ExampleService, startService } from '../../examples/service/service.ts'

let service: ExampleService

beforeEach(async () => {
  service = await startService()
  return () => service.stop()
})

type Init = {
  method?: string
  headers?: Record<string, string>
  json?: unknown
  body?: string
  signal?: AbortSignal
}

function call(path: string, { json, headers, ...init }: Init = {}): Promise<Response> {
  const content = json === undefined ? {} : { method: 'POST', body: JSON.stringify(json) }
  const type = json === undefined ? {} : { 'content-type': 'application/json' }
  return fetch(service.url + path, {
    redirect: 'manual',
    ...content,
    ...init,
    headers: { ...type, ...headers },
  })
}

// biome-ignore lint/suspicious/noExplicitAny: tests read JSON of many shapes, and an assertion follows each
const read = async (path: string, init?: Init): Promise<any> => (await call(path, init)).json()

const step = (run: string, name: string, attempt = 1): Record<string, string> => ({
  'x-weft-run': run,
  'x-weft-step': name,
  'x-weft-attempt': String(attempt),
})

describe('orders', () => {
  test('are as many as asked for, and the same in every service but for the nonce', async () => {
    const other = await startService({ nonce: 'fixed' })
    onTestFinished(() => other.stop())
    const here = await read('/orders?count=200')
    const there = JSON.parse(
      (await (await fetch(`${other.url}/orders?count=200`)).text()).replaceAll('fixed', service.nonce),
    )
    expect(here).toHaveLength(200)
    expect(here).toEqual(there)
    expect(here[6]).toEqual(await read('/orders/ord_7'))
    expect(here.filter((order: { risk: number }) => order.risk > 0.7).length).toBeGreaterThan(20)
    for (const { total, items, note } of here) {
      const sum = items.reduce(
        (all: number, { price, quantity }: Record<string, number>) => all + price! * quantity!,
        0,
      )
      expect(total).toBeCloseTo(sum, 2)
      expect(note).toContain(service.nonce)
    }
  })

  test('the nonce is drawn at each start and stands in the summary', async () => {
    const other = await startService()
    onTestFinished(() => other.stop())
    expect(other.nonce).not.toBe(service.nonce)
    expect(await read('/nonce')).toEqual({ nonce: service.nonce })
    expect((await read('/orders/summary?count=3')).text).toMatch(
      new RegExp(`^3 orders, .* EUR, nonce ${service.nonce}$`),
    )
  })

  test('can be released, cancelled and cleaned up; an unknown id is not found', async () => {
    for (const [act, status] of [
      ['release', 'released'],
      ['cancel', 'cancelled'],
      ['cleanup', 'clean'],
    ]) {
      expect(await read(`/orders/ord_2/${act}`, { method: 'POST' })).toEqual({ id: 'ord_2', status })
    }
    expect((await call('/orders/nothing')).status).toBe(404)
    expect((await call('/orders/nothing/release', { method: 'POST' })).status).toBe(404)
  })
})

describe('flaky', () => {
  const statuses = async (
    path: string,
    headers: Record<string, string>,
    calls: number,
  ): Promise<number[]> => {
    const seen: number[] = []
    for (let n = 0; n < calls; n++) seen.push((await call(path, { headers })).status)
    return seen
  }

  test('fails the first calls of each step of each run, whatever the attempt', async () => {
    expect(await statuses('/flaky/x?fail=2', step('r1', 'a'), 4)).toEqual([503, 503, 200, 200])
    expect(await statuses('/flaky/x?fail=2', { ...step('r1', 'b'), 'x-weft-attempt': '9' }, 3)).toEqual([
      503, 503, 200,
    ])
    expect(await statuses('/flaky/x?fail=1&status=429', step('r2', 'a'), 2)).toEqual([429, 200])
    expect(await statuses('/flaky/x?fail=1', { 'idempotency-key': 'k1' }, 2)).toEqual([503, 200])
    expect(await statuses('/flaky/x?fail=1', { 'idempotency-key': 'k2' }, 1)).toEqual([503])
    expect(await statuses('/flaky/x?fail=1', {}, 2)).toEqual([503, 200])
  })

  test('says when to come back, if told to', async () => {
    const response = await call('/flaky/y?fail=1&status=429&retryAfter=3', { method: 'POST' })
    expect(response.headers.get('retry-after')).toBe('3')
    expect(await response.json()).toEqual({ error: 'flaky', name: 'y', call: 1, failuresLeft: 0 })
  })
})

describe('GitHub', () => {
  test('the payloads are real ones, by event or by event and action', async () => {
    const [issue, push] = await read('/github/events?names=issues.reopened,push')
    expect(issue).toMatchObject({
      event: 'issues',
      payload: { action: 'reopened', repository: { full_name: 'Codertocat/Hello-World' } },
    })
    expect(push).toMatchObject({ event: 'push', payload: { ref: expect.stringContaining('refs/') } })
    expect(await read('/github/events/star')).toMatchObject({ event: 'star', payload: { repository: {} } })
    expect((await read('/github/events')).length).toBeGreaterThanOrEqual(5)
    expect((await call('/github/events/nothing')).status).toBe(404)
    expect(await (await call('/github/events?names=push,nothing.at_all')).json()).toMatchObject({
      error: expect.stringContaining('nothing.at_all'),
    })
  })
})

describe('Slack', () => {
  test('an incoming webhook takes text or blocks and answers ok', async () => {
    const response = await call('/slack/webhook/orders', {
      json: { text: 'Released' },
      headers: step('r1', 'notify'),
    })
    expect([response.status, await response.text()]).toEqual([200, 'ok'])
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/)
    await call('/slack/webhook/%23team', { json: { blocks: [{ type: 'divider' }] } })
    expect(await read('/slack/messages')).toEqual([
      expect.objectContaining({
        channel: 'orders',
        text: 'Released',
        via: 'webhook',
        run: 'r1',
        step: 'notify',
        receivedAt: expect.stringMatching(/Z$/),
      }),
      expect.objectContaining({ channel: '#team', text: '', blocks: [{ type: 'divider' }] }),
    ])
    expect(await (await call('/slack/webhook/orders', { json: {} })).text()).toBe('no_text')
    expect(await (await call('/slack/webhook/orders', { method: 'POST', body: 'nonsense' })).text()).toBe(
      'invalid_payload',
    )
  })

  test('chat.postMessage answers as Slack does, its refusals included', async () => {
    const post = (token: string | undefined, json: unknown) =>
      read('/api/chat.postMessage', {
        json,
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      })
    expect(await post('xoxb-1', { channel: '#orders', text: 'Hi' })).toMatchObject({
      ok: true,
      channel: '#orders',
      ts: expect.stringMatching(/^\d+\.\d{6}$/),
      message: { type: 'message', text: 'Hi' },
    })
    expect(await post(undefined, { channel: '#orders', text: 'Hi' })).toEqual({
      ok: false,
      error: 'not_authed',
    })
    expect(await post('bad', { channel: '#orders', text: 'Hi' })).toEqual({
      ok: false,
      error: 'invalid_auth',
    })
    expect(await post('xoxb-1', { text: 'Hi' })).toEqual({ ok: false, error: 'channel_not_found' })
    expect(await post('xoxb-1', { channel: '#orders' })).toEqual({ ok: false, error: 'no_text' })
    const form = await read('/api/chat.postMessage', {
      method: 'POST',
      body: 'channel=C1&text=Hi+there',
      headers: { authorization: 'Bearer x', 'content-type': 'application/x-www-form-urlencoded' },
    })
    expect(form).toMatchObject({ ok: true, channel: 'C1', message: { text: 'Hi there' } })
    expect(service.slackMessages.map(({ text }) => text)).toEqual(['Hi', 'Hi there'])
  })

  test('misbehaves for as long as told, and takes no message meanwhile', async () => {
    await call('/slack/behaviour', { json: { status: 429, retryAfter: 2, times: 2 } })
    const limited = await call('/slack/webhook/x', { json: { text: 'a' } })
    expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '2'])
    const posted = await call('/api/chat.postMessage', { json: { channel: 'x', text: 'b' } })
    expect([posted.status, await posted.json()]).toEqual([429, { ok: false, error: 'ratelimited' }])
    expect((await call('/slack/webhook/x', { json: { text: 'c' } })).status).toBe(200)

    await call('/slack/behaviour', { json: { status: 500 } })
    for (let n = 0; n < 3; n++)
      expect((await call('/slack/webhook/x', { json: { text: 'd' } })).status).toBe(500)
    await call('/slack/behaviour', { json: { status: 200 } })
    expect((await call('/slack/webhook/x', { json: { text: 'e' } })).status).toBe(200)
    expect((await call('/slack/behaviour', { json: { status: 'bad' } })).status).toBe(400)
    expect(service.slackMessages.map(({ text }) => text)).toEqual(['c', 'e'])
  })
})

describe('trials', () => {
  test('HTML under the type that was asked for', async () => {
    expect((await call('/html')).headers.get('content-type')).toMatch(/^text\/html/)
    const liar = await call('/html?contentType=application/json')
    expect(liar.headers.get('content-type')).toBe('application/json')
    expect(await liar.text()).toMatch(/^<!doctype html>/)
  })

  test('as many bytes as asked for, without saying how many', async () => {
    const response = await call('/big?bytes=1000001')
    expect(response.headers.get('content-length')).toBeNull()
    expect((await response.arrayBuffer()).byteLength).toBe(1_000_001)
  })

  test('redirects and statuses', async () => {
    const redirect = await call(`/redirect?to=${encodeURIComponent('http://169.254.169.254/')}&status=307`)
    expect([redirect.status, redirect.headers.get('location')]).toEqual([307, 'http://169.254.169.254/'])
    for (const code of [200, 204, 304, 404, 418, 503])
      expect((await call(`/status/${code}`)).status).toBe(code)
    expect((await call('/status/99')).status).toBe(400)
    expect((await call('/nowhere')).status).toBe(404)
    expect((await call('/orders/%zz')).status).toBe(400)
  })

  test('echo tells what it was sent', async () => {
    expect(await read('/echo?a=1', { json: { b: [2] }, headers: { 'X-Mine': 'yes' } })).toMatchObject({
      method: 'POST',
      path: '/echo',
      query: { a: '1' },
      headers: { 'x-mine': 'yes' },
      body: { b: [2] },
    })
    expect(await read('/echo', { method: 'PUT', body: 'plain' })).toMatchObject({
      method: 'PUT',
      body: 'plain',
    })
    expect(await read('/echo')).toMatchObject({ method: 'GET', body: null })
  })

  test('work and slow answer after their time', async () => {
    expect(await read('/work/a', { method: 'POST' })).toEqual({ ok: true, name: 'a' })
    expect(await read('/work/b?ms=5', { method: 'POST' })).toEqual({ ok: true, name: 'b' })
    expect(await read('/slow?ms=5')).toEqual({ ok: true, ms: 5 })
  })

  test('hold answers when it is released, and at once from then on', async () => {
    const held = read('/hold/door')
    await service.ledger.called(({ path }) => path === '/hold/door')
    expect(service.ledger.entries()[0]).toMatchObject({ answeredAt: null })
    expect(await read('/hold/door/release', { method: 'POST' })).toEqual({ key: 'door', released: 1 })
    expect(await held).toEqual({ ok: true, key: 'door' })
    expect(await read('/hold/door')).toEqual({ ok: true, key: 'door' })
  })

  test('a body beyond a mebibyte is refused', async () => {
    const outcome = await call('/echo', { method: 'POST', body: 'x'.repeat(1_100_000) }).then(
      ({ status }) => status,
      () => 413,
    )
    expect(outcome).toBe(413)
  })
})

describe('the ledger', () => {
  test('knows every call but those to itself: who, when, how it ended', async () => {
    await call('/work/a?ms=1', {
      method: 'POST',
      headers: { ...step('r1', 'items[3]', 2), 'x-weft-round': '4', 'idempotency-key': 'k' },
    })
    await call('/status/503', { headers: step('r2', 'b') })
    await call('/ledger/summary')
    const [work, status] = await read('/ledger')
    expect(work).toEqual({
      n: 1,
      at: new Date(work.startedAt).toISOString(),
      method: 'POST',
      path: '/work/a',
      query: '?ms=1',
      run: 'r1',
      step: 'items[3]',
      round: 4,
      attempt: 2,
      idempotencyKey: 'k',
      startedAt: expect.any(Number),
      answeredAt: expect.any(Number),
      status: 200,
    })
    expect(work.answeredAt).toBeGreaterThanOrEqual(work.startedAt)
    expect(status).toMatchObject({ n: 2, run: 'r2', round: null, idempotencyKey: null, status: 503 })
    expect(await read('/ledger?run=r2')).toEqual([status])
  })

  test('sums up the calls of each step', async () => {
    for (const attempt of [1, 2]) await call('/work/a', { method: 'POST', headers: step('r1', 'a', attempt) })
    await call('/work/b', { method: 'POST', headers: step('r1', 'b') })
    expect(await read('/ledger/summary')).toEqual([
      expect.objectContaining({ run: 'r1', step: 'a', round: null, calls: 2, answered: 2, attempts: [1, 2] }),
      expect.objectContaining({ run: 'r1', step: 'b', calls: 1, attempts: [1] }),
    ])
    expect((await call('/ledger', { method: 'DELETE' })).status).toBe(204)
    expect(await read('/ledger')).toEqual([])
  })

  test('a caller that hung up was never answered', async () => {
    const controller = new AbortController()
    const pending = call('/hold/never', { headers: step('r1', 'a'), signal: controller.signal })
    const [entry] = await service.ledger.called(({ path }) => path === '/hold/never')
    controller.abort()
    await expect(pending).rejects.toThrow()
    expect(entry).toMatchObject({ answeredAt: null, status: null })
  })
})

describe('in a process of its own', () => {
  const main = fileURLToPath(new URL('../../examples/service/main.ts', import.meta.url))

  async function started(...options: string[]): Promise<{ child: ChildProcess; url: string; nonce: string }> {
    const child = spawn(process.execPath, [main, '--port', '0', ...options], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const [line] = await once(createInterface(child.stdout!), 'line')
    const ready = JSON.parse(line)
    expect(ready).toEqual({
      ready: true,
      port: expect.any(Number),
      nonce: expect.stringMatching(/^[0-9a-f]{12}$/),
    })
    return { child, url: `http://127.0.0.1:${ready.port}`, nonce: ready.nonce }
  }

  test('says where it listens, keeps the ledger in a file, and ends with 0 on SIGTERM, calls in flight or not', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'weft-service-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const { child, url, nonce } = await started('--ledger', join(folder, 'ledger.jsonl'))
    expect(await (await fetch(`${url}/nonce`)).json()).toEqual({ nonce })
    const held = fetch(`${url}/hold/x`, { headers: step('r1', 'a') }).catch(() => 'gone')
    await fetch(`${url}/work/a`, { method: 'POST', headers: step('r1', 'a') })
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
    expect(await held).toBe('gone')
    const lines = (await readFile(join(folder, 'ledger.jsonl'), 'utf8')).trim().split('\n')
    const answered = lines.map((line) => JSON.parse(line)).filter(({ status }) => status === 200)
    expect(answered.map(({ path }) => path)).toEqual(['/nonce', '/work/a'])
  })

  test('ends when its parent does, if told to', async () => {
    const { child } = await started('--exit-with-parent')
    child.stdin!.destroy()
    expect(await once(child, 'exit')).toEqual([0, null])
  })
})
