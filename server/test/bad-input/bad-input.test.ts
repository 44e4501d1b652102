/**
 * What people, programs and services get wrong, through a real server: each has a clear end, and the server stays well.
 */
import type { Json } from '@weft/engine'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Ground } from './ground.ts'

let ground: Ground
beforeAll(async () => {
  ground = await Ground.start()
})
afterAll(() => ground?.end())

const LOG = (message: string): Json => ({ type: 'log', with: { message } })

describe('a definition', () => {
  test('with many mistakes: all of them at once, with line and column, exit 2, and nothing is stored', async () => {
    const text = [
      'weft: 1',
      'name: many',
      'nodez: {}',
      'nodes:',
      '  fetch: { type: htpp, with: { url: "https://example.com" } }',
      '  triage:',
      '    type: http',
      '    needs: fech',
      '    retry: lots',
      '    with: { url: 12, methd: GET }',
      '  later: { type: log, with: { message: "${{ 1 + }}" } }',
      '',
    ].join('\n')
    const before = await ground.runCount()
    for (const verb of ['run', 'validate']) {
      const { code, out, err: told } = await ground.cli(verb, 'many', text)
      const err = out + told
      expect(code).toBe(2)
      for (const line of [
        'many.yaml:3:1  /nodez\n  unknown_key: ',
        'many.yaml:5:18  /nodes/fetch/type\n  unknown_type: ',
        'many.yaml:8:12  /nodes/triage/needs\n  unknown_step: ',
        'many.yaml:9:12  /nodes/triage/retry\n  wrong_type: ',
        'many.yaml:10:18  /nodes/triage/with/url\n  wrong_type: ',
        'many.yaml:10:22  /nodes/triage/with/methd\n  unknown_key: ',
        'many.yaml:11:48  /nodes/later/with/message\n  expression_syntax: ',
      ])
        expect(err).toContain(line)
      expect(err).toContain('Did you mean `http`?')
      expect(err).toContain('Did you mean `fetch`?')
      expect(err).toContain('    11 |   later:')
    }
    expect(await ground.runCount()).toBe(before)
    expect((await ground.ask('POST', '/workflows', { source: text })).status).toBe(422)
    expect((await ground.ask('GET', '/workflows/many')).status).toBe(404)
  })

  test.each([
    ['a tag', '    when: !input.ready\n', 'yaml.yaml:6:11', 'yaml_tag', '`when: "!input.ready"`'],
    [
      'a comment',
      '    name: ${{ input.a # b }}\n',
      'yaml.yaml:6:23',
      'yaml_comment',
      'Put the whole text into quotes',
    ],
    ['a tab', '\tname: x\n', 'yaml.yaml:6:1', 'yaml_syntax', 'indented with spaces'],
    ['an open bracket', '    needs: [\n', 'yaml.yaml:', 'yaml_syntax', 'Flow sequence'],
    ['a key twice', '    type: log\n', 'yaml.yaml:6:5', 'duplicate_key', 'Remove one'],
    ['a bare `on`', '    needs: { b: { true: failure } }\n', 'yaml.yaml:6:19', 'unknown_key', 'YAML 1.1'],
  ])('of invalid YAML, %s: line, column and a hint', async (_, line, place, code, hint) => {
    const text = `weft: 1\nname: yaml\nnodes:\n  a:\n    type: log\n${line}    with: { message: x }\n  b: { type: log, with: { message: x } }\n`
    const ended = await ground.cli('run', 'yaml', text)
    expect(ended.code).toBe(2)
    expect(ended.err).toContain(place)
    expect(ended.err).toContain(`${code}: `)
    expect(ended.err).toContain(hint)
  })

  test('that reads a step which does not come before: both steps are named, and what to add', async () => {
    const text =
      'weft: 1\nname: order\nnodes:\n  first: { type: log, with: { message: "${{ steps.second.output }}" } }\n  second: { type: log, with: { message: x } }\n'
    const { code, err } = await ground.cli('run', 'order', text)
    expect(code).toBe(2)
    expect(err).toContain('order.yaml:4:51  /nodes/first/with/message\n  not_an_ancestor: ')
    expect(err).toContain('Add `second` to `needs` of `first`')
  })

  test('with labels that no label may have', async () => {
    const definition = { weft: 1, name: 'labels', labels: { 'a b': 'x', c: 'x\0' }, nodes: { a: LOG('x') } }
    const { status, body } = await ground.ask('POST', '/runs', { definition })
    expect([status, body.code]).toEqual([422, 'invalid_definition'])
    expect(
      (body.problems as unknown as { pointer: string }[]).map(({ pointer }) => pointer).toSorted(),
    ).toEqual(['/labels/a b', '/labels/c'])
  })

  test('keeps its own labels although its graph was seen before with others', async () => {
    const submit = (labels: Json) => ground.run({ a: LOG('labels') }, {}, { labels })
    expect((await submit({ team: 'red' })).labels).toEqual({ team: 'red' })
    expect((await submit({ team: 'blue' })).labels).toEqual({ team: 'blue' })
    expect((await submit({})).labels).toEqual({})
  })
})

