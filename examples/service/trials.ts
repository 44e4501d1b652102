/** Endpoints that are difficult on purpose: flaky, slow, huge, misleading, silent until told. */
import { Readable } from 'node:stream'
import { type Answer, type Call, fieldsOf, jsonOf, numberOf, problem, type Route, route } from './call.ts'

export function trialRoutes(): Route[] {
  return [...flakyRoutes(), ...holdRoutes(), ...answerRoutes()]
}

/** Each caller meets the failures anew: a step of a run, else an idempotency key, else everybody together. */
function flakyRoutes(): Route[] {
  const calls = new Map<string, number>()
  const flaky = (call: Call): Answer => {
    const name = call.params.name!
    const { run, step, round, idempotencyKey } = call.caller
    const key = JSON.stringify([name, ...(run === null ? [idempotencyKey] : [run, step, round])])
    const count = (calls.get(key) ?? 0) + 1
    calls.set(key, count)
    const fail = numberOf(call, 'fail', 2)
    if (count > fail) return { body: { ok: true, name, calls: count } }
    const retryAfter = call.query.get('retryAfter')
    return {
      status: numberOf(call, 'status', 503, 599),
      headers: retryAfter === null ? {} : { 'retry-after': retryAfter },
      body: { error: 'flaky', name, call: count, failuresLeft: fail - count },
    }
  }
  return [route('GET', '/flaky/:name', flaky), route('POST', '/flaky/:name', flaky)]
}

/** `/hold/:key` answers once the key is released, and at once from then on, so that neither side can come too early. */
function holdRoutes(): Route[] {
  const held = new Map<string, Set<(answer: Answer) => void>>()
  const released = new Set<string>()
  const answerFor = (key: string): Answer => ({ body: { ok: true, key } })

  return [
    route('GET', '/hold/:key', ({ params, onClose }) => {
      const key = params.key!
      if (released.has(key)) return answerFor(key)
      return new Promise<Answer>((resolve) => {
        const waiting = held.get(key) ?? new Set()
        held.set(key, waiting.add(resolve))
        onClose(() => waiting.delete(resolve))
      })
    }),
    route('POST', '/hold/:key/release', ({ params }) => {
      const key = params.key!
      const waiting = held.get(key) ?? new Set()
      released.add(key)
      held.delete(key)
      for (const resolve of waiting) resolve(answerFor(key))
      return { body: { key, released: waiting.size } }
    }),
  ]
}

function answerRoutes(): Route[] {
  const work = async (call: Call): Promise<Answer> => {
    await after(call, numberOf(call, 'ms', 0))
    return { body: { ok: true, name: call.params.name } }
  }
  return [
    route('POST', '/work/:name', work),
    route('GET', '/work/:name', work),
    route('GET', '/slow', async (call) => {
      const ms = numberOf(call, 'ms', 1_000)
      await after(call, ms)
      return { body: { ok: true, ms } }
    }),
    route('GET', '/html', ({ query }) => ({
      headers: { 'content-type': query.get('contentType') ?? 'text/html; charset=utf-8' },
      body: '<!doctype html><title>Sign in</title><h1>Please sign in</h1>',
    })),
    route('GET', '/big', (call) => ({
      headers: { 'content-type': call.query.get('contentType') ?? 'application/octet-stream' },
      body: Readable.from(blocks(numberOf(call, 'bytes', 50 * 1024 * 1024))),
    })),
    route('GET', '/redirect', (call) => {
      const to = call.query.get('to')
      if (to === null) return problem(400, 'say where to: /redirect?to=/echo')
      return { status: numberOf(call, 'status', 302, 399), headers: { location: to } }
    }),
    route('GET', '/echo', echo),
    route('POST', '/echo', echo),
    route('PUT', '/echo', echo),
    route('PATCH', '/echo', echo),
    route('DELETE', '/echo', echo),
    route('GET', '/status/:code', ({ params }) => {
      const status = Number(params.code)
      if (!Number.isInteger(status) || status < 200 || status > 599)
        return problem(400, 'a status is 200 to 599')
      return { status, body: { status } }
    }),
  ]
}

function echo({ method, path, query, headers, body, ...rest }: Call): Answer {
  const text = body.toString()
  const parsed = fieldsOf({ method, path, query, headers, body, ...rest }) ?? jsonOf(text) ?? text
  return {
    body: { method, path, query: Object.fromEntries(query), headers, body: text === '' ? null : parsed },
  }
}

/** Resolves after the time, or never if the caller hangs up. */
function after(call: Call, ms: number): Promise<void> | undefined {
  if (ms === 0) return undefined
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    call.onClose(() => clearTimeout(timer))
  })
}

const BLOCK = Buffer.alloc(65_536, 'x')

function* blocks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= BLOCK.length)
    yield left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK
}
