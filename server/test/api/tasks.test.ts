import type { Json, JsonObject } from '@weft/engine'
import { describe, expect, test } from 'vitest'
import { memoryTransport } from '../../src/transport/memory.ts'
import { LEASE_MS } from '../../src/transport/transport.ts'
import { createExternalTasks } from '../../src/worker/external.ts'
import { failureOf } from '../suites/store-fixture.ts'
import { ACTS, type ApiWorld, apiWorld, codes, type Told } from './world.ts'

const WORKER = 'python-1'

/** An external worker that has only HTTP, with a key of the role `worker`. */
class Program {
  readonly #world: ApiWorld
  readonly #worker: string
  constructor(world: ApiWorld, worker = WORKER) {
    this.#world = world
    this.#worker = worker
  }

  async ask(path: string, body: JsonObject): Promise<Told> {
    const key = await this.#world.key('worker')
    return this.#world.post(`/api/v1${path}`, { worker: this.#worker, ...body }, { key })
  }

  async claim(types: readonly string[], more: JsonObject = {}) {
    const { status, body } = await this.ask('/tasks/claim', { types: [...types], ...more })
    if (status !== 200) throw new Error(JSON.stringify(body))
    return body.tasks
  }

  async register(...types: JsonObject[]): Promise<Told> {
    return this.#world.post('/api/v1/node-types', { types }, { key: await this.#world.key('worker') })
  }

  complete = (task: string, output: Json, more: JsonObject = {}): Promise<Told> =>
    this.ask('/tasks/complete', { task, output, ...more })
  fail = (task: string, error: JsonObject): Promise<Told> => this.ask('/tasks/fail', { task, error })
}

const RESIZE: JsonObject = {
  type: 'image.resize',
  labels: ['too_small'],
  retry: { delayMs: 0 },
  config: {
    type: 'object',
    properties: { width: { type: 'integer' }, name: { type: 'string' } },
    required: ['width'],
    additionalProperties: false,
  },
  output: { type: 'object', properties: { bytes: { type: 'integer' } }, required: ['bytes'] },
}
const RESIZES: JsonObject = {
  resize: { type: 'image.resize', with: { width: '${{ input.width }}' }, credential: 'shop' },
}

async function programWorld(settings: Parameters<typeof apiWorld>[0] = {}) {
  const world = await apiWorld(settings)
  const program = new Program(world)
  expect((await program.register(RESIZE)).status).toBe(200)
  return { world, program }
}

const startRun = (world: ApiWorld) => world.run(RESIZES, { input: { width: 80 } })
const statusOf = async (world: ApiWorld, id: string) => (await world.get(`/runs/${id}`)).body.status

