import { describe, expect, test } from 'vitest'
import { CHAIN, compiled, killAndTakeOver, world } from './world.ts'

const APPROVAL = { nodes: { ask: { type: 'approval', with: { title: 'Release?' } } } }

async function waitId(w: Awaited<ReturnType<typeof world>>, runId: string): Promise<string> {
  await w.event(runId, 'step.waiting')
  const [approval] = (await w.store.approvals.list({ workspace: 'default', runId, limit: 10 })).items
  return approval!.id
}

describe('commands (R15)', () => {
  test('an approval counts once: the second decision is told who decided', async () => {
    const w = await world()
    const runId = await w.begin({
      nodes: {
        ...APPROVAL.nodes,
        after: { type: 'log', needs: { ask: 'approved' }, with: { message: 'x' } },
      },
    })
    const id = await waitId(w, runId)
    expect(await w.command(runId, { kind: 'decide', waitId: id, decision: 'approve' })).toMatchObject({
      accepted: true,
    })
    expect(await w.command(runId, { kind: 'decide', waitId: id, decision: 'reject' })).toMatchObject({
      accepted: false,
      code: 'already_decided',
    })
    await w.finish(runId)
    expect(await w.status(runId)).toBe('completed')
  })

  test('a decision whose announcement is lost counts at the next sweep', async () => {
    const w = await world()
    const runId = await w.begin(APPROVAL)
    const id = await waitId(w, runId)
    await w.coordinator.idle()
    const command = { kind: 'decide', waitId: id, decision: 'approve' } as const
    await w.store.inbox.insert({ id: 'lost', runId, actor: 'ann', command, workspace: 'default' })
    await w.pass(1_100)
    await w.event(runId, 'run.completed')
    expect(await w.store.inbox.verdict('lost')).toMatchObject({ accepted: true })
  })

  test('one that was inserted just before a kill counts after it', async () => {
    const killed = await world()
    const runId = await killed.begin(APPROVAL)
    const id = await waitId(killed, runId)
    await killed.coordinator.idle()
    killed.isDead = true
    const command = { kind: 'decide', waitId: id, decision: 'approve' } as const
    await killed.store.inbox.insert({ id: 'early', runId, actor: 'ann', command, workspace: 'default' })
    const w = await killAndTakeOver(killed)
    await w.event(runId, 'run.completed')
  })

  test('cancel drops queued tasks, and the run ends as soon as nothing is in flight', async () => {
    const w = await world()
    const runId = await w.begin(CHAIN)
    await w.coordinator.idle()
    expect(await w.command(runId, { kind: 'cancel' })).toMatchObject({ accepted: true })
    await w.event(runId, 'run.cancelled')
    expect(await w.queued()).toBe(0)
    expect(await w.row(runId)).toMatchObject({ status: 'cancelled', wakeAt: null })
  })

  test('cancel waits for the attempt in flight for at most ten seconds', async () => {
    const w = await world()
    const runId = await w.begin(CHAIN)
    const [a] = await w.take()
    await w.command(runId, { kind: 'cancel' })
    expect((await w.transport.tasks.heartbeat('hands', [a!])).abort).toEqual([a!.id])
    expect(await w.status(runId)).toBe('stopping')
    await w.pass(10_100)
    await w.event(runId, 'run.cancelled')
  })

  test('a paused run starts nothing; resumed, it goes on with the same attempt', async () => {
    const w = await world()
    const runId = await w.begin(CHAIN)
    await w.coordinator.idle()
    await w.command(runId, { kind: 'pause' })
    await w.coordinator.idle()
    expect(await w.queued()).toBe(0)
    await w.pass(30_000)
    expect(await w.queued()).toBe(0)
    await w.command(runId, { kind: 'resume' })
    const [a] = await w.take()
    expect(a).toMatchObject({ key: 'a', attempt: 1 })
    await w.complete(a!)
    await w.finish(runId)
  })

  test('a result that comes while the run is paused counts, and is not asked for again', async () => {
    const w = await world()
    const runId = await w.begin(CHAIN)
    const [a] = await w.take()
    await w.command(runId, { kind: 'pause' })
    const resumed = w.command(runId, { kind: 'resume' })
    await w.complete(a!)
    await resumed
    const [b] = await w.take()
    expect(b?.key).toBe('b')
    await w.coordinator.idle()
    expect(await w.queued()).toBe(0)
  })

  test('a failed run that is retried makes a fresh attempt', async () => {
    const w = await world()
    const runId = await w.begin(CHAIN)
    const [a] = await w.take()
    await w.fail(a!, false)
    await w.event(runId, 'run.failed')
    expect(await w.row(runId)).toMatchObject({ status: 'failed', error: { code: 'broken' } })
    await w.command(runId, { kind: 'retry' })
    const [again] = await w.take()
    expect(again).toMatchObject({ key: 'a', attempt: 2 })
    await w.complete(again!)
    await w.finish(runId, ['run.completed'])
    expect(await w.row(runId)).toMatchObject({ status: 'completed', error: null })
  })

  test('a message completes the wait that it matches', async () => {
    const w = await world()
    const runId = await w.begin({
      nodes: { paid: { type: 'wait', with: { message: 'payment', timeout: '24h' } } },
    })
    await w.event(runId, 'step.waiting')
    const verdict = await w.command(runId, {
      kind: 'message',
      messageId: 'm1',
      name: 'payment',
      data: { amount: 7 },
      ttlMs: 1000,
    })
    expect(verdict).toMatchObject({ accepted: true })
    await w.event(runId, 'run.completed')
    expect((await w.row(runId)).output).toEqual({ amount: 7 })
  })

  test('of two patches in one commit both can be read again', async () => {
    const killed = await world()
    const runId = await killed.begin(APPROVAL)
    const id = await waitId(killed, runId)
    await killed.coordinator.idle()
    for (const step of ['one', 'two']) {
      const node = { type: 'log', needs: { ask: { on: ['approved'] } }, with: { message: step } }
      const operations = [{ op: 'add', path: `/nodes/${step}`, value: node }]
      const command = { kind: 'patch' as const, operations, reason: 'more to do' }
      await killed.store.inbox.insert({ id: step, runId, actor: 'ann', command, workspace: 'default' })
    }
    await killed.pass(1_100)
    expect((await killed.types(runId)).filter((type) => type === 'run.patched')).toHaveLength(2)
    const w = await killAndTakeOver(killed)
    await w.command(runId, { kind: 'decide', waitId: id, decision: 'approve' })
    await w.finish(runId)
    expect(await w.types(runId)).toContain('step.completed two')
    expect((await w.row(runId)).stuckReason).toBeNull()
  })

  test('a patch changes what is to come, and survives a kill', async () => {
    const killed = await world()
    const runId = await killed.begin(CHAIN)
    const [a] = await killed.take()
    const operations = [
      {
        op: 'add',
        path: '/nodes/extra',
        value: { type: 'log', needs: { b: { on: ['success'] } }, with: { message: 'more' } },
      },
    ]
    expect(await killed.command(runId, { kind: 'patch', operations, reason: 'more to do' })).toMatchObject({
      accepted: true,
    })
    const w = await killAndTakeOver(killed)
    await w.finish(runId)
    expect(await w.types(runId)).toContain('step.completed extra')
    expect(a?.key).toBe('a')
  })
})

