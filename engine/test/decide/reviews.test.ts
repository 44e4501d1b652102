/** What a patch under review holds, and how each way out of it goes on. */
import { describe, expect, test } from 'vitest'
import type { Command, Json } from '../../src/index.ts'
import { graphOf, Harness } from './harness.ts'

const LINE: Json = {
  first: { type: 'work' },
  last: { type: 'work', needs: 'first' },
  side: { type: 'work', needs: 'first' },
}
/** Weaves a step in between first and last. */
const WEAVE: Json = [
  { op: 'add', path: '/nodes/check', value: { type: 'work', needs: 'first' } },
  { op: 'add', path: '/nodes/last/needs/check', value: 'success' },
  { op: 'remove', path: '/nodes/last/needs/first' },
]
const HOUR = 60 * 60 * 1000

const patch = (operations: Json, more: Partial<Extract<Command, { kind: 'patch' }>> = {}): Command => ({
  kind: 'patch',
  operations,
  reason: 'it looks odd',
  ...more,
})
const decided = (decision: 'approve' | 'reject', waitId: string): Command => ({
  kind: 'decide',
  waitId,
  decision,
})
const reviewed = (nodes: Json = LINE): Harness => new Harness(nodes, { patches: { api: 'review' } })
const reviewOf = (run: Harness): string => [...run.state.reviews.keys()].at(-1) as string

