import { describe, expect, test } from 'vitest'
import { CHAIN, compiled, killAndTakeOver, world } from './world.ts'

describe('a run', () => {
  test('goes through its steps, one task at a time, and ends with its output', async () => {
    const w = await world()
    const runId = await w.begin(CHAIN)
    for (const key of ['a', 'b', 'c']) {
      const [task] = await w.take()
      expect(task?.key).toBe(key)
      await w.complete(task!, { from: key })
    }
    await w.event(runId, 'run.completed')
    const row = await w.row(runId)
    expect(row).toMatchObject({ status: 'completed', output: { from: 'c' }, wakeAt: null })
    expect(await w.types(runId)).toEqual([
      'run.started',
      'step.completed a',
      'step.completed b',
      'step.completed c',
      'run.completed',
    ])
  })

  test('counts a completion once, however often it is reported, late ones included', async () => {
    const w = await world()
    const runId = await w.begin(CHAIN)
    const [a] = await w.take()
    await w.complete(a!, 1)
    await w.complete(a!, 2)
    const [b] = await w.take()
    await w.complete(a!, 3)
    await w.complete(b!, 4)
    await w.complete(a!, 5)
    await w.complete(b!, 6)
    const [c] = await w.take()
    await w.complete(c!, 7)
    await w.complete(c!, 8)
    await w.event(runId, 'run.completed')
    await w.coordinator.idle()
    const completed = (await w.events(runId)).flatMap((event) =>
      event.type === 'step.completed' ? [event.output] : [],
    )
    expect(completed).toEqual([1, 4, 7])
  })

  test('joins a fan-out of 200 in the order of the items, whatever order they end in', async () => {
    const w = await world()
    const runId = await w.begin(
      {
        nodes: {
          each: {
            type: 'log',
            forEach: { items: 'input.list', maxConcurrency: 200 },
            with: { message: '${{ item }}' },
          },
          after: { type: 'log', needs: 'each', with: { message: '${{ size(steps.each.output) }}' } },
        },
      },
      { list: Array.from({ length: 200 }, (_, index) => index) },
    )
    const tasks = await w.take(200)
    expect(tasks.map((task) => task.scope.item).sort((a, b) => Number(a) - Number(b))).toEqual(
      Array.from({ length: 200 }, (_, index) => index),
    )
    for (const task of tasks.reverse()) await w.complete(task, task.scope.item ?? null)
    const [after] = await w.take()
    expect(after?.scope.steps?.each?.output).toEqual(Array.from({ length: 200 }, (_, index) => index))
    await w.complete(after!)
    await w.event(runId, 'run.completed')
  })

  test('whose list left the log for the blob store hands each item to its task', async () => {
    const w = await world()
    const list = Array.from({ length: 30 }, (_, index) => `${index}:${'x'.repeat(2_000)}`)
    const runId = await w.begin({
      nodes: {
        fetch: { type: 'log', with: { message: 'go' } },
        each: {
          type: 'log',
          needs: 'fetch',
          forEach: 'steps.fetch.output',
          with: { message: '${{ item }}' },
        },
      },
    })
    const [fetch] = await w.take()
    // Workers store a large output before they report it.
    const bytes = new TextEncoder().encode(JSON.stringify(list))
    const blob = await w.store.blobs.put({
      workspace: 'default',
      bytes,
      contentType: 'application/json',
      at: w.clock.now(),
    })
    await w.complete(fetch!, { ...blob })
    const tasks = await w.take(30)
    expect(tasks.map((task) => task.scope.item).sort()).toEqual([...list].sort())
    for (const task of tasks) await w.complete(task, null)
    await w.event(runId, 'run.completed')
  })

  test('decides by a value that lies in a blob', async () => {
    const w = await world()
    const runId = await w.begin({
      nodes: {
        fetch: { type: 'act', with: { message: 'go' } },
        yes: {
          type: 'log',
          needs: { fetch: { when: 'steps.fetch.output.risk > 1' } },
          with: { message: 'yes' },
        },
        no: { type: 'log', needs: { fetch: { when: 'else' } }, with: { message: 'no' } },
      },
    })
    const [fetch] = await w.take()
    const bytes = new TextEncoder().encode(JSON.stringify({ risk: 2, text: 'y'.repeat(50_000) }))
    const blob = await w.store.blobs.put({
      workspace: 'default',
      bytes,
      contentType: 'application/json',
      at: w.clock.now(),
    })
    await w.complete(fetch!, { ...blob })
    const [task] = await w.take()
    expect(task?.key).toBe('yes')
    await w.complete(task!)
    await w.event(runId, 'run.completed')
  })

  test('begins with a step that the engine performs on an input that lies in a blob', async () => {
    const w = await world()
    const bytes = new TextEncoder().encode(JSON.stringify({ text: 'y'.repeat(50_000) }))
    const blob = await w.store.blobs.put({
      workspace: 'default',
      bytes,
      contentType: 'application/json',
      at: w.clock.now(),
    })
    const definition = {
      nodes: { a: { type: 'set', with: { length: '${{ size(input.text) }}' } } },
      output: '${{ steps.a.output.length }}',
    }
    const runId = await w.begin(definition, { ...blob })
    await w.event(runId, 'run.completed')
    expect((await w.folded(runId)).phase).toMatchObject({ kind: 'completed', output: 50_000 })
  })

  test('is decided in memory as it is in the log', async () => {
    const w = await world()
    const runId = await w.begin(CHAIN)
    await w.finish(runId)
    expect((await w.folded(runId)).phase).toMatchObject({ kind: 'completed', output: { done: 'c' } })
  })

  test('that was deleted meanwhile swallows its late signals', async () => {
    const w = await world()
    const runId = await w.begin({ nodes: { a: { type: 'log', with: { message: 'a' } } } })
    const [a] = await w.take()
    await w.complete(a!)
    await w.event(runId, 'run.completed')
    await w.store.runs.delete({ workspace: 'default', id: runId })
    await w.complete(a!)
    const other = await w.begin({ nodes: { a: { type: 'log', with: { message: 'a' } } } })
    await w.finish(other)
    await w.coordinator.idle()
    expect(await w.status(runId)).toBeUndefined()
  })
})

