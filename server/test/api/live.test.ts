/** The live connection over a real socket: who may, what it tells, what it refuses, and readers who do not read. */
import { get, type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { liveServerMessage, MAX_MESSAGE_BYTES, MAX_SUBSCRIPTIONS } from '../../src/api/live-messages.ts'
import { MAX_UNREAD_BYTES } from '../../src/api/outlet.ts'
import { until } from '../coordinator/fleet.ts'
import { manualClock } from '../coordinator/manual-clock.ts'
import { connect, type LiveClient, live } from './live-client.ts'
import { ACTS, type ApiWorld, type ApiWorldSettings, ASKS, apiWorld } from './world.ts'

async function startedWorld(settings?: ApiWorldSettings): Promise<ApiWorld> {
  const world = await apiWorld(settings)
  await world.api.start()
  return world
}

/** Everything of a run, until its end. */
async function logOf(client: LiveClient, runId: string): Promise<{ seq: number }[]> {
  const events: { seq: number }[] = []
  for (;;) {
    while (client.heard.length === 0) await turn()
    const message = client.heard.shift()
    expect(liveServerMessage.safeParse(message).error).toBeUndefined()
    if (message?.type === 'event' && message.runId === runId) events.push(message.event)
    if (message?.type === 'ended' && message.runId === runId) {
      expect(message.seq).toBe(events.at(-1)?.seq)
      return events
    }
  }
}

const storedLog = async (world: ApiWorld, runId: string) =>
  (await world.store.runs.events({ runId, afterSeq: 0, limit: 1_000 })).map(({ seq, event }) => ({
    seq,
    ...event,
  }))

test('the past, then the present, then the end; attempts in between', async () => {
  const world = await startedWorld()
  const runId = await world.run(ACTS)
  const client = await live(world)
  client.say({ type: 'subscribe', runs: [{ id: runId }], ref: 'mine' })
  expect(await client.next('subscribed')).toEqual({ type: 'subscribed', runId, fromSeq: 1, ref: 'mine' })
  expect((await client.next('event')).event).toMatchObject({ seq: 1, type: 'run.started' })
  const task = await world.take()
  const { workspace } = world
  const attempt = { runId, key: 'act', attempt: 1, state: 'progress', percent: 50, at: 1 } as const
  world.transport.live.publish([{ kind: 'attempt', workspace, ...attempt }])
  expect(await client.next('attempt')).toEqual({ type: 'attempt', ...attempt })
  await world.complete(task, 'done')
  expect((await client.next('event')).event).toMatchObject({ seq: 2, type: 'step.completed' })
  expect(await client.next('ended')).toEqual({ type: 'ended', runId, seq: 3 })

  const again = await live(world)
  again.say({ type: 'subscribe', runs: [{ id: runId, fromSeq: 3 }] })
  expect(await logOf(again, runId)).toEqual((await storedLog(world, runId)).slice(2))
})

test('many runs over one connection, each whole and in order', async () => {
  const world = await startedWorld()
  const ids = await Promise.all(Array.from({ length: 30 }, () => world.run(ACTS)))
  const client = await live(world)
  const half = ids.slice(0, 15).map((id) => ({ id }))
  client.say({ type: 'subscribe', runs: half })
  client.say({ type: 'subscribe', runs: ids.slice(15).map((id) => ({ id })) })
  for (let left = ids.length; left > 0; left--) await world.complete(await world.take(), 'done')
  const seen = new Map<string, unknown[]>(ids.map((id) => [id, []]))
  for (let ended = 0; ended < ids.length; ) {
    while (client.heard.length === 0) await turn()
    const message = client.heard.shift()
    if (message?.type === 'event') seen.get(message.runId)?.push(message.event)
    if (message?.type === 'ended') ended++
  }
  for (const [id, events] of seen) expect(events).toEqual(await storedLog(world, id))
})

test('the workspace: hints of its runs, of no other’s, over WebSocket and server-sent events', async () => {
  const world = await startedWorld()
  const client = await live(world)
  client.say({ type: 'subscribe', workspace: true })
  await client.next('subscribed')
  const foreign = await live(world, { key: await world.key('viewer', `${world.workspace}-b`) })
  foreign.say({ type: 'subscribe', workspace: true })
  await foreign.next('subscribed')
  const stream = await fetch(`${world.api.url()}/api/v1/live`, {
    headers: { authorization: `Bearer ${await world.key()}`, accept: 'text/event-stream' },
  })
  const runId = await world.run({ stop: { type: 'stop' } })
  await world.ended(runId)
  const log = await storedLog(world, runId)
  for (const { seq, type, at } of log as { seq: number; type: string; at: number }[])
    expect(await client.next('hint')).toEqual({ type: 'hint', runId, seq, event: type, at })
  let text = ''
  for await (const chunk of stream.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk
    if (text.includes('run.completed')) break
  }
  expect(text).toContain(`event: hint\ndata: {"runId":"${runId}","seq":2,`)
  expect(foreign.heard).toEqual([])
  client.say({ type: 'unsubscribe', workspace: true })
  await client.next('unsubscribed')
  await world.ended(await world.run({ stop: { type: 'stop' } }))
  client.say({ type: 'ping', ref: 'still' })
  expect(await client.next('pong')).toEqual({ type: 'pong', ref: 'still' })
})

test('the metrics say how many live connections are open', async () => {
  const world = await startedWorld()
  const open = async (): Promise<string[]> =>
    [...(await world.get('/metrics')).text.matchAll(/^weft_live_connections\{.*$/gm)].map(([line]) => line)
  const figures = (sse: number, websocket: number) => [
    `weft_live_connections{kind="sse"} ${sse}`,
    `weft_live_connections{kind="websocket"} ${websocket}`,
  ]
  expect(await open()).toEqual(figures(0, 0))
  const clients = [await live(world), await live(world)]
  const leave = new AbortController()
  const headers = { authorization: `Bearer ${await world.key()}`, accept: 'text/event-stream' }
  const runId = await world.run(ACTS)
  for (const path of ['/api/v1/live', `/api/v1/runs/${runId}/events`])
    await fetch(`${world.api.url()}${path}`, { headers, signal: leave.signal })
  expect(await open()).toEqual(figures(2, 2))
  leave.abort()
  clients[0]?.socket.terminate()
  await until(async () => isDeepStrictEqual(await open(), figures(0, 1)))
})

test('what was unsubscribed is not told any more; what is subscribed again starts again', async () => {
  const world = await startedWorld()
  const runId = await world.run(ACTS)
  const client = await live(world)
  client.say({ type: 'subscribe', runs: [{ id: runId }] })
  await client.next('event')
  client.say({ type: 'unsubscribe', runs: [runId] })
  await client.next('unsubscribed')
  await world.complete(await world.take(), 'done')
  await world.ended(runId)
  client.say({ type: 'ping' })
  await client.next('pong')
  expect(client.heard).toEqual([])
  client.say({ type: 'subscribe', runs: [{ id: runId }] })
  expect(await logOf(client, runId)).toEqual(await storedLog(world, runId))
})

test('a browser says in its first message who it is', async () => {
  const world = await startedWorld()
  const client = await connect(world, { key: null, headers: { origin: world.api.url() } })
  client.say({ type: 'subscribe', workspace: true, ref: 'early' })
  expect(await client.next('error')).toMatchObject({ code: 'unauthorized', ref: 'early' })
  client.say({ type: 'auth', token: await world.key('viewer'), ref: 'a' })
  expect(await client.next('ready')).toEqual({ type: 'ready', workspace: world.workspace, ref: 'a' })
  client.say({ type: 'auth', token: await world.key('admin') })
  expect((await client.next('error')).message).toContain('authenticated already')
})

test('nobody in: no key, a wrong one, one that may not read, one that is revoked later', async () => {
  const clock = manualClock()
  const world = await startedWorld({ clock, coordinator: false })
  const silent = await connect(world, { key: null })
  clock.advance(10_000)
  expect(await silent.next('error')).toMatchObject({ code: 'unauthorized' })
  expect(await silent.closed).toEqual({ code: 4401, reason: 'unauthorized' })

  const wrong = await connect(world, { key: null })
  wrong.say({ type: 'auth', token: 'weft_nobody' })
  expect(await wrong.next('error')).toMatchObject({ code: 'unauthorized' })
  expect((await wrong.closed).code).toBe(4401)

  const worker = await connect(world, { key: null })
  worker.say({ type: 'auth', token: await world.key('worker') })
  expect(await worker.next('error')).toMatchObject({ code: 'forbidden' })
  expect((await worker.closed).code).toBe(4403)

  await expect(connect(world, { key: 'weft_nobody' })).rejects.toThrow('"code":"unauthorized"')
  await expect(connect(world, { key: await world.key('worker') })).rejects.toThrow('"code":"forbidden"')
  await expect(connect(world, { headers: { origin: 'https://evil.example' } })).rejects.toThrow(
    'origin_refused',
  )
  await expect(connect(world, { headers: { host: 'evil.example' } })).rejects.toThrow('host_refused')

  const { body: made } = await world.post('/api/v1/keys', { name: 'soon-gone', role: 'viewer' })
  const revoked = await live(world, { key: made.key })
  await world.ask('DELETE', `/api/v1/keys/${made.id}`)
  clock.advance(15_000)
  expect(await revoked.next('error')).toMatchObject({ code: 'unauthorized' })
  expect((await revoked.closed).code).toBe(4401)
})

test('what cannot be understood is answered with what is wrong, and the connection stays', async () => {
  const world = await startedWorld({ coordinator: false })
  const client = await live(world)
  const tries: [unknown, string, string][] = [
    ['{', 'malformed_json', 'not a JSON text'],
    ['[]', 'invalid_request', 'has no `type`'],
    [{ type: 'subscrbe' }, 'invalid_request', 'Did you mean `subscribe`?'],
    [{ type: 'toString' }, 'invalid_request', 'auth, subscribe, unsubscribe, ping'],
    [{ type: 'subscribe' }, 'invalid_request', 'names nothing to follow'],
    [{ type: 'subscribe', run: 'x' }, 'invalid_request', 'Did you mean `runs`?'],
    [{ type: 'subscribe', runs: [{ id: 'x', fromSeq: 0 }] }, 'invalid_request', '/runs/0/fromSeq'],
    [{ type: 'subscribe', runs: [{ id: 'x' }] }, 'run_not_found', 'no run `x`'],
    [{ type: 'auth', token: '' }, 'invalid_request', '/token'],
  ]
  for (const [message, code, text] of tries) {
    client.say(message)
    const error = await client.next('error')
    expect([message, error.code]).toEqual([message, code])
    expect(error.message).toContain(text)
  }
  client.socket.send(Buffer.from([1, 2, 3]))
  expect(await client.next('error')).toMatchObject({ code: 'malformed_json' })
  client.say({ type: 'ping', ref: 1 })
  expect(await client.next('error')).toMatchObject({ code: 'invalid_request' })
  client.say({ type: 'ping' })
  await client.next('pong')
})

test('whatever is sent is answered, and the connection stays', async () => {
  const world = await startedWorld({ coordinator: false })
  const client = await live(world)
  const nearly = fc.record(
    {
      type: fc.oneof(fc.constantFrom('auth', 'subscribe', 'unsubscribe'), fc.string()),
      token: fc.anything(),
      runs: fc.anything(),
      workspace: fc.anything(),
      ref: fc.anything(),
    },
    { requiredKeys: [] },
  )
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string(),
        fc.json(),
        nearly.map((value) => JSON.stringify(value)),
      ),
      async (text) => {
        client.say(text)
        client.say({ type: 'ping', ref: 'over' })
        for (let isOver = false; !isOver; ) {
          while (client.heard.length === 0) await turn()
          const message = client.heard.shift()
          expect(liveServerMessage.safeParse(message).error).toBeUndefined()
          isOver = message?.type === 'pong'
        }
        expect(client.socket.readyState).toBe(client.socket.OPEN)
      },
    ),
    { numRuns: 300 },
  )
})