describe('a patch under review', () => {
  test('holds the steps and edges that it touches, and lets the rest run', () => {
    const run = reviewed({ ...(LINE as object), other: { type: 'work' } } as Json).command(patch(WEAVE))
    expect(run.verdict).toMatchObject({ accepted: true, detail: { review: reviewOf(run) } })
    expect(run.waits()).toContain('run:approval')
    run.complete('first').complete('other')
    // `first` is over, and which of its edges are taken is what the patch is about.
    expect([run.status('first'), run.status('last'), run.status('side')]).toEqual([
      'completed',
      'pending',
      'pending',
    ])
    expect(run.phase.kind).toBe('active')
    run.reload().command(decided('approve', reviewOf(run)), 'rita')
    expect(run.verdict).toMatchObject({ accepted: true, detail: { applied: true, patch: 1 } })
    expect(run.dispatched.toSorted()).toEqual(['check', 'side'])
    expect(run.log.findLast(({ type }) => type === 'run.patched')).toMatchObject({
      actor: 'ann',
      approvedBy: 'rita',
    })
    run.complete('check').complete('side').complete('last')
    run.expectEnd('completed')
  })

  test('that is rejected leaves the run as it was written', () => {
    const run = reviewed().command(patch(WEAVE)).complete('first')
    run.command({ ...decided('reject', reviewOf(run)), comment: 'no need' } as Command, 'rita')
    expect(run.dispatched.toSorted()).toEqual(['last', 'side'])
    expect(run.log.at(-2)).toMatchObject({ type: 'patch.reviewed', outcome: 'rejected', comment: 'no need' })
    run.complete('last').complete('side').expectEnd('completed')
    expect(run.state.patchCount).toBe(0)
  })

  test('keeps the run from ending, until its time is up', () => {
    const run = reviewed({ only: { type: 'work' } })
    run
      .command(patch([{ op: 'add', path: '/nodes/more', value: { type: 'work', needs: 'only' } }]))
      .complete('only')
    expect([run.phase.kind, run.waits()]).toEqual(['active', ['run:approval']])
    expect(run.after(23 * HOUR).phase.kind).toBe('active')
    const id = reviewOf(run)
    run.after(HOUR).expectEnd('completed')
    run.command(decided('approve', id))
    expect(run.verdict).toMatchObject({ accepted: false, code: 'approval_timeout' })
  })

  test('holds the step that proposes it, whose edges it does not touch', () => {
    const run = new Harness(LINE)
    const add: Json = [{ op: 'add', path: '/nodes/pays', value: { type: 'pay', needs: 'first' } }]
    run.command(patch(add, { by: 'agent', stepKey: 'first' }), 'agent:first')
    expect(run.verdict).toMatchObject({
      detail: { because: ['it adds what writes or cannot be undone: `pays`'] },
    })
    run.complete('first')
    expect([run.dispatched, run.waits()]).toEqual([[], ['first:approval']])
    run.command(decided('approve', reviewOf(run)))
    expect(run.dispatched.toSorted()).toEqual(['last', 'pays', 'side'])
  })

  test('that no longer fits is refused when it is approved, and the log says so', () => {
    const run = new Harness(LINE)
    const change = (value: number): Json => [{ op: 'add', path: '/nodes/last/with', value: { value } }]
    const add = { op: 'add', path: '/nodes/pays', value: { type: 'pay', needs: 'last' } }
    run.command(patch([...(change(1) as Json[]), add], { by: 'agent' })).command(patch(change(2)))
    run.command(decided('approve', reviewOf(run)), 'rita')
    expect(run.verdict).toMatchObject({ accepted: true, detail: { applied: false, code: 'patch_conflict' } })
    expect(run.log.at(-1)).toMatchObject({
      type: 'patch.reviewed',
      outcome: 'refused',
      actor: 'rita',
      refusal: { code: 'patch_conflict' },
    })
    run.command(decided('approve', `${run.state.id}.1`), 'otto')
    expect(run.verdict).toMatchObject({ code: 'already_decided', detail: { outcome: 'refused', by: 'rita' } })
    run.complete('first').complete('last').complete('side').expectEnd('completed')
  })

  test('of a failure that only the patch would handle: the run fails, and the review is over', () => {
    const run = reviewed().command(patch(WEAVE))
    const id = reviewOf(run)
    run.failing('first', { retryable: false }).expectEnd('failed')
    expect(run.last).toMatchObject({ closed: [{ waitId: id, outcome: 'dropped' }] })
    run.command(decided('approve', id))
    expect(run.verdict).toMatchObject({ code: 'approval_closed' })
    run.command({ kind: 'retry' }).complete('first').complete('last').complete('side').expectEnd('completed')
  })

  test('a failure that is handled when the edges are decided, and one that is not any more', () => {
    const nodes: Json = {
      first: { type: 'work', retry: 'off' },
      mend: { type: 'work', needs: { first: 'failure' } },
    }
    const unhandle: Json = [{ op: 'remove', path: '/nodes/mend' }]
    const rejected = reviewed(nodes).command(patch(unhandle)).failing('first')
    expect([rejected.phase.kind, rejected.status('mend')]).toEqual(['active', 'pending'])
    expect(rejected.command(decided('reject', reviewOf(rejected))).dispatched).toEqual(['mend'])
    const approved = reviewed(nodes).command(patch(unhandle)).failing('first')
    approved.command(decided('approve', reviewOf(approved))).expectEnd('failed')
    // Without a handler it is an ordinary failure: a retry performs the step again.
    expect(approved.command({ kind: 'retry' }).dispatched).toEqual(['first'])
  })

  test('a step on a dead path is not skipped while its edges are held', () => {
    const nodes: Json = {
      gate: { type: 'work' },
      mend: { type: 'work', needs: { gate: 'failure' } },
      end: { type: 'work', needs: { mend: 'success' } },
    }
    const rewire: Json = [{ op: 'replace', path: '/nodes/end/needs', value: { gate: 'success' } }]
    const run = reviewed(nodes).command(patch(rewire)).complete('gate')
    expect([run.status('mend'), run.status('end'), run.phase.kind]).toEqual(['pending', 'pending', 'active'])
    run.command(decided('approve', reviewOf(run)))
    expect([run.status('mend'), run.dispatched]).toEqual(['skipped', ['end']])
    const rejected = reviewed(nodes).command(patch(rewire)).complete('gate')
    rejected.command(decided('reject', reviewOf(rejected))).expectEnd('completed')
  })

  test('of a run that is paused can be decided; its time does not run out before the run goes on', () => {
    const run = reviewed()
      .command(patch(WEAVE))
      .command({ kind: 'pause' })
      .after(30 * HOUR)
    expect(run.state.reviews.size).toBe(1)
    run.command(decided('approve', reviewOf(run)))
    expect([run.verdict, run.state.patchCount]).toMatchObject([{ detail: { applied: true } }, 1])
    run.command({ kind: 'resume' }).complete('first')
    expect(run.dispatched.toSorted()).toEqual(['check', 'side'])
    const late = reviewed()
      .command(patch(WEAVE))
      .command({ kind: 'pause' })
      .after(30 * HOUR)
    late.command({ kind: 'resume' })
    expect(late.state.reviews.size).toBe(0)
  })

  test('of a failed run has all the time, and the run is not retried before', () => {
    const run = reviewed().failing('first', { retryable: false })
    run.command(patch([{ op: 'add', path: '/nodes/first/with', value: { n: 1 } }]))
    const id = reviewOf(run)
    expect(run.verdict).toMatchObject({ detail: { expiresAt: null } })
    expect(run.command({ kind: 'retry' }).verdict).toMatchObject({
      code: 'patch_under_review',
      detail: { review: id },
    })
    expect(run.after(99 * HOUR).command(decided('approve', id)).verdict).toMatchObject({
      detail: { applied: true },
    })
    run.command({ kind: 'retry' })
    expect(run.effects).toMatchObject([{ kind: 'unhalt' }, { task: { key: 'first', config: { n: 1 } } }])
  })

  test('leaves the log as a blob when it is large, and is read again when it is approved', () => {
    const value = { type: 'work', needs: 'first', with: { text: 'x'.repeat(40_000) } }
    const operations: Json = [{ op: 'add', path: '/nodes/large', value }]
    const run = reviewed().command(patch(operations))
    const [proposed] = run.log.filter(({ type }) => type === 'patch.proposed')
    expect(proposed).toMatchObject({ operations: { $blob: expect.stringMatching(/^sha256:/) } })
    const [blob] = run.last?.kind === 'decided' ? run.last.blobs : []
    run.reload().command(decided('approve', reviewOf(run)))
    expect(run.last).toEqual({ kind: 'needs_blobs', hashes: [blob?.hash] })
    run.blobs.set(blob!.hash, JSON.parse(blob!.text))
    expect(run.command(decided('approve', reviewOf(run))).verdict).toMatchObject({
      detail: { applied: true },
    })
    expect(run.log.find(({ type }) => type === 'run.patched')).toMatchObject({
      operations: { $blob: blob?.hash },
    })
  })

  test('of the output, or of what else stands beside the nodes, holds no step', () => {
    const run = reviewed({ a: { type: 'work' }, s: { type: 'work', needs: 'a' } })
    // What is left of this key behind as many letters as `/nodes/` has is the name of a step.
    run.command(
      patch([
        { op: 'add', path: '/x-flags', value: 1 },
        { op: 'add', path: '/output', value: 2 },
      ]),
    )
    expect(run.state.reviews.get(reviewOf(run))?.holds).toEqual({ starts: [], routes: [] })
    run.complete('a').complete('s')
    run.command(decided('approve', reviewOf(run))).expectEnd('completed')
    expect(run.phase).toMatchObject({ output: 2 })
  })

  test('counts against the patches that the run may take', () => {
    const run = new Harness(LINE, { patches: { api: 'review' }, limits: { patches: 1 } })
    run.command(patch(WEAVE)).command(patch(WEAVE))
    expect(run.verdict).toMatchObject({ code: 'patch_exceeds_limits' })
    expect(run.command(decided('approve', reviewOf(run))).verdict).toMatchObject({
      detail: { applied: true },
    })
  })
})

