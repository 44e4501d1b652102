import { describe, expect, it } from 'vitest'
import { type CompileOptions, compile, compileMatch } from '../../src/compile.ts'
import type { Graph } from '../../src/graph.ts'
import type { Json } from '../../src/json.ts'
import { normaliseDefinition } from '../../src/workflow.ts'
import { TYPES } from './node-types.ts'

const compiled = (value: Json, options: CompileOptions = {}): ReturnType<typeof compile> => {
  const normalised = normaliseDefinition(value)
  if (!normalised.ok) throw new Error(JSON.stringify(normalised.problems))
  return compile(normalised.definition, TYPES, options)
}

const graphOf = (value: Json): Graph => {
  const result = compiled(value)
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.graph
}

const problems = (value: Json): string[] => {
  const result = compiled(value)
  return result.ok ? [] : result.problems.map(({ code, pointer }) => `${code} ${pointer}`)
}

const log = (message: Json, more: Record<string, Json> = {}): Json => ({
  type: 'log',
  with: { message },
  ...more,
})
const read = (path: string): string => `\${{ ${path} }}`

describe('the graph', () => {
  const diamond = {
    name: 'diamond',
    nodes: {
      d: log(read('steps.b.output'), { needs: ['b', 'c'] }),
      c: log(read('vars.region'), { needs: 'a' }),
      b: log(read('input.x'), { needs: 'a' }),
      a: log('hi'),
    },
  }

  it('is in topological order, whatever the order of writing', () => {
    const graph = graphOf(diamond)
    expect(graph.order).toEqual(['a', 'b', 'c', 'd'])
    expect(graph.roots).toEqual(['a'])
    expect(graph.nodes.get('d')?.incoming.map(({ from }) => from)).toEqual(['b', 'c'])
    expect(graph.nodes.get('a')?.outgoing.map(({ to }) => to)).toEqual(['b', 'c'])
    const reordered = { ...diamond, nodes: Object.fromEntries(Object.entries(diamond.nodes).reverse()) }
    const again = graphOf(reordered)
    expect(again.hash).toBe(graph.hash)
    expect([...again.nodes.keys()]).toEqual([...graph.nodes.keys()])
  })

  it('knows what each config reads, so that only that travels', () => {
    const graph = graphOf(diamond)
    expect(graph.nodes.get('d')).toMatchObject({ reads: ['b'], readsInput: false, readsVars: [] })
    expect(graph.nodes.get('b')).toMatchObject({ reads: [], readsInput: true })
    expect(graph.nodes.get('c')).toMatchObject({ readsVars: ['region'] })
    expect(graph.variables).toEqual(['region'])
  })

  it('shares one edge between its ends', () => {
    const graph = graphOf(diamond)
    expect(graph.nodes.get('a')?.outgoing[0]).toBe(graph.nodes.get('b')?.incoming[0])
  })

  it('takes retries and timeouts from the node, else from its type', () => {
    const graph = graphOf({
      nodes: {
        a: log(1),
        b: log(1, { retry: 5, timeout: '1m30s' }),
        c: log(1, { retry: 'off' }),
        d: log(1, { retry: { attempts: 2, delay: '500ms', factor: 3, maxDelay: '2s' } }),
        e: { type: 'set', with: {} },
      },
    })
    expect(graph.nodes.get('a')).toMatchObject({ retry: { attempts: 3, delayMs: 2000 }, timeoutMs: 30_000 })
    expect(graph.nodes.get('b')).toMatchObject({ retry: { attempts: 5, delayMs: 2000 }, timeoutMs: 90_000 })
    expect(graph.nodes.get('c')?.retry.attempts).toBe(1)
    expect(graph.nodes.get('d')?.retry).toEqual({ attempts: 2, delayMs: 500, factor: 3, maxDelayMs: 2000 })
    expect(graph.nodes.get('e')).toMatchObject({ kind: 'set', retry: { attempts: 1 }, timeoutMs: null })
  })

  it('makes http a read for GET and HEAD only', () => {
    const http = (method?: string): Json => ({
      type: 'http',
      with: { url: 'https://x.test', ...(method ? { method } : {}) },
    })
    const graph = graphOf({
      nodes: { a: http(), b: http('head'), c: http('POST'), d: http(read('input.method')) },
    })
    expect([...graph.nodes.values()].map(({ effect }) => effect)).toEqual(['read', 'read', 'write', 'write'])
  })

  it('keeps the order of a branch’s cases, and with it the hash', () => {
    const branch = (cases: Json): Json => ({ nodes: { b: { type: 'branch', with: { cases } } } })
    const graph = graphOf(branch({ high: 'input.x > 2', low: 'input.x > 1' }))
    expect(graph.nodes.get('b')?.cases.map(({ label }) => label)).toEqual(['high', 'low'])
    expect(graph.nodes.get('b')?.labels).toEqual(['high', 'low', 'default'])
    expect(graphOf(branch({ low: 'input.x > 1', high: 'input.x > 2' })).hash).not.toBe(graph.hash)
  })

  it('leaves ui and labels out of the hash', () => {
    const nodes = { a: log(1) }
    expect(graphOf({ nodes, ui: { a: [1, 2] }, labels: { team: 'x' } }).hash).toBe(graphOf({ nodes }).hash)
    expect(graphOf({ nodes, description: 'other' }).hash).not.toBe(graphOf({ nodes }).hash)
  })
})

