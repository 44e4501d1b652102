/** `onFailure`: what a failed run starts, once for each failure, over kills. On real PostgreSQL. */
import { failureRunId, type JsonObject, type RunEvent } from '@weft/engine'
import { describe, expect, test } from 'vitest'
import { compiled, killAndTakeOver, type World, world } from './world.ts'

const FAILS: JsonObject = {
  onFailure: 'alarm',
  nodes: { a: { type: 'act', retry: 'off', with: { message: 'a' } } },
}
const ALARM: JsonObject = {
  name: 'alarm',
  nodes: { tell: { type: 'set', with: { value: '${{ input }}' } } },
}

async function push(w: World, definition: JsonObject): Promise<void> {
  const graph = compiled(definition)
  await w.graphs.ensureStored(graph)
  await w.store.workflows.push({
    workspace: 'default',
    name: graph.definition.name,
    definition: graph.definition as unknown as JsonObject,
    source: null,
    description: null,
    graph: graph.hash,
    tags: [],
    at: w.clock.now(),
  })
}

async function failed(w: World, definition: JsonObject = FAILS): Promise<string> {
  const runId = await w.begin(definition, { order: 7 })
  const [task] = await w.take()
  await w.fail(task!, false)
  await w.event(runId, 'run.failed')
  return runId
}

const startedBy = async (w: World, runId: string): Promise<string> => {
  const { length } = await w.events(runId)
  return failureRunId(runId, length)
}

const all = async (w: World) =>
  (await w.store.runs.list({ workspace: 'default', limit: 50 })).items.map(({ workflow }) => workflow).sort()

describe('a run that failed', () => {
  test('starts the workflow that it names, with what happened as input', async () => {
    const w = await world()
    await push(w, ALARM)
    const runId = await failed(w)
    const alarm = await startedBy(w, runId)
    await w.event(alarm, 'run.completed')
    expect((await w.row(alarm)).output).toMatchObject({
      value: {
        run: { id: runId, workflow: 'test', input: { order: 7 }, labels: {} },
        error: { code: 'broken' },
        steps: [{ id: 'a', error: { code: 'broken', message: 'it broke' } }],
      },
    })
    await w.coordinator.idle()
    expect((await w.row(runId)).wakeAt, 'nothing is owed any more').toBeNull()
  })

  test('starts it once more when it is retried and fails again', async () => {
    const w = await world()
    await push(w, ALARM)
    const runId = await failed(w)
    const first = await startedBy(w, runId)
    await w.event(first, 'run.completed')
    await w.coordinator.idle()
    await w.command(runId, { kind: 'retry' })
    const [task] = await w.take()
    const failedAgain = w.message(
      (message) =>
        message.kind === 'event' &&
        message.runId === runId &&
        (message.event as RunEvent).type === 'run.failed',
    )
    await w.fail(task!, false)
    await failedAgain
    const second = await startedBy(w, runId)
    expect(second).not.toBe(first)
    await w.event(second, 'run.completed')
    expect(await all(w)).toEqual(['alarm', 'alarm', 'test'])
  })

  test('starts nothing when it completes or is cancelled', async () => {
    const w = await world()
    await push(w, ALARM)
    const completed = await w.begin(FAILS)
    await w.finish(completed)
    const cancelled = await w.begin(FAILS)
    await w.command(cancelled, { kind: 'cancel' })
    await w.finish(cancelled)
    await w.coordinator.idle()
    expect(await all(w)).toEqual(['test', 'test'])
  })

  test('leaves it to its parent when it is a child', async () => {
    const w = await world()
    await push(w, ALARM)
    await push(w, { ...FAILS, name: 'part' })
    await failed(w, { nodes: { child: { type: 'workflow', with: { workflow: 'part' } } } })
    await w.coordinator.idle()
    expect(await all(w)).toEqual(['part', 'test'])
  })

  test('starts no other when a failure started it', async () => {
    const w = await world()
    await push(w, { ...FAILS, name: 'alarm', onFailure: 'alarm' })
    const alarm = await startedBy(w, await failed(w))
    const [task] = await w.take()
    expect(task).toMatchObject({ runId: alarm })
    await w.fail(task!, false)
    await w.event(alarm, 'run.failed')
    await w.coordinator.idle()
    expect(await all(w)).toEqual(['alarm', 'test'])
    expect((await w.row(alarm)).wakeAt).toBeNull()
  })

  test('of a workflow that is not there, ends all the same and is owed nothing', async () => {
    const w = await world()
    const runId = await failed(w)
    await w.coordinator.idle()
    expect((await w.row(runId)).wakeAt).toBeNull()
    expect(await all(w)).toEqual(['test'])
  })

  test('a kill between its end and the start of the other loses nothing', async () => {
    let killed = false
    const w = await world({
      hook: {
        after: (batch) => {
          if (batch.some(({ finished }) => finished)) killed = true
          return killed ? new Promise<never>(() => {}) : undefined
        },
      },
    })
    await push(w, ALARM)
    const runId = await w.begin(FAILS)
    const [task] = await w.take()
    await w.fail(task!, false)
    while ((await w.status(runId)) !== 'failed') await w.store.ping()
    expect(await all(w)).toEqual(['test'])
    const next = await killAndTakeOver(w)
    await next.event(await startedBy(next, runId), 'run.completed')
    await next.coordinator.idle()
    expect(await all(next)).toEqual(['alarm', 'test'])
    expect((await next.row(runId)).wakeAt).toBeNull()
  })
})
