import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile.ts'
import type { Definition } from '../../src/definition.ts'
import { hashJson } from '../../src/hash.ts'
import type { Json } from '../../src/json.ts'
import {
  applyPatch,
  inversePatch,
  type PatchRefusal,
  type PatchRequest,
  type PatchResult,
  preview,
} from '../../src/patch.ts'
import { normaliseDefinition } from '../../src/workflow.ts'
import { TYPES } from '../definition/node-types.ts'

const normal = (value: unknown): Definition => {
  const result = normaliseDefinition(value as Json)
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.definition
}

const log = (message: Json = 'hi', more: Record<string, Json> = {}): Json => ({
  type: 'log',
  with: { message },
  ...more,
})

/** plan → work → report, with plan running. */
const definition = normal({
  name: 'weave',
  limits: { nodes: 6, agents: 2 },
  nodes: {
    plan: { type: 'agent', with: { prompt: 'plan' } },
    work: log('work', { needs: 'plan' }),
    report: log('${{ steps.work.output }}', { needs: { work: { when: 'input.loud' } } }),
  },
  output: '${{ steps.report.output }}',
})

const patch = (operations: unknown, more: Partial<PatchRequest> = {}): PatchResult =>
  applyPatch({
    definition,
    operations: operations as Json,
    reached: new Set(['plan']),
    settled: new Set(),
    types: TYPES,
    ...more,
  })

const accepted = (
  operations: unknown,
  more: Partial<PatchRequest> = {},
): Extract<PatchResult, { ok: true }> => {
  const result = patch(operations, more)
  if (!result.ok) throw new Error(JSON.stringify(result.refusal))
  return result
}

const refused = (operations: unknown, more: Partial<PatchRequest> = {}): PatchRefusal => {
  const result = patch(operations, more)
  if (result.ok) throw new Error('accepted')
  return result.refusal
}

const add = (path: string, value: Json): Json => ({ op: 'add', path, value })

describe('a patch', () => {
  it('adds nodes between others, in any spelling', () => {
    const result = accepted([
      add('/nodes/check', log('check', { needs: 'plan', credential: 'ops' })),
      add('/nodes/work/needs/check', 'success'),
      { op: 'remove', path: '/nodes/work/needs/plan' },
    ])
    expect(result.graph.order).toEqual(['plan', 'check', 'work', 'report'])
    expect(result.definition.nodes.check).toMatchObject({
      needs: { plan: { on: ['success'] } },
      credentials: { default: 'ops' },
    })
    expect(result.touched).toEqual(['/nodes/work', '/nodes/check'])
    expect(result.graph.definition).toBe(result.definition)
  })

  it('never changes the definition that it is applied to', () => {
    const before = hashJson(definition as unknown as Json)
    accepted([{ op: 'replace', path: '/nodes/work/with/message', value: 'other' }])
    refused([
      { op: 'replace', path: '/nodes/work/with/message', value: 'other' },
      { op: 'remove', path: '/nodes/nothing' },
    ])
    expect(hashJson(definition as unknown as Json)).toBe(before)
  })

  it('may append in the list form', () => {
    const result = accepted([
      add('/nodes/-', { id: 'check', type: 'log', with: { message: 'x' } }),
      add('/edges/-', { from: 'plan', to: 'check', on: 'failure' }),
      add('/edges/-', { from: 'check', to: 'report', when: 'input.x' }),
    ])
    expect(result.definition.nodes.check?.needs).toEqual({ plan: { on: ['failure'] } })
    expect(result.definition.nodes.report?.needs?.check).toEqual({ on: ['success'], when: 'input.x' })
  })

  it('may add an edge to a node without any', () => {
    const result = accepted([add('/nodes/lone', log()), add('/nodes/lone/needs/plan', 'success')])
    expect(result.definition.nodes.lone?.needs).toEqual({ plan: { on: ['success'] } })
  })

  it('reaches into bodies', () => {
    const base = normal({ nodes: { loop: { type: 'workflow', with: { nodes: { x: log() } } } } })
    const result = accepted(
      [add('/nodes/loop/with/nodes/-', { id: 'y', type: 'log', needs: 'x', with: { message: 1 } })],
      {
        definition: base,
        reached: new Set(),
      },
    )
    expect(result.graph.nodes.get('loop')?.body?.order).toEqual(['x', 'y'])
  })

  it('may change the run of a body, which sees its item', () => {
    const parent = normal({
      name: 'parent',
      nodes: { loop: { type: 'workflow', forEach: '[1]', with: { nodes: { x: log() } } } },
    })
    const compiled = compile(parent, TYPES)
    const body = compiled.ok ? compiled.graph.nodes.get('loop')?.body?.definition : undefined
    const result = accepted([add('/nodes/y', log('${{ item }}', { needs: 'x' }))], {
      definition: body,
      reached: new Set(),
    })
    expect(result.definition.name).toBe('parent/loop')
    expect(result.graph.order).toEqual(['x', 'y'])
  })

  it('may hang new nodes behind settled ones', () => {
    const settled = new Set(['plan', 'work'])
    const result = accepted([add('/nodes/audit', log('${{ steps.work.output }}', { needs: 'work' }))], {
      reached: settled,
      settled,
    })
    expect(result.graph.nodes.get('work')?.outgoing.map(({ to }) => to)).toEqual(['audit', 'report'])
  })

  it('may use a type that nobody knows: the step then completes with null', () => {
    const result = accepted([
      add('/nodes/odd', { type: 'spreadsheet.append', needs: 'plan', with: { x: 1 } }),
    ])
    expect(result.warnings).toMatchObject([{ code: 'unknown_type', pointer: '/nodes/odd/type' }])
    expect(result.graph.nodes.get('odd')?.kind).toBe('unknown')
  })
})