describe('what may be read where', () => {
  const chain = (last: Json): Json => ({
    nodes: { a: log(1), b: log(2, { needs: 'a' }), c: last, x: log(3) },
  })

  it('allows every step before, however far', () => {
    expect(
      problems(chain(log(read('steps.a.output'), { needs: 'b', when: 'steps.b.status == "completed"' }))),
    ).toEqual([])
  })

  it('refuses steps beside and behind, and itself', () => {
    expect(problems(chain(log(read('steps.x.output'), { needs: 'b' })))).toEqual([
      'not_an_ancestor /nodes/c/with/message',
    ])
    expect(problems(chain(log(read('steps.c.output'), { needs: 'b' })))).toEqual([
      'not_an_ancestor /nodes/c/with/message',
    ])
    expect(problems({ nodes: { a: log(read('steps.b.output')), b: log(1, { needs: 'a' }) } })).toEqual([
      'not_an_ancestor /nodes/a/with/message',
    ])
  })

  it('lets an edge read its source and what is before that, not another source of the same target', () => {
    const joined = (when: string): Json => ({
      nodes: {
        a: log(1),
        b: log(2, { needs: 'a' }),
        x: log(3),
        c: log(4, { needs: { b: { when }, x: 'success' } }),
      },
    })
    expect(problems(joined('steps.a.output == steps.b.output'))).toEqual([])
    expect(problems(joined('steps.x.output == 1'))).toEqual(['not_an_ancestor /nodes/c/needs/b/when'])
  })

  it('lets until read the step itself', () => {
    expect(problems({ nodes: { a: log(1, { repeat: { until: 'steps.a.output == 1' } }) } })).toEqual([])
  })

  it('lets the output read every step', () => {
    expect(problems({ nodes: { a: log(1) }, output: read('steps.a.output') })).toEqual([])
    expect(problems({ nodes: { a: log(1) }, output: read('steps.b.output') })).toEqual([
      'unknown_step /output',
    ])
  })

  it('refuses computed steps and variables', () => {
    expect(
      problems({ nodes: { a: log(read('steps[input.x].output')), b: log(read('vars[input.x]')) } }),
    ).toEqual([
      'computed_step_reference /nodes/a/with/message',
      'computed_variable_reference /nodes/b/with/message',
    ])
  })

  it('knows item only where there is one', () => {
    const loop = (more: Record<string, Json>): Json => ({
      nodes: { a: log(read('item + index'), { forEach: [1, 2], ...more }) },
    })
    expect(problems(loop({}))).toEqual([])
    expect(problems(loop({ when: 'item > 1' }))).toEqual(['item_outside_for_each /nodes/a/when'])
    expect(problems({ nodes: { a: log(read('item')) } })).toEqual([
      'item_outside_for_each /nodes/a/with/message',
    ])
  })

  it('points into the text', () => {
    const result = compiled({ nodes: { a: log(`Hello ${read('steps.nobody.output')}!`) } })
    expect(result).toMatchObject({ ok: false, problems: [{ offset: 16, length: 6 }] })
  })
})

