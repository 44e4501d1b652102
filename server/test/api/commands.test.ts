import type { RunEvent } from '@weft/engine'
import { describe, expect, test } from 'vitest'
import { manualClock } from '../coordinator/manual-clock.ts'
import { ACTS, ASKS, apiWorld } from './world.ts'

const WAITS = { wait: { type: 'wait', with: { message: 'paid' } } }

describe('a command is answered with the run’s verdict', () => {
  test('cancel reaches a waiting run; again it is accepted, and a finished run refuses everything else', async () => {
    const world = await apiWorld()
    const id = await world.run(ASKS)
    await world.waits(id)
    expect(await world.post(`/runs/${id}/cancel`, { reason: 'changed my mind' })).toMatchObject({
      status: 200,
      body: { accepted: true },
    })
    await world.ended(id)
    expect((await world.get(`/runs/${id}`)).body.status).toBe('cancelled')
    expect((await world.post(`/runs/${id}/cancel`)).status).toBe(200)
    const pause = await world.post(`/runs/${id}/pause`)
    expect([pause.status, pause.body.code, pause.body.details]).toEqual([
      409,
      'run_finished',
      { status: 'cancelled' },
    ])
  })

  test('pause, resume', async () => {
    const world = await apiWorld()
    const id = await world.run(ASKS)
    await world.waits(id)
    expect((await world.post(`/runs/${id}/resume`)).body.code).toBe('not_paused')
    await world.post(`/runs/${id}/pause`)
    expect((await world.get(`/runs/${id}`)).body.status).toBe('paused')
    expect((await world.post(`/runs/${id}/resume`)).status).toBe(200)
    expect((await world.get(`/runs/${id}`)).body.status).toBe('waiting')
  })

  test('retry from failure performs the failed step again', async () => {
    const world = await apiWorld()
    const id = await world.run(ACTS)
    expect((await world.post(`/runs/${id}/retry`)).body.code).toBe('not_retryable')
    await world.fail(await world.take())
    await world.ended(id)
    expect((await world.get(`/runs/${id}`)).body).toMatchObject({
      status: 'failed',
      error: { code: 'broken' },
    })
    expect((await world.post(`/runs/${id}/retry`)).status).toBe(200)
    await world.complete(await world.take(), 'done')
    await world.event(id, ({ type }) => type === 'run.completed')
    expect((await world.get(`/runs/${id}`)).body).toMatchObject({ status: 'completed', output: 'done' })
  })

  test('delete removes a finished run, and only such', async () => {
    const world = await apiWorld()
    const id = await world.run(ASKS)
    await world.waits(id)
    expect((await world.ask('DELETE', `/runs/${id}`)).body).toMatchObject({
      status: 409,
      code: 'run_not_finished',
    })
    await world.post(`/runs/${id}/cancel`)
    await world.ended(id)
    expect((await world.ask('DELETE', `/runs/${id}`)).status).toBe(204)
    expect((await world.get(`/runs/${id}`)).body.code).toBe('run_not_found')
  })

  test('delete says of a run that has ended what it still has to wait for', async () => {
    const world = await apiWorld()
    const id = await world.run(ASKS)
    await world.waits(id)
    await world.post(`/runs/${id}/cancel`)
    await world.ended(id)
    await world.coordinator?.stop()
    const command = { kind: 'retry' } as const
    await world.store.inbox.insert({
      id: `${id}:r`,
      runId: id,
      workspace: world.workspace,
      actor: 'ann',
      command,
    })
    const told = await world.ask('DELETE', `/runs/${id}`)
    expect([told.status, told.body.code]).toEqual([409, 'run_not_finished'])
    expect(told.body.detail).toContain('has ended')
    expect(told.body.detail).toContain('Try again in a moment')
  })

  test('of a run that does not exist, and of an id that is none', async () => {
    const world = await apiWorld()
    for (const id of ['0190a000-0000-7000-8000-000000000000', "x'; drop table runs"]) {
      expect((await world.post(`/runs/${encodeURIComponent(id)}/cancel`)).body.code).toBe('run_not_found')
    }
  })
})

