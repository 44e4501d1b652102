import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Definition } from '../../src/definition.ts'
import type { Json } from '../../src/json.ts'
import { checkAgainstSchema } from '../../src/schema-check.ts'
import { normaliseDefinition, workflowJsonSchema } from '../../src/workflow.ts'

/** Literals of different shapes in one list are no `Json` to the compiler. */
const normal = (value: unknown): Definition => {
  const result = normaliseDefinition(value as Json)
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.definition
}

const problems = (value: unknown): string[] => {
  const result = normaliseDefinition(value as Json)
  return result.ok ? [] : result.problems.map(({ code, pointer }) => `${code} ${pointer}`)
}

const log = (more: Record<string, Json> = {}): Json => ({ type: 'log', with: { message: 'hi' }, ...more })

describe('spellings of needs', () => {
  it.each<[string, Json, Json]>([
    ['an id', 'a', { a: { on: ['success'] } }],
    ['a list of ids', ['a', 'b'], { a: { on: ['success'] }, b: { on: ['success'] } }],
    ['an outcome', { a: 'failure' }, { a: { on: ['failure'] } }],
    ['a list of outcomes', { a: ['success', 'failure'] }, { a: { on: ['success', 'failure'] } }],
    ['on and when', { a: { on: 'always', when: 'input.x' } }, { a: { on: ['always'], when: 'input.x' } }],
    ['only when', { a: { when: 'else' } }, { a: { on: ['success'], when: 'else' } }],
    [
      'a boolean condition, as YAML reads `when: true`',
      { a: { when: true } },
      { a: { on: ['success'], when: 'true' } },
    ],
    ['an empty value, as YAML reads `a:`', { a: null }, { a: { on: ['success'] } }],
  ])('accepts %s', (_, needs, expected) => {
    expect(normal({ nodes: { a: log(), b: log(), c: log({ needs }) } }).nodes.c?.needs).toEqual(expected)
  })

  it('drops an empty list, so that a root is a root', () => {
    expect(normal({ nodes: { a: log({ needs: [] }) } }).nodes.a).not.toHaveProperty('needs')
  })
})

describe('other spellings', () => {
  it('names the one credential `default`', () => {
    expect(normal({ nodes: { a: log({ credential: 'shop' }) } }).nodes.a?.credentials).toEqual({
      default: 'shop',
    })
    expect(problems({ nodes: { a: log({ credential: 'x', credentials: { default: 'y' } }) } })).toEqual([
      'duplicate_credential /nodes/a/credential',
    ])
  })

  it('accepts forEach as an expression, a list, or a map', () => {
    const forEach = (value: Json): unknown =>
      normal({ nodes: { a: log({ forEach: value }) } }).nodes.a?.forEach
    expect(forEach('input.items')).toEqual({ items: 'input.items' })
    expect(forEach([1, 2])).toEqual({ items: [1, 2] })
    expect(forEach({ items: 'input.items', maxConcurrency: 3 })).toEqual({
      items: 'input.items',
      maxConcurrency: 3,
    })
  })

  it('reads `retry: off`, also from clients that made a boolean of it', () => {
    expect(normal({ nodes: { a: log({ retry: 'off' }), b: log({ retry: false }) } }).nodes).toMatchObject({
      a: { retry: 'off' },
      b: { retry: 'off' },
    })
  })

  it('takes definitions without version and name, as programs send them inline', () => {
    expect(normal({ nodes: { a: log() } })).toMatchObject({ weft: 1, name: 'unnamed' })
  })

  it('keeps keys that begin with x-', () => {
    const definition = normal({ 'x-team': 'ops', nodes: { a: log({ 'x-cost': 3 }) } })
    expect(definition['x-team']).toBe('ops')
    expect(definition.nodes.a).toHaveProperty('x-cost', 3)
  })
})