describe('paths that a schema excludes', () => {
  const http = { type: 'http', with: { url: 'https://x.test' } }
  const reading = (path: string, more: Record<string, Json> = {}): Json => ({
    nodes: { a: http, b: log(read(path), { needs: 'a' }) },
    ...more,
  })

  it('of a type’s output', () => {
    expect(problems(reading('steps.a.output.body.anything'))).toEqual([])
    expect(problems(reading('steps.a.output.bdy'))).toEqual(['unknown_path /nodes/b/with/message'])
    expect(problems(reading('steps.a.output.status.code'))).toEqual(['unknown_path /nodes/b/with/message'])
    expect(problems(reading('has(steps.a.output.bdy)'))).toEqual([])
    expect(problems(reading('default(steps.a.output.bdy, 1)'))).toEqual([])
  })

  it('of the input', () => {
    const input = { type: 'object', properties: { orderId: { type: 'string' } } }
    expect(problems(reading('input.orderId', { input }))).toEqual([])
    expect(problems(reading('input.orderID', { input }))).toEqual(['unknown_path /nodes/b/with/message'])
    // Nothing forbids further keys, and no declared one is near: it may be there.
    expect(compiled(reading('input.customer', { input }))).toMatchObject({
      ok: true,
      warnings: [{ code: 'unknown_path' }],
    })
    const closed = { ...input, additionalProperties: false }
    expect(problems(reading('input.customer', { input: closed }))).toEqual([
      'unknown_path /nodes/b/with/message',
    ])
  })

  it('of an agent’s output', () => {
    const agent = {
      type: 'agent',
      with: { output: { type: 'object', properties: { risk: { type: 'number' } } } },
    }
    const nodes = (path: string): Json => ({ nodes: { a: agent, b: log(read(path), { needs: 'a' }) } })
    expect(problems(nodes('steps.a.output.risk'))).toEqual([])
    expect(problems(nodes('steps.a.output.riks'))).toEqual(['unknown_path /nodes/b/with/message'])
  })

  it('of a set, and of a list of them', () => {
    const nodes = (path: string, more: Record<string, Json> = {}): Json => ({
      nodes: {
        a: { type: 'set', with: { x: { y: read('input.z') } }, ...more },
        b: log(read(path), { needs: 'a' }),
      },
    })
    expect(problems(nodes('steps.a.output.x.y.anything'))).toEqual([])
    expect(problems(nodes('steps.a.output.x.z'))).toEqual(['unknown_path /nodes/b/with/message'])
    expect(problems(nodes('steps.a.output[0].x.y', { forEach: [1] }))).toEqual([])
    expect(problems(nodes('steps.a.output.x', { forEach: [1] }))).toEqual([
      'unknown_path /nodes/b/with/message',
    ])
  })
})