test('runs of an inline body keep the policy of the workflow that holds it', () => {
  const body = { nodes: { inner: { type: 'work' } } }
  const graph = graphOf({ outer: { type: 'workflow', with: body } }, { patches: { agent: 'deny' } })
  expect(graph.nodes.get('outer')?.body?.definition.patches).toEqual({ agent: 'deny' })
})

describe('who needs a review', () => {
  const calls = (url: string, more: object = {}): Json => [
    { op: 'add', path: '/nodes/call', value: { type: 'http', with: { url }, ...more } },
  ]
  const quiet: Json = [{ op: 'add', path: '/nodes/side/notes', value: 'look' }]
  const cases: [
    string,
    Json,
    Json,
    Partial<Extract<Command, { kind: 'patch' }>>,
    'applied' | 'review' | string,
  ][] = [
    ['people, whatever they add', {}, calls('https://a.test/'), {}, 'applied'],
    ['people, where the workflow says so', { api: 'review' }, quiet, {}, 'review'],
    ['agents that only rearrange', {}, quiet, { by: 'agent' }, 'applied'],
    ['agents that name a host', {}, calls('https://a.test/'), { by: 'agent' }, 'review'],
    ['agents that compute a host', {}, calls('${{ input.url }}'), { by: 'agent' }, 'review'],
    [
      'agents, where the host is listed',
      { hosts: ['*.a.test'] },
      calls('https://x.a.test:8443/'),
      { by: 'agent' },
      'applied',
    ],
    [
      'agents, where the workflow trusts them',
      { agent: 'auto' },
      calls('https://a.test/'),
      { by: 'agent' },
      'applied',
    ],
    ['agents, where the workflow wants to see all', { agent: 'review' }, quiet, { by: 'agent' }, 'review'],
    ['agents, where the workflow wants none', { agent: 'deny' }, quiet, { by: 'agent' }, 'patch_denied'],
    [
      'people, for a host that is not listed',
      { hosts: ['a.test'] },
      calls('https://b.test/'),
      {},
      'patch_host_denied',
    ],
    [
      'people, for a computed host',
      { hosts: ['a.test'] },
      calls('${{ input.url }}'),
      {},
      'patch_host_denied',
    ],
    [
      'agents, for a credential that is not listed',
      { credentials: ['known'], hosts: ['*'] },
      calls('https://a.test/', { credential: 'other' }),
      { by: 'agent' },
      'patch_credential_denied',
    ],
    [
      'agents, for a listed one',
      { credentials: ['known'], hosts: ['*'] },
      calls('https://a.test/', { credential: 'known' }),
      { by: 'agent' },
      'applied',
    ],
    [
      'agents that start another workflow',
      {},
      [{ op: 'add', path: '/nodes/more', value: { type: 'workflow', with: { workflow: 'other' } } }],
      { by: 'agent' },
      'review',
    ],
    [
      'agents that add a type which nobody knows yet',
      {},
      [{ op: 'add', path: '/nodes/more', value: { type: 'tomorrow.act' } }],
      { by: 'agent' },
      'review',
    ],
    ['agents whose step is not at work', {}, quiet, { by: 'agent', stepKey: 'last' }, 'patch_step_settled'],
  ]
  test.each(cases)('%s', (_name, patches, operations, from, expected) => {
    const run = new Harness(LINE, { patches })
    run.command(patch(operations, from))
    const { verdict } = run
    if (!verdict?.accepted) expect(verdict?.code).toBe(expected)
    else expect(run.state.reviews.size === 1 ? 'review' : 'applied').toBe(expected)
  })
})