describe('child runs', () => {
  const PLAIN = { nodes: { inner: { type: 'log', with: { message: 'x' } } } }
  const BODY = { nodes: { inner: { type: 'log', with: { message: '${{ item }}' } } } }

  test('an inline body runs once per item, as runs of their own', async () => {
    const w = await world()
    const runId = await w.begin(
      { nodes: { each: { type: 'workflow', forEach: 'input.list', with: BODY } } },
      { list: ['x', 'y', 'z'] },
    )
    const tasks = await w.take(3)
    expect(new Set(tasks.map((task) => task.runId)).size).toBe(3)
    expect(tasks.map((task) => task.scope.item).sort()).toEqual(['x', 'y', 'z'])
    for (const task of tasks) await w.complete(task, `${task.scope.item}!`)
    await w.event(runId, 'run.completed')
    expect((await w.row(runId)).output).toEqual(['x!', 'y!', 'z!'])
  })

  test('a stored workflow checks its input; what is wrong fails the step of the parent', async () => {
    const w = await world()
    const graph = compiled({
      name: 'pack',
      input: { type: 'object', required: ['order'] },
      nodes: { p: { type: 'act', with: { message: 'x' } } },
    })
    await w.graphs.ensureStored(graph)
    const definition = graph.definition as never
    await w.store.workflows.push({
      workspace: 'default',
      name: 'pack',
      graph: graph.hash,
      definition,
      source: null,
      description: null,
      tags: [],
      at: w.clock.now(),
    })
    const good = await w.begin({
      nodes: { sub: { type: 'workflow', with: { workflow: 'pack', input: { order: 1 } } } },
    })
    const [task] = await w.take()
    await w.complete(task!, 'packed')
    await w.event(good, 'run.completed')
    expect((await w.row(good)).output).toBe('packed')
    const bad = await w.begin({ nodes: { sub: { type: 'workflow', with: { workflow: 'pack', input: {} } } } })
    await w.event(bad, 'run.failed')
    expect((await w.row(bad)).error?.message).toContain('schema')
  })

  test('a workflow that does not exist fails the step, and says its name', async () => {
    const w = await world()
    const runId = await w.begin({ nodes: { sub: { type: 'workflow', with: { workflow: 'nowhere@prod' } } } })
    await w.event(runId, 'run.failed')
    expect((await w.row(runId)).error?.message).toContain('nowhere@prod')
  })

  test('cancelling the parent cancels the child first', async () => {
    const w = await world()
    const runId = await w.begin({ nodes: { sub: { type: 'workflow', with: PLAIN } } })
    const [task] = await w.take()
    await w.command(runId, { kind: 'cancel' })
    await w.event(task!.runId, 'run.stopping')
    await w.report(task!, {
      kind: 'failed',
      key: task!.key,
      round: 1,
      attempt: 1,
      error: { code: 'aborted', message: 'aborted', retryable: true },
      startedAt: w.clock.now(),
      worker: 'hands',
    })
    await w.event(runId, 'run.cancelled')
    expect(await w.status(task!.runId)).toBe('cancelled')
  })

  test('retrying the parent retries the child that failed', async () => {
    const w = await world()
    const runId = await w.begin({ nodes: { sub: { type: 'workflow', with: PLAIN } } })
    const [task] = await w.take()
    await w.fail(task!, false)
    await w.event(runId, 'run.failed')
    await w.command(runId, { kind: 'retry' })
    const [again] = await w.take()
    expect(again).toMatchObject({ runId: task!.runId, attempt: 2 })
    await w.complete(again!, 'ok')
    await w.event(runId, 'run.completed')
  })

  test('a family goes on after a kill, whoever of it had reported', async () => {
    const killed = await world()
    const runId = await killed.begin(
      {
        nodes: {
          each: { type: 'workflow', forEach: 'input.list', with: BODY },
          after: { type: 'log', needs: 'each', with: { message: 'x' } },
        },
      },
      { list: [1, 2, 3, 4] },
    )
    const tasks = await killed.take(4)
    for (const task of tasks.slice(0, 2)) {
      await killed.complete(task)
      await killed.event(task.runId, 'run.completed')
    }
    const w = await killAndTakeOver(killed)
    await w.finish(runId)
    expect((await w.types(runId)).filter((type) => type.startsWith('step.completed each'))).toHaveLength(4)
  })
})