describe('a program outside performs tasks', () => {
  test('it gets the config with its values and the credential by name; its output is the step’s', async () => {
    const { world, program } = await programWorld()
    const claiming = program.claim(['image.resize'])
    const id = await startRun(world)
    const [task] = await claiming
    expect(task).toMatchObject({
      runId: id,
      step: 'resize',
      attempt: 1,
      type: 'image.resize',
      config: { width: 80 },
      credentials: { default: 'shop' },
      idempotencyKey: `${id}/resize/1`,
    })
    expect((await program.complete(task.id, { bytes: 12 })).status).toBe(200)
    await world.ended(id)
    expect((await world.get(`/runs/${id}`)).body).toMatchObject({
      status: 'completed',
      output: { bytes: 12 },
    })
    // The answer of the first report was lost on the way: the second one says the same.
    expect((await program.complete(task.id, { bytes: 12 })).status).toBe(200)
  })

  test('a report whose answer was lost is answered again after a restart, by the log', async () => {
    const { world, program } = await programWorld()
    const id = await startRun(world)
    const [task] = await program.claim(['image.resize'])
    await program.complete(task.id, { bytes: 12 })
    await world.ended(id)
    const [, event] = (await world.get(`/runs/${id}/events`)).body.items
    const transport = memoryTransport({ clock: world.clock, leaseMs: LEASE_MS })
    const restarted = createExternalTasks({ ...world.externalParts, transport })
    const report = (worker: string, name: string) =>
      restarted.complete(
        { worker, allowed: null, task: name, output: { bytes: 12 } },
        async (output) => output,
      )
    await report(event.worker, task.id)
    for (const [worker, name] of [
      ['somebody/else', task.id],
      [event.worker, task.id.replace(/1$/, '2')],
      [event.worker, 'nonsense'],
    ] as const)
      expect(await failureOf(report(worker, name))).toMatchObject({ code: 'task_lost' })
  })

  test('a claim without tasks ends empty when its wait is over', async () => {
    const { program } = await programWorld()
    expect(await program.claim(['image.resize'], { waitMs: 0 })).toEqual([])
  })

  test('`max` counts over all types, and what was too much is there for the next claim', async () => {
    const { world, program } = await programWorld()
    await program.register({ type: 'image.crop' })
    const ids = [await startRun(world), await startRun(world)]
    ids.push(await world.run({ crop: { type: 'image.crop' } }))
    const seen: string[] = []
    while (seen.length < 3) {
      const tasks = await program.claim(['image.resize', 'image.crop'], { max: 1 })
      expect(tasks).toHaveLength(1)
      seen.push(tasks[0].runId)
    }
    expect(seen.sort()).toEqual(ids.sort())
  })

  test('a large output leaves the log and is read back by reference', async () => {
    const { world, program } = await programWorld()
    const id = await world.run(ACTS)
    const [task] = await program.claim(['act'])
    const text = 'x'.repeat(40_000)
    await program.complete(task.id, { text })
    await world.ended(id)
    const { output } = (await world.get(`/runs/${id}`)).body
    expect(JSON.parse((await world.get(`/api/v1/blobs/${output.$blob}`)).text)).toEqual({ text })
  })

  test('a failure carries its code, and a token in its text is taken out', async () => {
    const { world, program } = await programWorld()
    const id = await world.run(ACTS)
    const [task] = await program.claim(['act'])
    await program.fail(task.id, {
      code: 'quota_exceeded',
      message: 'refused: Bearer abcdefghijklmnop',
      retryable: false,
      details: { left: 0 },
    })
    await world.ended(id)
    const { error } = (await world.get(`/runs/${id}`)).body
    expect(error).toMatchObject({ code: 'quota_exceeded', details: { step: 'act', error: { left: 0 } } })
    expect(error.message).not.toContain('abcdefghijklmnop')
  })

  test('what cannot be retried is told apart from what can: the next attempt follows with its own id', async () => {
    const { world, program } = await programWorld()
    const id = await startRun(world)
    const [first] = await program.claim(['image.resize'])
    await program.fail(first.id, { message: 'try again' })
    const [second] = await program.claim(['image.resize'])
    expect([second.attempt, second.idempotencyKey]).toEqual([2, first.idempotencyKey])
    await program.complete(second.id, { bytes: 1 })
    await world.ended(id)
    expect(await statusOf(world, id)).toBe('completed')
  })

  test('queues say what waits, what is at work, and what waits for its retry', async () => {
    const { world, program } = await programWorld()
    await program.register({ ...RESIZE, type: 'image.grow' })
    const queue = async () => {
      const { items } = (await world.get('/api/v1/queues')).body
      return items.find(({ type }: { type: string }) => type === 'image.grow')
    }
    const grow = { type: 'image.grow', with: { width: 9 }, retry: { attempts: 2, delay: '1h' } }
    const id = await world.run({ once: grow, twice: grow })
    for (const tasks of [1, 2]) {
      const [task] = await program.claim(['image.grow'], { max: 1 })
      expect(await queue()).toMatchObject({ waiting: 2 - tasks, active: 1, delayed: tasks - 1 })
      await program.fail(task.id, { message: 'no room' })
      await world.event(id, ({ type, key }) => type === 'attempt.failed' && key === task.step)
    }
    expect(await queue()).toEqual({ type: 'image.grow', waiting: 0, active: 0, delayed: 2, oldestAgeMs: 0 })
  })

  test('a config that the type refuses fails the step without a claim', async () => {
    const { world, program } = await programWorld()
    const claiming = program.claim(['image.resize'])
    const id = await world.run(RESIZES, { input: { width: 'wide' } })
    await world.ended(id)
    expect((await world.get(`/runs/${id}`)).body.error.code).toBe('invalid_config')
    const good = await startRun(world)
    expect((await claiming)[0].runId).toBe(good)
  })

  test('its timeout holds for programs too', async () => {
    const { world, program } = await programWorld()
    const id = await world.run({ act: { type: 'act', retry: 'off', timeout: '50ms' } })
    const [task] = await program.claim(['act'])
    await world.ended(id)
    expect((await world.get(`/runs/${id}`)).body.error.code).toBe('timeout')
    expect((await program.complete(task.id, 1)).body.code).toBe('task_lost')
    expect((await program.ask('/tasks/heartbeat', { tasks: [task.id] })).body).toEqual({
      abort: [],
      lost: [task.id],
    })
  })
})

