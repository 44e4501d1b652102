import { expect, test } from 'vitest'
import { hashText, type Json, nextWake, owesWork } from '../../src/index.ts'
import { Harness, RUN_ID, T0 } from './harness.ts'

test('a delay names its end and completes there', () => {
  const run = new Harness({ a: { type: 'delay', with: { for: '90s' } } })
  expect(run.waits()).toEqual(['a:timer'])
  expect(nextWake(run.state, run.now)).toBe(T0 + 90_000)
  run.after(89_999)
  expect(run.phase.kind).toBe('active')
  run.after(1).expectEnd('completed')
})

test('an approval is decided once; the second answer learns who was first', () => {
  const run = new Harness(
    {
      ask: { type: 'approval', with: { title: 'Release ${{ input.id }}?' } },
      go: { type: 'work', needs: { ask: 'approved' } },
    },
    { runInput: { id: 7 } },
  )
  const waitId = run.waitId('ask')
  expect(run.last).toMatchObject({ opened: [{ waitId, wait: { kind: 'approval', title: 'Release 7?' } }] })
  run.command({ kind: 'decide', waitId, decision: 'approve', comment: 'fine' })
  expect(run.verdict).toEqual({ accepted: true })
  expect(run.last).toMatchObject({ closed: [{ waitId, outcome: 'approved', actor: 'ann' }] })
  expect(run.dispatched).toEqual(['go'])
  run.command({ kind: 'decide', waitId, decision: 'reject' }, 'bob')
  expect(run.verdict).toMatchObject({ accepted: false, code: 'already_decided', detail: { by: 'ann' } })
})

test('a form refuses data that does not fit and hands the data on', () => {
  const form = { type: 'object', required: ['amount'], properties: { amount: { type: 'number' } } }
  const run = new Harness({ ask: { type: 'approval', with: { title: 't', form } } })
  const waitId = run.waitId('ask')
  run.command({ kind: 'decide', waitId, decision: 'approve', data: { amount: 'much' } })
  expect(run.verdict).toMatchObject({ accepted: false, code: 'invalid_form' })
  run.command({ kind: 'decide', waitId, decision: 'approve', data: { amount: 5 } }).expectEnd('completed')
  expect(run.state.steps.get('ask')!.output).toEqual({ amount: 5 })
})

test('a rejection that no edge takes fails the run; one with an edge goes there', () => {
  const alone = new Harness({
    ask: { type: 'approval', with: { title: 't' } },
    go: { type: 'work', needs: 'ask' },
  })
  alone.command({ kind: 'decide', waitId: alone.waitId('ask'), decision: 'reject' }).expectEnd('failed')
  expect(alone.phase).toMatchObject({ error: { code: 'rejected' } })
  const handled = new Harness({
    ask: { type: 'approval', with: { title: 't' } },
    no: { type: 'work', needs: { ask: 'rejected' } },
  })
  handled.command({ kind: 'decide', waitId: handled.waitId('ask'), decision: 'reject' })
  expect(handled.dispatched).toEqual(['no'])
})

test.each([
  ['approve', 'completed', 'approved'],
  ['reject', 'failed', 'rejected'],
  ['fail', 'failed', null],
  [undefined, 'failed', 'timeout'],
] as const)('an approval that times out with onTimeout %s ends %s', (onTimeout, end, label) => {
  const run = new Harness({
    ask: { type: 'approval', with: { title: 't', timeout: '1h', ...(onTimeout ? { onTimeout } : {}) } },
  })
  run.after(3_600_000).expectEnd(end)
  expect(run.state.steps.get('ask')!.label).toBe(label)
})

test('a message reaches the oldest matching wait; without one it is kept and taken by the first that opens', () => {
  const run = new Harness({
    first: { type: 'wait', with: { message: 'paid' } },
    pause: { type: 'work' },
    second: { type: 'wait', needs: 'pause', with: { message: 'paid' } },
  })
  run.command({ kind: 'message', messageId: 'm1', name: 'paid', data: { n: 1 }, ttlMs: 1000 })
  run.command({ kind: 'message', messageId: 'm1', name: 'paid', data: { n: 1 }, ttlMs: 1000 })
  expect(run.verdict).toMatchObject({ accepted: true, detail: { duplicate: true } })
  run.command({ kind: 'message', messageId: 'm2', name: 'paid', data: { n: 2 }, ttlMs: 1000 })
  run.complete('pause').expectEnd('completed')
  expect(run.state.steps.get('first')!.output).toEqual({ n: 1 })
  expect(run.state.steps.get('second')!.output).toEqual({ n: 2 })
})