describe('the list form', () => {
  it('becomes the same normal form as the map form', () => {
    const list = {
      nodes: [
        { id: 'a', type: 'log' },
        { id: 'b', type: 'log' },
        { id: 'c', type: 'log', needs: 'a' },
      ],
      edges: [
        { from: 'a', to: 'b' },
        { from: 'b', to: 'c', on: 'failure', when: 'input.x' },
      ],
    }
    const map = {
      nodes: {
        a: { type: 'log' },
        b: { type: 'log', needs: 'a' },
        c: { type: 'log', needs: { a: 'success', b: { on: 'failure', when: 'input.x' } } },
      },
    }
    expect(normal(list)).toEqual(normal(map))
  })

  it('is accepted in bodies', () => {
    const body = {
      nodes: [
        { id: 'a', type: 'log' },
        { id: 'b', type: 'log' },
      ],
      edges: [{ from: 'a', to: 'b' }],
    }
    expect(normal({ nodes: { loop: { type: 'workflow', with: body } } }).nodes.loop?.with).toEqual({
      nodes: { a: { type: 'log' }, b: { type: 'log', needs: { a: { on: ['success'] } } } },
    })
  })

  it('joins two edges between the same nodes when only their outcomes differ', () => {
    const nodes = [
      { id: 'a', type: 'log' },
      { id: 'b', type: 'log' },
    ]
    const edges = [
      { from: 'a', to: 'b' },
      { from: 'a', to: 'b', on: 'failure' },
    ]
    expect(normal({ nodes, edges }).nodes.b?.needs).toEqual({ a: { on: ['success', 'failure'] } })
    expect(problems({ nodes, edges: [edges[0] as Json, { from: 'a', to: 'b', when: 'input.x' }] })).toEqual([
      'duplicate_edge /edges/1',
    ])
  })

  it('reports duplicate ids and edges to nowhere where the author wrote them', () => {
    const nodes = [
      { id: 'fetch', type: 'log' },
      { id: 'fetch', type: 'log' },
    ]
    expect(problems({ nodes, edges: [{ from: 'fetch', to: 'fetsh' }] })).toEqual([
      'duplicate_id /nodes/1/id',
      'unknown_step /edges/0/to',
    ])
  })

  it('leads from the normal form back to the list', () => {
    const result = normaliseDefinition({
      nodes: [
        { id: 'a', type: 'log' },
        { id: 'b', type: 'log', credential: 'x' },
      ],
      edges: [{ from: 'a', to: 'b', when: 'input.x' }],
    })
    if (!result.ok) throw new Error('refused')
    expect(result.toAuthor('/nodes/b/with/url')).toBe('/nodes/1/with/url')
    expect(result.toAuthor('/nodes/b/needs/a/when')).toBe('/edges/0/when')
    expect(result.toAuthor('/nodes/b/credentials/default')).toBe('/nodes/1/credential')
  })
})