describe('a program that goes away, or is told to stop', () => {
  test('without heartbeats its task is lost, and the next attempt goes to another one', async () => {
    const { world, program } = await programWorld({ leaseMs: 2_500 })
    const id = await startRun(world)
    const [first] = await program.claim(['image.resize'])
    const [second] = await new Program(world, 'python-2').claim(['image.resize'])
    expect([second.runId, second.attempt]).toEqual([id, 2])
    const late = await program.complete(first.id, { bytes: 1 })
    expect([late.status, late.body.code]).toEqual([409, 'task_lost'])
    await new Program(world, 'python-2').complete(second.id, { bytes: 2 })
    await world.ended(id)
    expect((await world.get(`/runs/${id}`)).body.output).toEqual({ bytes: 2 })
  })

  test('after a cancel the heartbeat says so, and the program’s report ends the run', async () => {
    const { world, program } = await programWorld()
    const id = await startRun(world)
    const [task] = await program.claim(['image.resize'])
    expect((await program.ask('/tasks/heartbeat', { tasks: [task.id] })).body).toEqual({
      abort: [],
      lost: [],
    })
    await world.post(`/runs/${id}/cancel`)
    expect((await program.ask('/tasks/heartbeat', { tasks: [task.id] })).body).toEqual({
      abort: [task.id],
      lost: [],
    })
    await program.fail(task.id, { code: 'aborted', message: 'told to stop', retryable: false })
    await world.ended(id)
    expect(await statusOf(world, id)).toBe('cancelled')
  })

  test('`why` says that nobody serves the type, until a program claims it', async () => {
    const { world, program } = await programWorld()
    const id = await startRun(world)
    const hints = async () => (await world.get(`/runs/${id}/why`)).body.hints
    expect(await hints()).toEqual([
      expect.stringContaining('No live worker serves the node type `image.resize`'),
    ])
    await program.claim(['image.resize'])
    expect(await hints()).toEqual([])
  })
})

describe('records', () => {
  test('the first value of a round counts, also for the next attempt', async () => {
    const { world, program } = await programWorld()
    await startRun(world)
    const [first] = await program.claim(['image.resize'])
    const record = (task: string, more: JsonObject) =>
      program.ask('/tasks/record', { task, name: 'paid', ...more })
    expect((await record(first.id, {})).body).toEqual({ recorded: false })
    expect((await record(first.id, { value: 1 })).body).toEqual({ recorded: true, value: 1 })
    expect((await record(first.id, { value: 2 })).body).toEqual({ recorded: true, value: 1 })
    await program.fail(first.id, { message: 'later' })
    const [second] = await program.claim(['image.resize'])
    expect((await record(second.id, {})).body).toEqual({ recorded: true, value: 1 })
    expect((await record(first.id, {})).body.code).toBe('task_lost')
  })

  test('names of Weft’s own are refused', async () => {
    const { world, program } = await programWorld()
    await startRun(world)
    const [task] = await program.claim(['image.resize'])
    const told = await program.ask('/tasks/record', { task: task.id, name: 'weft:began:1', value: 1 })
    expect([told.status, told.body.code]).toEqual([422, 'invalid_request'])
  })
})