describe('structure', () => {
  it('names the path of a cycle, once', () => {
    const nodes = {
      a: log(1, { needs: 'c' }),
      b: log(1, { needs: 'a' }),
      c: log(1, { needs: 'b' }),
      d: log(1, { needs: 'c' }),
    }
    const result = compiled({ nodes })
    expect(result).toMatchObject({
      ok: false,
      problems: [{ code: 'cycle', message: expect.stringContaining('a → b → c → a') }],
    })
    expect(problems({ nodes: { a: log(1, { needs: 'a' }) } })).toEqual(['cycle /nodes/a/needs/a'])
  })

  it('goes on with the nearest name after a slip', () => {
    expect(
      problems({ nodes: { fetch: log(1), b: log(read('steps.fetch.output'), { needs: 'fetsh' }) } }),
    ).toEqual(['unknown_step /nodes/b/needs/fetsh'])
  })

  it('knows the outcomes of each type', () => {
    const approval = { type: 'approval', with: { title: 'ok?' } }
    const on = (outcome: string): Json => ({ nodes: { a: approval, b: log(1, { needs: { a: outcome } }) } })
    for (const outcome of ['approved', 'rejected', 'timeout', 'success', 'failure', 'skipped', 'always']) {
      expect(problems(on(outcome))).toEqual([])
    }
    expect(problems(on('aproved'))).toEqual(['unknown_outcome /nodes/b/needs/a'])
  })

  it('asks for a case on edges out of a branch', () => {
    const nodes = (needs: Json): Json => ({
      nodes: { b: { type: 'branch', with: { cases: { high: 'input.x > 1' } } }, c: log(1, { needs }) },
    })
    expect(problems(nodes({ b: 'high' }))).toEqual([])
    expect(problems(nodes({ b: ['default', 'high'] }))).toEqual([])
    expect(problems(nodes({ b: 'always' }))).toEqual([])
    expect(problems(nodes('b'))).toEqual(['unknown_outcome /nodes/c/needs/b'])
    expect(problems(nodes({ b: 'hihg' }))).toEqual(['unknown_outcome /nodes/c/needs/b'])
  })

  it('refuses else without another condition', () => {
    const nodes = (first: Json): Json => ({
      nodes: { a: log(1), b: log(1, { needs: { a: first } }), c: log(1, { needs: { a: { when: 'else' } } }) },
    })
    expect(problems(nodes({ when: 'input.x' }))).toEqual([])
    expect(problems(nodes('success'))).toEqual(['else_without_condition /nodes/c/needs/a/when'])
  })

  it('refuses forEach with repeat, lists with expressions, and durations without a unit', () => {
    expect(problems({ nodes: { a: log(1, { forEach: [1], repeat: { maxIterations: 2 } }) } })).toEqual([
      'foreach_with_repeat /nodes/a/repeat',
    ])
    expect(problems({ nodes: { a: log(1, { forEach: [read('input.x')] }) } })).toEqual([
      'invalid_for_each /nodes/a/forEach/items',
    ])
    expect(problems({ nodes: { a: log(1, { timeout: '30' }) } })).toEqual([
      'invalid_duration /nodes/a/timeout',
    ])
  })

  it('bounds the number of nodes, bodies included', () => {
    const body = { type: 'workflow', with: { nodes: { x: log(1), y: log(1) } } }
    expect(problems({ nodes: { a: body }, limits: { nodes: 3 } })).toEqual([])
    expect(problems({ nodes: { a: body }, limits: { nodes: 2 } })).toEqual(['too_many_nodes /nodes'])
  })

  it('works for ids that objects have by nature', () => {
    expect(
      graphOf({
        nodes: { constructor: log(1), b: log(read('steps.constructor.output'), { needs: 'constructor' }) },
      }).order,
    ).toEqual(['constructor', 'b'])
    expect(problems({ nodes: { a: log(read('steps.constructor.output')) } })).toEqual([
      'unknown_step /nodes/a/with/message',
    ])
  })
})