describe('a patch is refused', () => {
  it.each<[string, unknown, Partial<PatchRefusal>]>([
    ['that is none', { op: 'add' }, { code: 'patch_malformed' }],
    [
      'with a malformed operation',
      [add('/nodes/x', log()), { op: 'ad' }],
      { code: 'patch_malformed', operation: 1 },
    ],
    [
      'that does not apply',
      [{ op: 'remove', path: '/nodes/wrok' }],
      { code: 'patch_does_not_apply', operation: 0, corrected: { op: 'remove', path: '/nodes/work' } },
    ],
    [
      'whose test fails',
      [{ op: 'test', path: '/nodes/work/type', value: 'http' }],
      { code: 'patch_test_failed', pointer: '/nodes/work/type' },
    ],
    [
      'that counts nodes',
      [{ op: 'replace', path: '/nodes/1/with/message', value: 'x' }],
      {
        code: 'patch_numeric_index',
        corrected: { op: 'replace', path: '/nodes/work/with/message', value: 'x' },
      },
    ],
    [
      'that counts edges',
      [{ op: 'remove', path: '/edges/1' }],
      { code: 'patch_numeric_index', corrected: { op: 'remove', path: '/nodes/report/needs/work' } },
    ],
    [
      'that appends to needs as if they were a list',
      [add('/nodes/report/needs/-', 'plan')],
      {
        code: 'patch_numeric_index',
        corrected: { op: 'add', path: '/nodes/report/needs/plan', value: 'success' },
      },
    ],
    [
      'that adds a node that exists',
      [add('/nodes/work', log('new', { needs: 'plan' }))],
      {
        code: 'patch_exists',
        message: expect.stringContaining('replace'),
        corrected: { op: 'replace', path: '/nodes/work', value: log('new', { needs: 'plan' }) },
      },
    ],
    [
      'that appends a node that exists',
      [add('/nodes/-', { id: 'work', type: 'log' })],
      { code: 'patch_exists' },
    ],
    [
      'that appends an edge that exists',
      [add('/edges/-', { from: 'plan', to: 'work' })],
      { code: 'patch_exists' },
    ],
    [
      'that makes a cycle',
      [add('/nodes/work/needs/report', 'success')],
      { code: 'patch_cycle', operation: 0 },
    ],
    [
      'that breaks the shape',
      [add('/nodes/x', log('x', { needs: 'plan' })), add('/nodes/work/tiemout', '3s')],
      { code: 'patch_invalid', operation: 1, problems: [expect.objectContaining({ code: 'unknown_key' })] },
    ],
    [
      'that breaks what others read',
      [
        { op: 'remove', path: '/nodes/work' },
        { op: 'remove', path: '/nodes/report/needs' },
      ],
      {
        code: 'patch_invalid',
        problems: [expect.objectContaining({ code: 'unknown_step', pointer: '/nodes/report/with/message' })],
      },
    ],
    [
      'with a slip in a type',
      [add('/nodes/get', { type: 'htpp', needs: 'plan', with: { url: 'https://x.test' } })],
      {
        code: 'patch_unknown_type',
        operation: 0,
        corrected: expect.objectContaining({ value: expect.objectContaining({ type: 'http' }) }),
      },
    ],
    [
      'that renames the workflow',
      [{ op: 'replace', path: '/name', value: 'other' }],
      { code: 'patch_immutable', pointer: '/name', operation: 0 },
    ],
    [
      'that lifts its own limits',
      [{ op: 'replace', path: '/limits/agents', value: 99 }],
      { code: 'patch_immutable', pointer: '/limits' },
    ],
    [
      'that lifts its own policy',
      [add('/patches', { agent: 'auto' })],
      { code: 'patch_immutable', pointer: '/patches' },
    ],
    [
      'that exceeds the limit of nodes',
      ['a', 'b', 'c', 'd'].map((id) => add(`/nodes/${id}`, log('x', { needs: 'plan' }))),
      { code: 'patch_exceeds_limits' },
    ],
    [
      'that doubles itself until nothing could hold it',
      Array.from({ length: 40 }, (_, index) => ({ op: 'copy', from: '', path: `/x-${index}` })),
      { code: 'patch_exceeds_limits' },
    ],
    [
      'that changes a node that was reached',
      [{ op: 'replace', path: '/nodes/plan/with/prompt', value: 'other' }],
      { code: 'patch_touches_reached', pointer: '/nodes/plan', operation: 0 },
    ],
    [
      'that removes a node that was reached',
      [{ op: 'remove', path: '/nodes/plan' }],
      { code: 'patch_touches_reached' },
    ],
    [
      'that adds an edge into a node that was reached',
      [add('/nodes/lone', log()), add('/nodes/plan/needs', 'lone')],
      { code: 'patch_touches_reached' },
    ],
  ])('%s', (_, operations, expected) => {
    expect(refused(operations)).toMatchObject(expected)
  })

  it('when it changes an edge whose source is settled', () => {
    const progress = { reached: new Set(['plan', 'work']), settled: new Set(['plan', 'work']) }
    expect(refused([{ op: 'remove', path: '/nodes/report/needs/work/when' }], progress)).toMatchObject({
      code: 'patch_touches_reached',
      pointer: '/nodes/report/needs/work',
    })
    expect(accepted([{ op: 'replace', path: '/nodes/report/with/message', value: 'x' }], progress).ok).toBe(
      true,
    )
  })

  it('when what it touches was changed since the version that it was written for', () => {
    const baseDefinition = normal({
      ...definition,
      nodes: { ...definition.nodes, work: log('older', { needs: 'plan' }) },
    })
    const change = (id: string): Json => [{ op: 'replace', path: `/nodes/${id}/with/message`, value: 'x' }]
    expect(refused(change('work'), { baseDefinition })).toMatchObject({
      code: 'patch_conflict',
      pointer: '/nodes/work',
    })
    expect(accepted(change('report'), { baseDefinition }).touched).toEqual(['/nodes/report'])
  })
})