describe('what is refused', () => {
  test('an output that does not fit stays with the program, which may send another', async () => {
    const { world, program } = await programWorld()
    const id = await startRun(world)
    const [task] = await program.claim(['image.resize'])
    const wrong = await program.complete(task.id, { bytes: 'many' })
    expect([wrong.status, wrong.body.code]).toEqual([422, 'invalid_output'])
    expect(wrong.body.problems[0].pointer).toBe('/output/bytes')
    const label = await program.complete(task.id, { bytes: 1 }, { label: 'too_big' })
    expect([label.status, label.body.code]).toEqual([422, 'invalid_output'])
    const blob = await program.complete(task.id, {
      bytes: 1,
      image: { $blob: `sha256:${'0'.repeat(64)}`, bytes: 1, contentType: 'image/png' },
    })
    expect(blob.body.code).toBe('unknown_blob')
    expect((await program.complete(task.id, { bytes: 1 }, { label: 'too_small' })).status).toBe(200)
    await world.ended(id)
  })

  test('another worker’s task', async () => {
    const { world, program } = await programWorld()
    await startRun(world)
    const [task] = await program.claim(['image.resize'])
    const other = new Program(world, 'python-2')
    for (const told of [
      await other.complete(task.id, { bytes: 1 }),
      await other.fail(task.id, { message: 'no' }),
      await other.ask('/tasks/record', { task: task.id, name: 'a', value: 1 }),
      // The same worker name under another key is another worker.
      await world.post('/api/v1/tasks/complete', { worker: WORKER, task: task.id, output: { bytes: 1 } }),
    ])
      expect([told.status, told.body.code]).toEqual([409, 'task_lost'])
    expect((await program.complete(task.id, { bytes: 1 })).status).toBe(200)
  })

  test('types that nobody registered, and Weft’s own', async () => {
    const { program } = await programWorld()
    const unknown = await program.ask('/tasks/claim', { types: ['image.resise'] })
    expect([unknown.status, unknown.body.code]).toEqual([422, 'unknown_node_type'])
    expect(unknown.body.detail).toContain('`image.resize`')
    for (const type of ['log', 'branch']) {
      expect((await program.ask('/tasks/claim', { types: [type] })).body.code).toBe('node_type_taken')
      expect((await program.register({ type })).body.code).toBe('node_type_taken')
    }
  })

  test('types whose schemas or labels cannot work, all at once', async () => {
    const { program } = await programWorld()
    const told = await program.register(
      { type: 'one', config: { type: 'nothing' } },
      { type: 'two', labels: ['success'], success: ['done'] },
    )
    expect([told.status, told.body.code]).toEqual([422, 'invalid_node_type'])
    expect(told.body.problems.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      '/types/0/config',
      '/types/1/labels',
      '/types/1/success',
    ])
  })

  test('unknown fields, by name', async () => {
    const { program } = await programWorld()
    const told = await program.ask('/tasks/claim', { types: ['image.resize'], maxx: 1 })
    expect([told.status, codes(told)]).toEqual([422, ['unknown_key']])
    expect(told.body.problems[0].suggestion).toBe('max')
    expect(codes(await program.register({ type: 'a', timeout: 1 }))).toEqual(['unknown_key'])
  })

  test.each([
    ['/tasks/claim', { types: ['image.resize'] }],
    ['/tasks/heartbeat', { tasks: [] }],
    ['/tasks/complete', { task: 'a' }],
    ['/tasks/fail', { task: 'a', error: { message: 'b' } }],
    ['/tasks/record', { task: 'a', name: 'b' }],
  ])('%s without a key, with another role, and from another workspace', async (path, rest) => {
    const world = await apiWorld()
    const body = { worker: WORKER, ...rest }
    const statuses = []
    for (const key of [null, await world.key('editor'), await world.key('worker', 'elsewhere')])
      statuses.push((await world.post(`/api/v1${path}`, body, { key })).status)
    expect(statuses).toEqual([401, 403, 403])
  })

  describe('by a key that is limited to task types', () => {
    async function keyFor(world: ApiWorld, more: JsonObject): Promise<{ id: string; key: string }> {
      const { status, body } = await world.post('/api/v1/keys', { name: 'resizer', role: 'worker', ...more })
      expect(status).toBe(201)
      return body
    }

    test('types that it is not for, before anything is claimed or registered', async () => {
      const { world, program } = await programWorld()
      await program.register({ type: 'image.crop' })
      const { key } = await keyFor(world, { taskTypes: ['image.resize', 'image.rotate'] })
      const ask = (path: string, body: JsonObject) => world.post(`/api/v1${path}`, body, { key })
      const refused = [
        await ask('/tasks/claim', { worker: WORKER, types: ['image.crop'] }),
        await ask('/tasks/claim', { worker: WORKER, types: ['image.resize', 'image.crop'] }),
        await ask('/node-types', { types: [RESIZE, { type: 'image.crop', effect: 'pure' }] }),
      ]
      for (const { status, body } of refused) {
        expect([status, body.code]).toEqual([403, 'forbidden'])
        expect(body.detail).toContain('`image.resize`, `image.rotate`, and `image.crop` is not among them')
      }
      const { items } = (await world.get('/api/v1/node-types')).body
      expect(items.find(({ type }: { type: string }) => type === 'image.crop').effect).toBe('write')

      expect((await ask('/node-types', { types: [RESIZE] })).status).toBe(200)
      const id = await startRun(world)
      const claimed = await ask('/tasks/claim', { worker: WORKER, types: ['image.resize'] })
      const task = claimed.body.tasks[0].id
      expect((await ask('/tasks/heartbeat', { worker: WORKER, tasks: [task] })).body.lost).toEqual([])
      const told = await ask('/tasks/complete', { worker: WORKER, task, output: { bytes: 1 } })
      expect(told.status).toBe(200)
      await world.ended(id)
    })

    test('tasks of other types that a key of its name held before', async () => {
      const { world, program } = await programWorld()
      await program.register({ type: 'image.crop' })
      await world.run({ crop: { type: 'image.crop' } })
      const before = await keyFor(world, {})
      const claim = { worker: WORKER, types: ['image.crop'] }
      const [task] = (await world.post('/api/v1/tasks/claim', claim, { key: before.key })).body.tasks
      await world.ask('DELETE', `/api/v1/keys/${before.id}`)
      const { key } = await keyFor(world, { taskTypes: ['image.resize'] })
      const ask = (path: string, body: JsonObject) =>
        world.post(`/api/v1/tasks/${path}`, { worker: WORKER, ...body }, { key })
      for (const { status, body } of [
        await ask('complete', { task: task.id, output: 1 }),
        await ask('fail', { task: task.id, error: { message: 'no' } }),
        await ask('record', { task: task.id, name: 'a', value: 1 }),
        await ask('record', { task: task.id, name: 'a' }),
      ]) {
        expect([status, body.code]).toEqual([403, 'forbidden'])
        expect(body.detail).toContain('limited to tasks of `image.resize`')
      }
      expect((await ask('heartbeat', { tasks: [task.id] })).body).toEqual({ abort: [], lost: [task.id] })
    })
  })

  test('a worker’s key reads nothing', async () => {
    const { world } = await programWorld()
    expect((await world.get('/runs', { key: await world.key('worker') })).status).toBe(403)
  })
})
