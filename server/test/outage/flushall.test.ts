/**
 * FLUSHALL under load, on a real `weft serve`: with so many tasks taken and as many queued, read just before, every run
 * completes, and nothing stands still for 15 s. Small in the whole test run; at full size with
 * `WEFT_TEST_TASKS=500 npm test -- server/test/outage/flushall.test.ts`.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { testDatabase } from '../postgres.ts'
import { findRedis } from '../servers/programs.ts'
import { RedisServer } from '../servers/redis.ts'
import { freePort, newApiKey, newDataDirectory, removeDataDirectory, WeftProcess } from '../weft-process.ts'

const TASKS = Number(process.env.WEFT_TEST_TASKS ?? 40)
const MAX_STALL_MS = 15_000
const GUARD_MS = 240_000

/** A service that answers nothing until the gate opens, and counts how often each call comes. */
async function heldService() {
  const held: ServerResponse[] = []
  const calls = new Map<string, number>()
  let isOpen = false
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    calls.set(path, (calls.get(path) ?? 0) + 1)
    if (isOpen) response.end('{}')
    else held.push(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    calls,
    open() {
      isOpen = true
      for (const response of held) response.end('{}')
    },
  }
}

async function startWeft(environment: Record<string, string>, allow: string): Promise<WeftProcess> {
  const dataDirectory = newDataDirectory('flushall')
  const weft = new WeftProcess({
    dataDirectory,
    port: await freePort(),
    apiKey: newApiKey(),
    allow,
    environment,
  })
  onTestFinished(async () => {
    await weft.stop()
    await removeDataDirectory(dataDirectory)
  })
  await weft.start()
  return weft
}

async function submit(weft: WeftProcess, servicePort: number, count: number): Promise<void> {
  const one = async (index: number): Promise<void> => {
    const url = `http://127.0.0.1:${servicePort}/${index}`
    const response = await fetch(`${weft.url}/api/v1/runs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${weft.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        definition: {
          weft: 1,
          name: 'held',
          nodes: { call: { type: 'http', with: { url, method: 'GET' } } },
        },
      }),
    })
    await response.arrayBuffer()
    if (response.status !== 202) throw new Error(`a submit was answered with ${response.status}`)
  }
  for (let from = 0; from < count; from += 50) {
    await Promise.all(Array.from({ length: Math.min(50, count - from) }, (_, index) => one(from + index)))
  }
}

/** How many tasks of the lane are taken, and how many are queued. */
async function held(redis: Redis): Promise<{ taken: number; queued: number }> {
  const [taken] = await redis.keys('weft:*:taken')
  const [queue] = await redis.keys('weft:*:queue:http')
  return {
    taken: taken === undefined ? 0 : await redis.hlen(taken),
    queued: queue === undefined ? 0 : await redis.zcard(queue),
  }
}

test.skipIf(findRedis() === null)(
  `FLUSHALL with ${TASKS} tasks taken and ${TASKS} queued: every run completes, without a long stall`,
  async () => {
    const database = await testDatabase()
    onTestFinished(() => database.drop())
    const server = await RedisServer.start()
    onTestFinished(() => server.stop())
    const redis = new Redis(server.url)
    onTestFinished(() => redis.disconnect())
    const service = await heldService()
    const weft = await startWeft(
      {
        WEFT_DATABASE_URL: database.url,
        WEFT_REDIS_URL: server.url,
        WEFT_WORKER_CONCURRENCY: `http=${TASKS}`,
        WEFT_RATE_LIMITS: 'off',
      },
      `127.0.0.1:${service.port}`,
    )
    const runs = 2 * TASKS
    await submit(weft, service.port, runs)
    let before = await held(redis)
    while (before.taken < TASKS || before.queued < TASKS) {
      await pause(20)
      before = await held(redis)
    }

    await redis.flushall()
    const flushedAt = performance.now()
    service.open()

    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    onTestFinished(() => client.end())
    let [completed, movedAt, stallMs] = [0, flushedAt, 0]
    while (completed < runs) {
      await pause(20)
      const { rows } = await client.query<{ count: number }>(
        `select count(*)::int as count from runs where status = 'completed'`,
      )
      const now = performance.now()
      if (rows[0]!.count > completed) movedAt = now
      completed = rows[0]!.count
      stallMs = Math.max(stallMs, now - movedAt)
    }
    const again = [...service.calls.values()].filter((count) => count > 1).length
    process.stdout.write(
      `FLUSHALL with ${before.taken} taken and ${before.queued} queued: ${runs} runs completed after ${Math.round(performance.now() - flushedAt)} ms, longest stall ${Math.round(stallMs)} ms, ${again} calls repeated\n`,
    )
    expect(stallMs).toBeLessThan(MAX_STALL_MS)
    expect(service.calls.size).toBe(runs)
  },
  GUARD_MS,
)
