/**
 * Live clients behind a TCP proxy that cuts every connection after a random number of bytes, mid-frame: what each has
 * put together over its reconnections is the database's list of events, in order, each once.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { JsonObject } from '@weft/engine'
import { expect, onTestFinished, test } from 'vitest'
import { randomFrom } from '../random.ts'
import { type ApiWorld, apiWorld } from './world.ts'

const RUNS = 10
const CLIENTS_PER_RUN = 4
const STEPS = 12

/** Passes bytes on, and cuts each connection after some of the server's. */
async function cuttingProxy(port: number, bytesUntilCut: () => number) {
  const sockets = new Set<Socket>()
  const proxy = createServer((client) => {
    const server = connect(port, '127.0.0.1')
    let left = bytesUntilCut()
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        server.destroy()
      })
    }
    client.on('data', (bytes) => server.write(bytes))
    server.on('data', (bytes) => {
      const passed = bytes.subarray(0, left)
      left -= passed.length
      client.write(passed, () => {
        if (left > 0) return
        state.cuts++
        client.destroy()
      })
    })
  })
  const state = { cuts: 0, url: '' }
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  state.url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  return state
}

interface Seen {
  readonly seq: number
  readonly type: string
}

/** Follows a run as a browser does: again from the last id whenever the connection ends, until there is no more. */
async function follow(url: string, key: string): Promise<Seen[]> {
  const seen: Seen[] = []
  for (;;) {
    try {
      const response = await fetch(url, {
        headers: {
          authorization: `Bearer ${key}`,
          accept: 'text/event-stream',
          ...(seen.length > 0 && { 'last-event-id': String(seen.at(-1)?.seq) }),
        },
      })
      if (response.status === 204) return seen
      if (response.status !== 200) throw new Error(await response.text())
      let text = ''
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk
        const frames = text.split('\n\n')
        text = frames.pop() as string
        for (const frame of frames) {
          if (!frame.startsWith('id: ')) continue
          const data = frame.split('\n').find((line) => line.startsWith('data: ')) as string
          const { seq, type } = JSON.parse(data.slice('data: '.length))
          seen.push({ seq, type })
        }
      }
    } catch (error) {
      // Cut: `fetch` says so in one of these ways, and anything else is a mistake.
      if (!(error instanceof TypeError)) throw error
    }
  }
}

const nodes: JsonObject = Object.fromEntries(
  Array.from({ length: STEPS }, (_, index) => [
    `s${index}`,
    { type: 'act', ...(index > 0 && { needs: `s${index - 1}` }) },
  ]),
)

async function perform(world: ApiWorld): Promise<void> {
  for (let left = RUNS * STEPS; left > 0; left--) await world.complete(await world.take(), 'x'.repeat(200))
}

test('server-sent events: cut at random, every client has the whole log in order', async () => {
  const world = await apiWorld()
  await world.api.start()
  const dice = randomFrom(7)
  const proxy = await cuttingProxy(Number(new URL(world.api.url()).port), () => dice.between(500, 6_000))
  const key = await world.key('viewer')
  const ids: string[] = []
  for (let index = 0; index < RUNS; index++) ids.push(await world.run(nodes))
  const following = ids.flatMap((id) =>
    Array.from({ length: CLIENTS_PER_RUN }, async () => ({
      id,
      seen: await follow(`${proxy.url}/api/v1/runs/${id}/events`, key),
    })),
  )
  await perform(world)
  for (const { id, seen } of await Promise.all(following)) {
    const log = await world.store.runs.events({ runId: id, afterSeq: 0, limit: 1_000 })
    expect(seen).toEqual(log.map(({ seq, event }) => ({ seq, type: event.type })))
  }
  expect(proxy.cuts).toBeGreaterThan(RUNS * CLIENTS_PER_RUN)
})