test('another workspace’s run is not there, and the others of the message are followed', async () => {
  const world = await startedWorld()
  const own = await world.run(ASKS)
  await world.waits(own)
  const foreign = await live(world, { key: await world.key('admin', `${world.workspace}-b`) })
  foreign.say({ type: 'subscribe', runs: [{ id: own }] })
  expect(await foreign.next('error')).toMatchObject({ code: 'run_not_found', runId: own })
  const client = await live(world)
  client.say({ type: 'subscribe', runs: [{ id: 'none' }, { id: own, fromSeq: 99 }, { id: own, fromSeq: 2 }] })
  expect(await client.next('event')).toMatchObject({ runId: own, event: { seq: 2 } })
})

test('limits: subscriptions of a connection, bytes of a message', async () => {
  const world = await startedWorld({ coordinator: false })
  const runs: { id: string }[] = []
  for (let index = 0; index < 3; index++) runs.push({ id: await world.run(ACTS) })
  const client = await live(world)
  client.say({ type: 'subscribe', runs })
  for (let index = 0; index < 3; index++) await client.next('subscribed')
  const many = Array.from({ length: MAX_SUBSCRIPTIONS - 2 }, (_, index) => ({ id: `run ${index}` }))
  client.say({ type: 'subscribe', runs: many })
  expect(await client.next('error')).toMatchObject({ code: 'too_many_subscriptions' })
  client.say({ type: 'subscribe', runs })
  await client.next('subscribed')
  client.say('x'.repeat(MAX_MESSAGE_BYTES + 1))
  expect((await client.closed).code).toBe(1009)
})