describe('a message', () => {
  test('wakes the step that waits for it, and its data is the output', async () => {
    const world = await apiWorld()
    const id = await world.run(WAITS)
    await world.waits(id)
    const { body } = await world.post(`/runs/${id}/messages`, { name: 'paid', data: { amount: 12 } })
    expect(body.detail).toEqual({ step: 'wait' })
    await world.ended(id)
    expect((await world.get(`/runs/${id}`)).body.output).toEqual({ amount: 12 })
  })

  test('counts once under the sender’s id', async () => {
    const world = await apiWorld()
    const id = await world.run(ASKS)
    await world.waits(id)
    const send = () => world.post(`/runs/${id}/messages`, { name: 'paid', id: 'bill-7' })
    expect((await send()).body.detail).toEqual({ kept: true })
    expect((await send()).body.detail).toEqual({ duplicate: true })
  })

  test('counts once under an idempotency key, and is answered the same', async () => {
    const world = await apiWorld()
    const id = await world.run(ASKS)
    await world.waits(id)
    const asked = { headers: { 'idempotency-key': 'm1' } }
    const first = await world.post(`/runs/${id}/messages`, { name: 'paid' }, asked)
    const again = await world.post(`/runs/${id}/messages`, { name: 'paid' }, asked)
    expect(again.body).toEqual(first.body)
    expect((await world.post(`/runs/${id}/messages`, { name: 'other' }, asked)).body.code).toBe(
      'idempotency_key_reused',
    )
    const events = await world.store.runs.events({ runId: id, afterSeq: 0, limit: 100 })
    expect(events.filter(({ event }) => event.type === 'message.received')).toHaveLength(1)
  })

  test('with much data leaves the log and is read again by the step', async () => {
    const world = await apiWorld()
    const id = await world.run(WAITS)
    await world.waits(id)
    await world.post(`/runs/${id}/messages`, { name: 'paid', data: 'x'.repeat(50_000) })
    await world.ended(id)
    expect((await world.get(`/runs/${id}`)).body.output).toMatchObject({ bytes: 50_002 })
  })
})