test('a kept message that expired is not taken', () => {
  const run = new Harness({
    pause: { type: 'work' },
    w: { type: 'wait', needs: 'pause', with: { message: 'm' } },
  })
  run.command({ kind: 'message', messageId: 'x', name: 'm', data: 1, ttlMs: 1000 })
  run.now += 1001
  run.complete('pause')
  expect(run.waits()).toEqual(['w:message'])
})

test('a message by correlation is taken by the waits it names that are open, and by nothing else', () => {
  const run = new Harness({
    a: { type: 'wait', with: { message: 'm', timeout: '1h' } },
    b: { type: 'wait', with: { message: 'm' } },
    c: { type: 'wait', with: { message: 'm' } },
  })
  const listening = ['a', 'b', 'c'].map((key) => ({ kind: 'listen', waitId: run.waitId(key), name: 'm' }))
  expect(run.effects).toEqual(listening)
  const message = { kind: 'message', messageId: 'x', name: 'm', data: 1, ttlMs: 1000 } as const
  run.command({ ...message, waitIds: [run.waitId('a'), run.waitId('b')] })
  expect(run.verdict).toEqual({ accepted: true, detail: { steps: ['a', 'b'] } })
  expect(run.waits()).toEqual(['c:message'])
  run.command({ ...message, messageId: 'y', waitIds: [`${RUN_ID}.1`] })
  expect(run.verdict).toMatchObject({ accepted: false, code: 'wait_closed' })
  expect(run.state.messages).toEqual([])
})

test('each round of a repeated wait closes its wait, takes one message and listens anew', () => {
  const run = new Harness({
    w: { type: 'wait', with: { message: 'm' }, repeat: { until: 'steps.w.output.last', maxIterations: 5 } },
  })
  const first = run.waitId('w')
  const send = (messageId: string, last: boolean) =>
    run.command({ kind: 'message', messageId, name: 'm', data: { last }, ttlMs: 1000 })
  send('x', false)
  expect(run.last).toMatchObject({ closed: [{ waitId: first, outcome: 'received' }] })
  expect(run.effects).toMatchObject([{ kind: 'listen', waitId: run.waitId('w') }])
  send('x', true)
  expect(run.verdict).toMatchObject({ detail: { duplicate: true } })
  send('y', true).expectEnd('completed')
})

test('while paused nothing is dispatched and no deadline moves; on resume what came due fires', () => {
  const run = new Harness({
    a: { type: 'work' },
    b: { type: 'work', needs: 'a' },
    d: { type: 'delay', with: { for: '1m' } },
  })
  run.command({ kind: 'pause' })
  expect(run.effects).toEqual([{ kind: 'halt', abort: false, attempts: [] }])
  run.complete('a')
  expect(run.dispatched).toEqual([])
  run.after(120_000)
  expect(run.status('d')).toBe('ready')
  run.command({ kind: 'resume' })
  expect(run.dispatched).toEqual(['b'])
  expect(run.status('d')).toBe('completed')
})

test('a cancelled run closes its waits; after a retry they open under new ids and the old ones are superseded', () => {
  const run = new Harness({ ask: { type: 'approval', with: { title: 't' } } })
  const old = run.waitId('ask')
  run.command({ kind: 'cancel' }).expectEnd('cancelled')
  run.command({ kind: 'decide', waitId: old, decision: 'approve' })
  expect(run.verdict).toMatchObject({ accepted: false, code: 'approval_closed' })
  run.command({ kind: 'retry' })
  const fresh = run.waitId('ask')
  expect(fresh).not.toBe(old)
  run.command({ kind: 'decide', waitId: old, decision: 'approve' })
  expect(run.verdict).toMatchObject({ accepted: false, code: 'superseded' })
  run.command({ kind: 'decide', waitId: fresh, decision: 'approve' }).expectEnd('completed')
})