/** Larger than the buffers of two sockets take, in all. */
const FLOOD = { steps: 600, text: 'x'.repeat(30_000) }

async function floodedWorld() {
  const world = await startedWorld()
  const connections: Socket[] = []
  world.api.app.server.on('connection', (socket) => connections.push(socket))
  const steps = Array.from({ length: FLOOD.steps }, (_, index) => [`s${index}`, { type: 'act' }])
  const runId = await world.run(Object.fromEntries(steps))
  return {
    world,
    runId,
    /** Ends every step, and holds what the process has for a reader who does not read against the bound. */
    async flood(): Promise<void> {
      for (let left = FLOOD.steps; left > 0; left--) await world.complete(await world.take(), FLOOD.text)
      await world.ended(runId)
      const unread = Math.max(...connections.map(({ writableLength }) => writableLength))
      expect(unread).toBeGreaterThan(MAX_UNREAD_BYTES)
      expect(unread).toBeLessThan(MAX_UNREAD_BYTES + 2 * FLOOD.text.length)
    },
  }
}

const WHOLE_LOG = Array.from({ length: FLOOD.steps + 2 }, (_, index) => index + 1)

test('a WebSocket that is not read costs bounded memory, is told so, and has the whole log in the end', async () => {
  const { world, runId, flood } = await floodedWorld()
  const client = await live(world)
  client.say({ type: 'subscribe', runs: [{ id: runId }] })
  await client.next('subscribed')
  client.socket.pause()
  await flood()
  client.socket.resume()
  const seqs: number[] = []
  let missed = 0
  for (let isOver = false; !isOver; ) {
    while (client.heard.length === 0) await turn()
    const message = client.heard.shift()
    if (message?.type === 'event') seqs.push(message.event.seq)
    if (message?.type === 'missed') {
      missed++
      expect(message).toEqual({ type: 'missed', runId, fromSeq: (seqs.at(-1) ?? 0) + 1 })
    }
    isOver = message?.type === 'ended'
  }
  expect(seqs).toEqual(WHOLE_LOG)
  expect(missed).toBeGreaterThan(0)
})