describe('a request', () => {
  test('whose input misses the schema: every problem with its place, exit 2, no run', async () => {
    const text =
      'weft: 1\nname: strict\ninput: { type: object, required: [orderId, count], additionalProperties: false, properties: { orderId: { type: string }, count: { type: integer } } }\nnodes:\n  a: { type: log, with: { message: x } }\n'
    const before = await ground.runCount()
    const { code, err } = await ground.cli('run', 'strict', text, '-i', 'orderId=12', '-i', 'cuont=0')
    expect(code).toBe(2)
    expect(err).toMatch(/invalid_input: /)
    expect(err).toContain('`count` is missing')
    expect(err).toContain('Did you mean `count`?')
    expect(err).toContain('/input/orderId')
    expect(await ground.runCount()).toBe(before)
  })

  const definition = { weft: 1, name: 'names', nodes: { a: LOG('x') } }
  test.each([
    ['NUL in a label', { definition, labels: { a: 'x\0' } }, '/labels/a'],
    ['half a surrogate pair in a label', { definition, labels: { a: '\ud800' } }, '/labels/a'],
    ['a label of 300 characters', { definition, labels: { a: 'x'.repeat(300) } }, '/labels/a'],
    ['NUL in the name of a label', { definition, labels: { 'a\0': 'x' } }, '/labels/a\0'],
    ['NUL in an idempotency key', { definition, idempotencyKey: 'a\0' }, '/idempotencyKey'],
    [
      'half a surrogate pair in an idempotency key',
      { definition, idempotencyKey: '\udc00' },
      '/idempotencyKey',
    ],
    [
      'an idempotency key of 300 characters',
      { definition, idempotencyKey: 'x'.repeat(300) },
      '/idempotencyKey',
    ],
    ['NUL in the name of a workflow', { workflow: 'a\0' }, '/workflow'],
    ['NUL in a source', { source: 'weft: 1 # \0' }, '/source'],
  ])('with %s is refused with a sentence', async (_, body, pointer) => {
    const answer = await ground.ask('POST', '/runs', body)
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request'])
    expect(answer.body.problems).toMatchObject([{ pointer }])
    expect(answer.body.detail).toMatch(/NUL character|more than 255 characters|a label’s name/)
    expect(answer.body.detail).not.toMatch(/PostgreSQL|expected string/)
  })

  test('with a key that is too long in the header, and with a cursor of nobody', async () => {
    const long = await ground.ask('POST', '/runs', { definition }, { 'idempotency-key': 'k'.repeat(300) })
    expect([long.status, long.body.code]).toEqual([422, 'invalid_request'])
    const cursor = await ground.ask('GET', '/runs?cursor=nonsense')
    expect([cursor.status, cursor.body.code]).toEqual([422, 'invalid_request'])
    expect(cursor.body.detail).toContain('`nextCursor`')
  })
})

describe('an expression', () => {
  test('that reads a missing key fails its step and names the keys that are there', async () => {
    const { status, error } = await ground.run(
      { a: LOG('Sum: ${{ input.totl }}') },
      { total: 3, currency: 'EUR' },
    )
    expect([status, error?.code]).toEqual(['failed', 'expression_failed'])
    expect(error?.message).toContain('`totl`')
    expect(error?.message).toContain('Did you mean `total`?')
    expect(error?.message).toContain('`currency`')
  })

  test('that matches `^(a+)+$` against fifty thousand letters ends with the right answer', async () => {
    const text = `${'a'.repeat(50_000)}!`
    const { status, output } = await ground.run(
      { a: { type: 'set', with: { hit: "${{ input.text.matches('^(a+)+$') }}" } } },
      { text },
      { output: '${{ steps.a.output.hit }}' },
    )
    expect([status, output]).toEqual(['completed', false])
  })

  test('of three nested macros over 400 items stops, and says what to do instead', async () => {
    const list = Array.from({ length: 400 }, (_, index) => index)
    const nested = '${{ input.list.map(a, input.list.map(b, input.list.map(c, a * b * c))) }}'
    const { status, error } = await ground.run({ a: { type: 'set', with: { all: nested } } }, { list })
    expect([status, error?.code]).toEqual(['failed', 'expression_failed'])
    expect(error?.message).toContain('100,000 iterations')
    expect(error?.message).toContain('`code` step')
  })
})