describe('configs', () => {
  it('are checked against the schema of the type; expressions may become anything', () => {
    const http = (config: Json): Json => ({ nodes: { a: { type: 'http', with: config } } })
    expect(problems(http({ url: 'https://x.test', expect: read('input.codes') }))).toEqual([])
    expect(problems(http({ url: 3 }))).toEqual(['wrong_type /nodes/a/with/url'])
    expect(problems(http({}))).toEqual(['missing_key /nodes/a/with'])
    const result = compiled(http({ ulr: 'https://x.test' }))
    expect(result).toMatchObject({
      ok: false,
      problems: [{ code: 'missing_key' }, { code: 'unknown_key', suggestion: 'url' }],
    })
  })

  it('with raw fields are not read for expressions', () => {
    expect(problems({ nodes: { a: { type: 'code', with: { code: 'return `${{ nothing' } } } })).toEqual([])
  })

  it.each<[string, Json, string[]]>([
    ['delay without a time', { type: 'delay', with: {} }, ['invalid_value /nodes/a/with']],
    [
      'delay with both',
      { type: 'delay', with: { for: '1s', until: '2030-01-01' } },
      ['invalid_value /nodes/a/with'],
    ],
    [
      'delay of a wrong duration',
      { type: 'delay', with: { for: 'soon' } },
      ['invalid_duration /nodes/a/with/for'],
    ],
    [
      'delay until no moment',
      { type: 'delay', with: { until: 'tomorrow' } },
      ['invalid_time /nodes/a/with/until'],
    ],
    ['delay by expression', { type: 'delay', with: { for: read('input.pause') } }, []],
    ['approval without a title', { type: 'approval', with: {} }, ['missing_key /nodes/a/with']],
    [
      'approval with a broken form',
      { type: 'approval', with: { title: 'x', form: { type: 'objekt' } } },
      ['invalid_schema /nodes/a/with/form'],
    ],
    [
      'wait with a match over the message',
      { type: 'wait', with: { message: 'paid', match: 'input.amount > 3' } },
      [],
    ],
    [
      'wait with a match over the run',
      { type: 'wait', with: { message: 'paid', match: 'steps.x.output' } },
      ['unknown_name /nodes/a/with/match'],
    ],
    ['workflow by name', { type: 'workflow', with: { workflow: 'other@prod', input: { x: 1 } } }, []],
    [
      'workflow with name and body',
      { type: 'workflow', with: { workflow: 'other', nodes: { x: { type: 'set' } } } },
      ['invalid_value /nodes/a/with'],
    ],
    ['fail', { type: 'fail', with: { message: 'no' } }, []],
    ['stop', { type: 'stop', with: { output: read('input') } }, []],
    [
      'a case called success',
      { type: 'branch', with: { cases: { success: 'true' } } },
      ['invalid_case /nodes/a/with/cases/success'],
    ],
    [
      'a case that is a number',
      { type: 'branch', with: { cases: { 1: 'true' } } },
      ['invalid_case /nodes/a/with/cases/1'],
    ],
  ])('%s', (_, node, expected) => {
    expect(problems({ nodes: { a: node } })).toEqual(expected)
  })

  it('warns of settings that do nothing', () => {
    const result = compiled({ nodes: { a: { type: 'set', with: {}, retry: 3, timeout: '3s' } } })
    expect(result).toMatchObject({ ok: true, warnings: [{ code: 'no_effect' }, { code: 'no_effect' }] })
  })
})

describe('unknown types', () => {
  const definition = {
    nodes: {
      a: { type: 'htpp', with: { anything: read('not an expression') } },
      b: log(1, { needs: { a: 'odd' } }),
    },
  }

  it('are an error with the nearest name', () => {
    expect(compiled(definition)).toMatchObject({
      ok: false,
      problems: [{ code: 'unknown_type', suggestion: 'http' }],
    })
    expect(compiled({ nodes: { a: { type: 'post_message' } } })).toMatchObject({
      problems: [{ suggestion: 'slack.post_message' }],
    })
  })

  it('are skipped where the definition or the caller says so', () => {
    for (const result of [
      compiled({ ...definition, unknownTypes: 'skip' }),
      compiled(definition, { onUnknownType: 'skip' }),
    ]) {
      expect(result).toMatchObject({ ok: true, warnings: [{ code: 'unknown_type' }] })
      if (result.ok) expect(result.graph.nodes.get('a')).toMatchObject({ kind: 'unknown', labels: [] })
    }
  })

  it('a stored definition still compiles when its types changed', () => {
    const old = {
      nodes: {
        a: { type: 'http', with: { uri: 'x' } },
        b: log(read('steps.a.output.gone'), { needs: { a: 'gone' } }),
      },
    }
    expect(compiled(old)).toMatchObject({ ok: false })
    expect(compiled(old, { stored: true })).toMatchObject({ ok: true })
  })
})