test('a stream that is not read costs bounded memory, is told so, and has the whole log in the end', async () => {
  const { world, runId, flood } = await floodedWorld()
  const headers = { authorization: `Bearer ${await world.key()}`, accept: 'text/event-stream' }
  const response = await new Promise<IncomingMessage>((resolve) =>
    get(`${world.api.url()}/runs/${runId}/events`, { headers, agent: false }, resolve),
  )
  await flood()
  const seqs: number[] = []
  let missed = 0
  let rest = ''
  for await (const chunk of response.setEncoding('utf8')) {
    const blocks = (rest + chunk).split('\n\n')
    rest = blocks.pop() as string
    for (const block of blocks) {
      if (block.startsWith('id: ')) seqs.push(Number(block.slice(4, block.indexOf('\n'))))
      if (!block.startsWith('event: missed')) continue
      missed++
      expect(block).toContain(`{"fromSeq":${(seqs.at(-1) ?? 0) + 1}}`)
    }
  }
  expect(seqs).toEqual(WHOLE_LOG)
  expect(missed).toBeGreaterThan(0)
})

test('a peer that is silent is dropped; one that answers stays', async () => {
  const clock = manualClock()
  const world = await startedWorld({ clock, coordinator: false })
  const alive = await live(world)
  const dead = await live(world)
  dead.socket.on('ping', () => {})
  Object.assign(dead.socket, { pong: () => {} })
  dead.socket.pause()
  for (let beat = 0; beat < 3; beat++) {
    const pinged = new Promise((resolve) => alive.socket.once('ping', resolve))
    clock.advance(15_000)
    await pinged
    alive.say({ type: 'ping' })
    await alive.next('pong')
  }
  dead.socket.resume()
  expect((await dead.closed).code).toBe(1006)
  expect(alive.socket.readyState).toBe(alive.socket.OPEN)
})