describe('the corrected operation', () => {
  it.each<[string, Json]>([
    ['a numeric index', { op: 'replace', path: '/nodes/1/with/message', value: 'x' }],
    ['an append to needs', { op: 'add', path: '/nodes/report/needs/-', value: 'plan' }],
    ['an add of what exists', add('/nodes/work', log('new', { needs: 'plan' }))],
    ['a misspelled path', { op: 'replace', path: '/nodes/wrok/with/message', value: 'x' }],
    [
      'a misspelled type',
      add('/nodes/get', { type: 'htpp', needs: 'plan', with: { url: 'https://x.test' } }),
    ],
  ])('of %s is accepted when sent', (_, operation) => {
    expect(accepted([refused([operation]).corrected as unknown as Json]).ok).toBe(true)
  })
})

describe('the preview', () => {
  it('names what is new: nodes, edges, types, hosts, credentials, agents, writes', () => {
    const result = accepted([
      add('/nodes/tell', {
        type: 'slack.post_message',
        needs: 'work',
        credential: 'team_slack',
        with: { channel: '#x', text: 'y' },
      }),
      add('/nodes/get', {
        type: 'http',
        needs: 'plan',
        with: { url: 'https://api.test:8443/x/${{ input.id }}' },
      }),
      add('/nodes/helper', { type: 'agent', needs: 'get', with: { prompt: 'x' } }),
      { op: 'replace', path: '/nodes/report/needs/work/when', value: 'true' },
      { op: 'replace', path: '/output', value: null },
    ])
    expect(result.preview).toMatchObject({
      nodes: { added: ['tell', 'get', 'helper'], removed: [], changed: [] },
      edges: {
        added: [
          { from: 'work', to: 'tell' },
          { from: 'plan', to: 'get' },
          { from: 'get', to: 'helper' },
        ],
        removed: [],
        changed: [{ from: 'work', to: 'report' }],
      },
      output: true,
      types: ['http', 'slack.post_message'],
      hosts: ['api.test:8443'],
      credentials: ['team_slack'],
      agents: ['helper'],
      writes: ['tell'],
    })
  })

  it('shows a host that is computed as *', () => {
    const result = accepted([
      add('/nodes/get', { type: 'http', needs: 'plan', with: { url: '${{ input.url }}' } }),
    ])
    expect(result.preview.hosts).toEqual(['*'])
  })

  it('names nodes that start at once, and nodes that nothing can reach', () => {
    expect(accepted([{ op: 'remove', path: '/nodes/work/needs' }]).preview.detached).toEqual(['work'])
    const after = accepted([
      { op: 'add', path: '/nodes/extra', value: log('x', { needs: 'report' }) },
    ]).definition
    const gone = preview(definition, after, TYPES, { routed: new Map([['work', []]]) })
    expect(gone.unreachable).toEqual(['report', 'extra'])
    expect(
      preview(definition, after, TYPES, { routed: new Map([['work', ['report']]]) }).unreachable,
    ).toEqual([])
  })
})