describe('a service', () => {
  const http = (path: string, more: Record<string, Json> = {}): Json => ({
    a: { type: 'http', retry: 'off', with: { url: `${ground.service.url}${path}`, ...more } },
  })

  test('that answers HTML where it promised JSON', async () => {
    const { status, error } = await ground.run(http('/html?contentType=application/json'))
    expect([status, error?.code]).toEqual(['failed', 'http_invalid_json'])
    expect(error?.message).toContain('it is HTML: “<!doctype html><title>Sign in')
  })

  test('that answers 50 MB', async () => {
    const { status, error } = await ground.run(http('/big'))
    expect([status, error?.code]).toEqual(['failed', 'response_too_large'])
    expect(error?.message).toContain('Ask for less')
  })

  test('that redirects to the metadata address of a cloud', async () => {
    const { status, error } = await ground.run(http('/redirect?to=http://169.254.169.254/latest/meta-data/'))
    expect([status, error?.code]).toEqual(['failed', 'egress_denied'])
    expect(error?.message).toContain('weft dev --allow 169.254.169.254')
  })

  test('a Slack that answers 429 with Retry-After is called again after that time', async () => {
    const misbehave = { status: 429, retryAfter: 1, times: 1 }
    await fetch(`${ground.service.url}/slack/behaviour`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(misbehave),
    })
    const { id, status } = await ground.run({
      a: { type: 'slack.post_message', credential: 'team', with: { text: 'hello' } },
    })
    expect(status).toBe('completed')
    const calls = ground.service.ledger.entries().filter(({ run }) => run === id)
    expect(calls.map((call) => call.status)).toEqual([429, 200])
    const { items } = await ground.client.call<{
      items: { type: string; retryAt?: number; at: number; error?: Json }[]
    }>('GET', `/api/v1/runs/${id}/events`)
    const failed = items.find(({ type }) => type === 'attempt.failed')
    expect(failed?.error).toMatchObject({ code: 'slack_rate_limited', retryAfterMs: 1000 })
    expect((failed?.retryAt ?? 0) - (failed?.at ?? 0)).toBeGreaterThanOrEqual(1000)
    expect(ground.service.slackMessages.filter((message) => message.run === id)).toHaveLength(1)
  })
})

describe('code', () => {
  const code = (text: string, more: Record<string, Json> = {}): Json => ({
    a: { type: 'code', retry: 'off', with: { code: text, input: { text: '${{ input }}' } }, ...more },
  })

  test('that loops for ever is stopped at its timeout', async () => {
    const { status, error } = await ground.run(code('for(;;);', { timeout: '300ms' }))
    expect([status, error?.code]).toEqual(['failed', 'code_timeout'])
    expect(error?.message).toContain('loop without an end')
  })

  test('that allocates for ever is stopped by its limit, and the server stays', async () => {
    const { status, error } = await ground.run(
      code("const x = []; for(;;) x.push('y'.repeat(1e6) + x.length)"),
    )
    expect([status, error?.code]).toEqual(['failed', 'code_out_of_memory'])
    expect(error?.message).toContain('128 MiB')
    expect((await ground.run({ a: LOG('still here') })).status).toBe('completed')
  })

  test('that answers a value which contains itself', async () => {
    const { status, error } = await ground.run(code('const a = {}; a.self = a; return a'))
    expect([status, error?.code]).toEqual(['failed', 'invalid_output'])
    expect(error?.message).toContain('contains itself (a cycle)')
  })

  const deep = (levels: number): Json => (levels === 0 ? 'bottom' : { next: deep(levels - 1) })
  test.each<[string, string, Json]>([
    ['NUL bytes', "return { text: 'a\\0b', '\\0': 1 }", { text: 'a\0b', '\0': 1 }],
    ['lone surrogates', "return ['\\ud800', 'x\\udc00y']", ['\ud800', 'x\udc00y']],
    [
      'integers beyond 2^53',
      'return { id: 9007199254740993n, small: 12n }',
      { id: '9007199254740993', small: 12 },
    ],
    [
      '40 levels of nesting',
      "let v = 'bottom'; for (let i = 0; i < 40; i++) v = { next: v }; return v",
      deep(40),
    ],
    [
      '`__proto__` keys',
      'return JSON.parse(\'{"__proto__":{"admin":true},"a":1}\')',
      JSON.parse('{"__proto__":{"admin":true},"a":1}') as Json,
    ],
  ])('that answers %s: kept as it came, and read by the step after it', async (_, text, expected) => {
    const nodes = {
      ...(code(text) as Record<string, Json>),
      b: {
        type: 'code',
        needs: 'a',
        with: { code: 'return input.seen', input: { seen: '${{ steps.a.output }}' } },
      },
    }
    const run = await ground.run(nodes, {}, { output: '${{ steps.b.output }}' })
    expect(run.status).toBe('completed')
    expect(JSON.stringify(run.output)).toBe(JSON.stringify(expected))
    expect(
      (await ground.client.call<{ admin?: unknown }>('GET', `/api/v1/runs/${run.id}`)).admin,
    ).toBeUndefined()
  })
})