test('the server stops: connections are told to connect again', async () => {
  const world = await startedWorld({ coordinator: false })
  const client = await live(world)
  await Promise.all([world.api.stop(), client.closed])
  expect(await client.closed).toEqual({ code: 1001, reason: 'the server stops: connect again' })
})

test('other upgrades, and plain requests, are answered', async () => {
  const world = await startedWorld({ coordinator: false })
  expect(await world.get('/api/v1/live')).toMatchObject({ status: 426, body: { code: 'upgrade_required' } })
  const key = await world.key()
  const ask = (path: string, upgrade: string) =>
    new Promise<number>((resolve, reject) => {
      const headers = { authorization: `Bearer ${key}`, connection: 'Upgrade', upgrade }
      get(`${world.api.url()}${path}`, { headers, agent: false }, (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      })
        .on('upgrade', (_response, socket) => {
          socket.destroy()
          resolve(101)
        })
        .on('error', reject)
    })
  expect(await ask('/runs', 'h2c')).toBe(200)
  expect(await ask('/runs', 'websocket')).toBe(200)
  // Neither a version nor a key of the handshake.
  expect(await ask('/api/v1/live', 'websocket')).toBe(400)
  await expect(connect(world, { path: '/live' })).rejects.toThrow('route_not_found')
  await (await live(world, { path: '/api/live' })).socket.close()
  await (await live(world, { path: '/api/v1/live/' })).socket.close()
  const post = request(`${world.api.url()}/api/v1/live`, { method: 'POST', agent: false })
  const status = await new Promise((resolve) =>
    post.on('response', ({ statusCode }) => resolve(statusCode)).end(),
  )
  expect(status).toBe(405)
})