test('forEach: one event per item that goes well, outputs in order, at most so many at once', () => {
  const run = new Harness({ a: { type: 'work', forEach: { items: '["x", "y", "z"]', maxConcurrency: 2 } } })
  expect(run.dispatched).toEqual(['a[0]', 'a[1]'])
  expect(run.effects[1]).toMatchObject({ item: { value: 'y' }, task: { scope: { index: 1 } } })
  run.complete('a[1]', 'Y')
  expect(run.dispatched).toEqual(['a[2]'])
  run.complete('a[2]', 'Z').complete('a[0]', 'X').expectEnd('completed')
  expect(run.state.steps.get('a')!.output).toEqual(['X', 'Y', 'Z'])
  expect(run.types.filter((type) => type === 'step.completed')).toHaveLength(3)
})

test('forEach: an empty list completes with [], anything but a list fails', () => {
  const empty = new Harness({ a: { type: 'work', forEach: '[]' } }).expectEnd('completed')
  expect(empty.state.steps.get('a')!.output).toEqual([])
  const wrong = new Harness({ a: { type: 'work', forEach: 'input.n' } }, { runInput: { n: 3 } }).expectEnd(
    'failed',
  )
  expect(wrong.phase).toMatchObject({ error: { code: 'for_each_not_a_list' } })
})

test('forEach: onItemError fail ends the step with the first error, collect goes on with null', () => {
  const nodes = (onItemError: string) => ({
    a: { type: 'work', retry: 'off', forEach: { items: '[0, 1]', onItemError } },
  })
  const strict = new Harness(nodes('fail')).failing('a[1]').complete('a[0]').expectEnd('failed')
  expect(strict.phase).toMatchObject({ error: { details: { step: 'a' } } })
  const lenient = new Harness(nodes('collect')).failing('a[1]').complete('a[0]', 'A').expectEnd('completed')
  expect(lenient.state.steps.get('a')!.output).toEqual(['A', null])
  expect(lenient.state.warnings).toMatchObject([{ code: 'items_failed' }])
})

test('forEach: a retry runs the failed items only, under new attempts', () => {
  const run = new Harness({ a: { type: 'work', retry: 'off', forEach: '[0, 1, 2]' } })
  run.complete('a[0]', 'A').failing('a[1]').complete('a[2]', 'C').expectEnd('failed')
  run.command({ kind: 'retry' })
  expect(run.effects.filter((effect) => effect.kind === 'dispatch')).toMatchObject([
    { task: { key: 'a[1]', attempt: 2 } },
  ])
  run.complete('a[1]', 'B').expectEnd('completed')
  expect(run.state.steps.get('a')!.output).toEqual(['A', 'B', 'C'])
})

test('approvals in a forEach are decided one by one', () => {
  const run = new Harness({
    ask: { type: 'approval', forEach: '["ann", "bob"]', with: { title: 'ok, ${{ item }}?' } },
  })
  const [first, second] = [run.waitId('ask[0]'), run.waitId('ask[1]')]
  run.command({ kind: 'decide', waitId: second, decision: 'approve' })
  expect(run.waits()).toEqual(['ask[0]:approval'])
  run.command({ kind: 'decide', waitId: first, decision: 'approve' }).expectEnd('completed')
})

test('repeat runs rounds until the condition holds, and fails when it never does', () => {
  const nodes = {
    a: { type: 'work', repeat: { until: 'steps.a.output.ready', maxIterations: 3, delay: '5s' } },
  }
  const run = new Harness(nodes).complete('a', { ready: false })
  expect(run.waits()).toEqual(['a:timer'])
  run.after(5000)
  expect(run.effects).toMatchObject([{ task: { round: 2, attempt: 1 } }])
  run.complete('a', { ready: true }).expectEnd('completed')
  const never = new Harness(nodes)
  for (let round = 0; round < 3; round++) never.complete('a', { ready: false }).after(5000)
  never.expectEnd('failed')
  expect(never.phase).toMatchObject({ error: { code: 'repeat_exhausted' } })
})