describe('after a kill', () => {
  test('a run goes on where its log ends, with the same attempt', async () => {
    const killed = await world()
    const runId = await killed.begin(CHAIN)
    const [a] = await killed.take()
    await killed.complete(a!)
    const [before] = await killed.take()
    const w = await killAndTakeOver(killed)
    const [after] = await w.take()
    expect(after?.id).toBe(before?.id)
    await w.complete(after!)
    await w.finish(runId)
    expect(await w.status(runId)).toBe('completed')
  })

  test('between commit and publish, what follows is published by the next owner, and nothing completes twice', async () => {
    let cut = false
    let tell = (): void => {}
    const committed = new Promise<void>((resolve) => {
      tell = resolve
    })
    const after = (): Promise<void> | undefined => {
      if (!cut) return undefined
      tell()
      return new Promise<never>(() => {})
    }
    const killed = await world({ hook: { after } })
    const runId = await killed.begin(CHAIN)
    const [a] = await killed.take()
    cut = true
    await killed.complete(a!)
    await committed
    expect(await killed.queued()).toBe(0)
    const w = await killAndTakeOver(killed)
    const [b] = await w.take()
    expect(b?.key).toBe('b')
    await w.complete(b!)
    await w.finish(runId)
    expect((await w.types(runId)).filter((type) => type === 'step.completed a')).toHaveLength(1)
  })

  test('many runs go on at once, each step completed once', async () => {
    const killed = await world()
    const graph = killed.graphs.add(compiled(CHAIN))
    const runIds = await Promise.all(Array.from({ length: 40 }, () => killed.begin(graph)))
    for (const task of (await killed.take(40)).slice(0, 20)) await killed.complete(task)
    const w = await killAndTakeOver(killed)
    await Promise.all(runIds.map((runId) => w.finish(runId)))
    for (const runId of runIds) {
      expect(await w.types(runId)).toEqual([
        'run.started',
        'step.completed a',
        'step.completed b',
        'step.completed c',
        'run.completed',
      ])
    }
  })
})