const anyOperation = fc.oneof(
  fc.record({
    op: fc.constantFrom('add', 'replace'),
    path: fc.constantFrom(
      '/nodes/a',
      '/nodes/work',
      '/nodes/-',
      '/edges/-',
      '/nodes/work/needs/plan',
      '/output',
      '/nodes/1',
      '/nodes/work/with',
    ),
    value: fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<Json>(
        log('x', { needs: 'plan' }),
        { id: 'b', type: 'log', with: { message: 1 } },
        { from: 'plan', to: 'work' },
        'success',
      ),
    ),
  }),
  fc.record({
    op: fc.constant('remove'),
    path: fc.constantFrom('/nodes/report', '/output', '/nodes/work/needs', '/limits'),
  }),
  fc.record({
    op: fc.constantFrom('move', 'copy'),
    from: fc.constantFrom('/nodes/work', '/output', '/nodes/report/needs/work'),
    path: fc.constantFrom('/nodes/c', '/x-old', '/nodes/report/needs/plan'),
  }),
)

describe('properties', () => {
  it('an accepted patch leaves a definition that is valid and in normal form; its inverse restores the one before', () => {
    let acceptedPatches = 0
    fc.assert(
      fc.property(fc.array(anyOperation, { minLength: 1, maxLength: 4 }), (operations) => {
        const result = patch(operations)
        if (!result.ok) return
        acceptedPatches++
        expect(normal(result.definition)).toEqual(result.definition)
        expect(compile(result.definition, TYPES, { onUnknownType: 'skip' }).ok).toBe(true)
        const inverse = inversePatch(definition, operations as Json) as unknown as Json[]
        if (inverse.length === 0) return
        const back = applyPatch({
          definition: result.definition,
          operations: inverse,
          reached: new Set(),
          settled: new Set(),
          types: TYPES,
        })
        expect(back).toMatchObject({
          ok: true,
          definition,
          graph: { hash: compile(definition, TYPES).ok && expect.any(String) },
        })
        if (back.ok)
          expect(hashJson(back.definition as unknown as Json)).toBe(hashJson(definition as unknown as Json))
      }),
      { numRuns: 500 },
    )
    expect(acceptedPatches).toBeGreaterThan(20)
  })

  it('nothing that is sent as a patch throws', () => {
    fc.assert(fc.property(fc.jsonValue(), (operations) => void patch(operations)))
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            op: fc.constantFrom('add', 'replace', 'test'),
            path: fc.string(),
            value: fc.jsonValue(),
          }),
        ),
        (operations) => void patch(operations),
      ),
    )
  })
})