test('a command that nobody answers in time is stored, and answered with its id', async () => {
  const clock = manualClock()
  const world = await apiWorld({ coordinator: false, clock })
  const id = await world.run(ASKS)
  const answer = world.post(`/runs/${id}/cancel`)
  let isOver = false
  void answer.then(() => {
    isOver = true
  })
  while (!isOver) {
    clock.advance(250)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { status, body } = await answer
  expect(status).toBe(202)
  expect(await world.store.inbox.verdict(body.commandId)).toBeNull()
})

test('why names what every token waits for, and that nobody serves a type', async () => {
  const world = await apiWorld()
  const id = await world.run({ ...ACTS, ask: { type: 'approval', with: { title: 'Go on?', timeout: '1h' } } })
  await world.waits(id)
  const { body } = await world.get(`/runs/${id}/why`)
  expect(
    body.tokens.map(({ token, waitsFor }: { token: string; waitsFor: string }) => [token, waitsFor]).sort(),
  ).toEqual([
    ['act', 'worker'],
    ['ask', 'approval'],
  ])
  expect(body.tokens.find(({ token }: { token: string }) => token === 'ask').until).toBeGreaterThan(
    world.clock.now(),
  )
  expect(body.hints).toEqual([expect.stringContaining('No live worker serves the node type `act`')])
})

test('a step is running exactly while a worker holds its attempt', async () => {
  const world = await apiWorld()
  const id = await world.run({ first: { type: 'set', with: { a: 1 } }, act: { type: 'act', needs: 'first' } })
  await world.event(id, ({ type, key }) => type === 'step.completed' && key === 'first')
  const statusOfAct = async () =>
    (await world.get(`/runs/${id}`)).body.steps.find((step: { id: string }) => step.id === 'act').status
  expect(await statusOfAct()).toBe('ready')
  const task = await world.take()
  expect(await statusOfAct()).toBe('running')
  await world.complete(task, null)
  await world.ended(id)
  expect(await statusOfAct()).toBe('completed')
})

test('the graph says of every edge whether it was taken', async () => {
  const world = await apiWorld()
  const id = await world.run({
    pick: { type: 'branch', with: { cases: { high: 'false' } } },
    high: { type: 'set', needs: { pick: 'high' }, with: { a: 1 } },
    low: { type: 'set', needs: { pick: 'default' }, with: { a: 2 } },
    join: { type: 'set', needs: ['high', 'low'], with: { a: 3 } },
  })
  await world.ended(id)
  const { body } = await world.get(`/runs/${id}/graph`)
  expect(
    body.edges
      .map((edge: { from: string; to: string; state: string }) => `${edge.from}>${edge.to} ${edge.state}`)
      .sort(),
  ).toEqual(['high>join dead', 'low>join taken', 'pick>high dead', 'pick>low taken'])
  expect(
    Object.fromEntries(body.nodes.map((node: { id: string; layer: number }) => [node.id, node.layer])),
  ).toEqual({ pick: 0, high: 1, low: 1, join: 2 })
  expect((await world.get(`/runs/${id}/graph?version=${body.hash}`)).status).toBe(200)
  expect((await world.get(`/runs/${id}/graph?version=sha256:0`)).status).toBe(400)
})

describe('lists', () => {
  test('filter by status, workflow and labels, and page without a gap', async () => {
    const world = await apiWorld()
    const ids: string[] = []
    for (let index = 0; index < 5; index++) {
      ids.unshift(
        await world.run(
          { stop: { type: 'stop' } },
          { labels: { index: String(index), odd: String(index % 2) } },
        ),
      )
      await world.ended(ids[0] as string)
    }
    const seen: string[] = []
    let cursor: string | null = null
    do {
      const { body }: { body: { items: { id: string }[]; nextCursor: string | null } } = await world.get(
        `/runs?limit=2${cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`}`,
      )
      seen.push(...body.items.map(({ id }) => id))
      cursor = body.nextCursor
    } while (cursor !== null)
    expect(seen).toEqual(ids)
    expect((await world.get('/runs?label=odd:1&status=completed')).body.items).toHaveLength(2)
    expect((await world.get('/runs?label=odd:1&label=index=3')).body.items).toHaveLength(1)
    expect((await world.get('/runs?status=failed,cancelled&workflow=tested')).body.items).toEqual([])
  })

  test('find a run by what people write', async () => {
    const world = await apiWorld({ coordinator: false })
    const first = await world.run(ASKS)
    const second = await world.run(ASKS)
    const find = async (reference: string) =>
      (await world.get(`/runs?reference=${encodeURIComponent(reference)}`)).body.items.map(
        ({ id }: { id: string }) => id,
      )
    expect(await find('@last')).toEqual([second])
    expect(await find('@last:tested')).toEqual([second])
    expect(await find('@last:nobody')).toEqual([])
    expect(await find(first.slice(-8))).toEqual([first])
  })
})

test('a read that breaks in the middle of a log does not spoil the next one', async () => {
  let breaks = false
  const world = await apiWorld({
    store: (store) => ({
      ...store,
      runs: {
        ...store.runs,
        async events(request) {
          const page = await store.runs.events(request)
          if (!breaks) return page
          breaks = false
          return [
            ...page,
            { seq: 99, event: { type: 'step.completed', key: 'nobody' } as unknown as RunEvent },
          ]
        },
      },
    }),
  })
  const id = await world.run(ACTS)
  expect((await world.get(`/runs/${id}`)).body.seq).toBe(1)
  await world.complete(await world.take(), 'done')
  await world.ended(id)
  breaks = true
  expect((await world.get(`/runs/${id}`)).status).toBe(500)
  expect((await world.get(`/runs/${id}`)).body).toMatchObject({ status: 'completed', seq: 3, output: 'done' })
})