test('a run that waits for a child looks again by itself: a crash may have kept the child from being begun (R6)', () => {
  const run = new Harness({
    body: { type: 'workflow', with: { nodes: { work: { type: 'work' } } } },
    ask: { type: 'approval', needs: 'body', with: { title: 'ok?' } },
  })
  const [effect] = run.effects
  if (effect?.kind !== 'child') throw new Error('no child was started')
  expect(owesWork(run.state, run.now)).toBe(true)
  run.command({
    kind: 'child_finished',
    childId: effect.childId,
    key: 'body',
    round: 1,
    outcome: 'completed',
  })
  expect(run.waits()).toEqual(['ask:approval'])
  expect(owesWork(run.state, run.now)).toBe(false)
})

test('a child run is owed until its result is in the parent; a failed child fails the step', () => {
  const nodes = {
    body: { type: 'workflow', with: { nodes: { x: { type: 'work' } } } },
    next: { type: 'work', needs: 'body' },
  }
  const run = new Harness(nodes)
  const [effect] = run.effects
  if (effect?.kind !== 'child') throw new Error('no child was started')
  expect(effect.childId.at(-1)).toBe(RUN_ID.at(-1))
  const result = { kind: 'child_finished', childId: effect.childId, key: 'body', round: 1 } as const
  run.command({ ...result, outcome: 'completed', output: { x: 1 } })
  expect(run.dispatched).toEqual(['next'])
  const failed = new Harness(nodes).command({
    ...result,
    outcome: 'failed',
    error: { code: 'boom', message: 'no', retryable: false },
  })
  failed.expectEnd('failed')
  expect(failed.phase).toMatchObject({ error: { code: 'child_failed' } })
})

test('a control expression that reads a blob names it, and is asked again with it', () => {
  const big: Json = { rows: ['x'.repeat(40_000)], n: 5 }
  const text = JSON.stringify(big)
  const reference = { $blob: hashText(text), bytes: text.length, contentType: 'application/json' }
  const run = new Harness({
    a: { type: 'work' },
    b: { type: 'work', needs: { a: { when: 'steps.a.output.n > 4' } } },
  })
  run.complete('a', reference)
  expect(run.last).toEqual({ kind: 'needs_blobs', hashes: [reference.$blob] })
  run.blobs.set(reference.$blob, big)
  run.complete('a', reference)
  expect(run.dispatched).toEqual(['b'])
  const huge = new Harness({
    a: { type: 'work' },
    b: { type: 'work', needs: { a: { when: 'steps.a.output.n > 4' } } },
  })
  huge.complete('a', { ...reference, bytes: 2_000_000 })
  expect(huge.error).toMatchObject({ code: 'expression_input_too_large' })
})

test('a condition on a message reads data that lies in a blob', () => {
  const big: Json = { rows: ['x'.repeat(40_000)], amount: 5 }
  const text = JSON.stringify(big)
  const data = { $blob: hashText(text), bytes: text.length, contentType: 'application/json' }
  const run = new Harness({ w: { type: 'wait', with: { message: 'm', match: 'input.amount > 4' } } })
  const message = { kind: 'message', messageId: 'x', name: 'm', data, ttlMs: 1000 } as const
  run.command(message)
  expect(run.last).toEqual({ kind: 'needs_blobs', hashes: [data.$blob] })
  run.blobs.set(data.$blob, big)
  run.command(message).expectEnd('completed')
})

test('a large value that the engine makes leaves the log as a blob', () => {
  const run = new Harness({ a: { type: 'set', with: { text: 'x'.repeat(40_000) } } })
  expect(run.state.steps.get('a')!.output).toMatchObject({ $blob: expect.stringMatching(/^sha256:/) })
})

test('a patch adds a node behind a settled step, and it starts', () => {
  const run = new Harness({ a: { type: 'work' }, b: { type: 'work' } }).complete('a')
  const operations = [{ op: 'add', path: '/nodes/extra', value: { type: 'work', needs: 'a' } }]
  run.command({ kind: 'patch', operations, reason: 'look closer' })
  expect(run.verdict).toMatchObject({ accepted: true })
  expect(run.dispatched).toEqual(['extra'])
  run.complete('b').complete('extra').expectEnd('completed')
  const refused = new Harness({ a: { type: 'work' } }).command({
    kind: 'patch',
    operations: [{ op: 'replace', path: '/nodes/a/type', value: 'set' }],
    reason: 'too late',
  })
  expect(refused.verdict).toMatchObject({ accepted: false, code: 'patch_touches_reached' })
})