describe('what is refused', () => {
  it('says everything at once', () => {
    const definition = {
      nodse: {},
      nodes: { 'my-node': log(), b: log({ retry: { attempts: 0, dely: '1s' }, onError: 'continu' }), c: {} },
      limits: { agents: 'five' },
    }
    expect(problems(definition).sort()).toEqual([
      'invalid_id /nodes/my-node',
      'invalid_value /nodes/b/onError',
      'invalid_value /nodes/b/retry/attempts',
      'missing_key /nodes/c',
      'unknown_key /nodes/b/retry/dely',
      'unknown_key /nodse',
      'wrong_type /limits/agents',
    ])
  })

  it('names the nearest valid key', () => {
    const result = normaliseDefinition({ nodes: { a: log({ tiemout: '3s' }) } })
    expect(result).toMatchObject({ problems: [{ suggestion: 'timeout' }] })
  })

  it('explains hyphens in ids, and what to write', () => {
    const result = normaliseDefinition({ nodes: { 'sign-off': log() } })
    expect(result).toMatchObject({ problems: [{ message: expect.stringMatching(/minus.*`sign_off`/) }] })
  })

  it.each(['cache', 'concurrency'])('says that %s is reserved', (key) => {
    expect(problems({ nodes: { a: log({ [key]: 1 }) } })).toEqual([`reserved /nodes/a/${key}`])
  })

  it('recognises a bare `on` that a YAML 1.1 client turned into true', () => {
    const result = normaliseDefinition({ nodes: { a: log(), b: log({ needs: { a: { true: 'failure' } } }) } })
    expect(result).toMatchObject({
      problems: [{ suggestion: 'on', message: expect.stringContaining('YAML 1.1') }],
    })
  })

  it('never takes `__proto__` for a node', () => {
    const definition = JSON.parse(
      '{"nodes":{"__proto__":{"type":"log"},"a":{"type":"log","needs":{"__proto__":"success"}}}}',
    ) as Json
    expect(problems(definition)).toEqual(['invalid_id /nodes/__proto__'])
    const dangling = JSON.parse('{"nodes":{"a":{"type":"log","needs":{"__proto__":"success"}}}}') as Json
    expect(problems(dangling)).toEqual(['unknown_step /nodes/a/needs/__proto__'])
  })

  it('bounds how deep bodies nest', () => {
    let body: Json = { nodes: { a: log() } }
    for (let depth = 0; depth < 9; depth++) body = { nodes: { a: { type: 'workflow', with: body } } }
    expect(problems(body)).toEqual([expect.stringMatching(/^nesting_too_deep/)])
  })
})

const anyDefinition = fc.record(
  {
    name: fc.constantFrom('a', 'b-c'),
    nodes: fc.dictionary(
      fc.stringMatching(/^[a-z][a-z0-9_]{0,5}$/),
      fc.record(
        {
          type: fc.constantFrom('log', 'http', 'branch'),
          needs: fc.oneof(
            fc.constantFrom('a', 'b'),
            fc.uniqueArray(fc.constantFrom('a', 'b', 'c')),
            fc.dictionary(
              fc.constantFrom('a', 'b'),
              fc.oneof(fc.constantFrom('failure'), fc.record({ when: fc.constant('1 > 2') })),
            ),
          ),
          with: fc.dictionary(fc.string(), fc.jsonValue()),
          credential: fc.constantFrom('x'),
          retry: fc.oneof(
            fc.constant('off'),
            fc.integer({ min: 1, max: 9 }),
            fc.record({ attempts: fc.constant(2) }),
          ),
          forEach: fc.oneof(
            fc.constant('input.x'),
            fc.constant([1]),
            fc.record({ items: fc.constant('input.y') }),
          ),
          when: fc.oneof(fc.boolean(), fc.constant('input.x')),
          'x-note': fc.jsonValue(),
        },
        { requiredKeys: ['type'] },
      ),
      { minKeys: 1, maxKeys: 4 },
    ),
    output: fc.jsonValue(),
    labels: fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer())),
    ui: fc.jsonValue(),
  },
  { requiredKeys: ['nodes'] },
)

describe('properties', () => {
  it('normalising a normal form changes nothing', () => {
    fc.assert(
      fc.property(anyDefinition, (value) => {
        const first = normaliseDefinition(value as Json)
        if (!first.ok) return
        expect(normaliseDefinition(first.definition as unknown as Json)).toMatchObject({
          ok: true,
          definition: first.definition,
        })
      }),
    )
  })

  it('never throws on JSON', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => void normaliseDefinition({ nodes: value } as Json)))
    fc.assert(fc.property(fc.jsonValue(), (value) => void normaliseDefinition(value as Json)))
  })

  it('the published JSON Schema accepts what the engine accepts', () => {
    fc.assert(
      fc.property(anyDefinition, (value) => {
        const result = normaliseDefinition(value as Json)
        if (result.ok)
          expect(checkAgainstSchema(workflowJsonSchema(), value as Json)).toMatchObject({ ok: true })
      }),
      { numRuns: 50 },
    )
    expect(checkAgainstSchema(workflowJsonSchema(), { nodes: { a: { type: 'log', nedds: 'b' } } }).ok).toBe(
      false,
    )
  })
})