describe('inline bodies', () => {
  const parent = {
    name: 'parent',
    input: { type: 'object', properties: { orders: {} }, additionalProperties: false },
    nodes: {
      loop: {
        type: 'workflow',
        forEach: 'input.orders',
        with: {
          nodes: { x: log(read('item.id + index')), y: log(read('steps.x.output'), { needs: 'x' }) },
          output: { id: read('steps.y.output') },
        },
      },
      after: log(read('steps.loop.output[0].id'), { needs: 'loop' }),
    },
  }

  it('are graphs of their own, named after the node', () => {
    const body = graphOf(parent).nodes.get('loop')?.body
    expect(body?.order).toEqual(['x', 'y'])
    expect(body?.definition.name).toBe('parent/loop')
    expect(graphOf(parent).nodes.get('loop')?.config).toEqual({})
  })

  it('compile by themselves to the same graph, as after a restart', () => {
    const body = graphOf(parent).nodes.get('loop')?.body as Graph
    const again = compile(body.definition, TYPES, { stored: true })
    expect(again).toMatchObject({ ok: true })
    if (again.ok) expect(again.graph.hash).toBe(body.hash)
  })

  it('see neither steps of the parent nor inputs that there are not, and say so where it was written', () => {
    const nodes = { x: log(read('steps.after.output')), y: log(read('input.order')) }
    expect(
      problems({ ...parent, nodes: { ...parent.nodes, loop: { type: 'workflow', with: { nodes } } } }),
    ).toEqual(
      expect.arrayContaining([
        'unknown_step /nodes/loop/with/nodes/x/with/message',
        'unknown_path /nodes/loop/with/nodes/y/with/message',
      ]),
    )
  })

  it('know the input that they are given', () => {
    const body = (path: string): Json => ({
      nodes: {
        loop: { type: 'workflow', with: { input: { id: read('input.x') }, nodes: { x: log(read(path)) } } },
      },
    })
    expect(problems(body('input.id.anything'))).toEqual([])
    expect(problems(body('input.ids'))).toEqual(['unknown_path /nodes/loop/with/nodes/x/with/message'])
  })

  it('have no item without a loop', () => {
    expect(
      problems({ nodes: { a: { type: 'workflow', with: { nodes: { x: log(read('item')) } } } } }),
    ).toEqual(['item_outside_for_each /nodes/a/with/nodes/x/with/message'])
  })
})

describe('large graphs', () => {
  it('compile without exhausting the stack, with references to the far end', () => {
    const count = 10_000
    const nodes: Record<string, Json> = {}
    for (let index = 0; index < count; index++) {
      nodes[`n${index}`] = index === 0 ? log(1) : log(read('steps.n0.output'), { needs: `n${index - 1}` })
    }
    expect(graphOf({ nodes }).order.length).toBe(count)
  })

  it('find the one wrong reference among thousands', () => {
    const nodes: Record<string, Json> = { root: log(1), stray: log(2) }
    for (let index = 0; index < 2000; index++) {
      nodes[`n${index}`] = log(read(`steps.${index === 0 ? 'root' : `n${index - 1}`}.output`), {
        needs: index === 0 ? 'root' : `n${index - 1}`,
      })
    }
    nodes.end = log(`${read('steps.root.output')} ${read('steps.stray.output')}`, { needs: 'n1999' })
    expect(problems({ nodes })).toEqual(['not_an_ancestor /nodes/end/with/message'])
  })
})

describe('match', () => {
  it('is a condition over the data of a message', () => {
    expect(compileMatch('input.id == "x"').ok).toBe(true)
    expect(compileMatch('run.id == "x"')).toMatchObject({ ok: false, problems: [{ column: 1, length: 6 }] })
    expect(compileMatch('input.id ==').ok).toBe(false)
  })
})
