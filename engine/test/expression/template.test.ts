import { describe, expect, test } from 'vitest'
import {
  compileTemplate,
  type FieldMode,
  renderTemplate,
  type Template,
  type TemplateProblem,
} from '../../src/expression/index.ts'
import type { Json } from '../../src/json.ts'
import { NOW, SCOPE } from './scope.ts'

type Fields = Readonly<Record<string, FieldMode>>

function compiled(value: Json, fields?: Fields): Template {
  const result = compileTemplate(value, fields)
  if (!result.ok)
    throw new Error(result.problems.map(({ pointer, message }) => `${pointer}: ${message}`).join('\n'))
  return result.template
}

function rendered(value: Json, fields?: Fields): Json {
  const result = renderTemplate(compiled(value, fields), SCOPE, { now: NOW })
  if (!result.ok) throw new Error(result.problem.message)
  return result.value
}

function refused(value: Json, fields?: Fields): TemplateProblem[] {
  const result = compileTemplate(value, fields)
  if (result.ok) throw new Error(`${JSON.stringify(value)} compiles`)
  return result.problems
}

function failed(value: Json, fields?: Fields): TemplateProblem {
  const result = renderTemplate(compiled(value, fields), SCOPE, { now: NOW })
  if (result.ok) throw new Error(`${JSON.stringify(value)} renders to ${JSON.stringify(result.value)}`)
  return result.problem
}

describe('a text that is exactly one expression yields the value with its type', () => {
  test.each<[string, Json]>([
    ['${{ input.count }}', 3],
    ['${{input.note}}', null],
    ['${{ input.tags }}', ['new', 'eu']],
    ['${{ {"a": {"b": [1]}} }}', { a: { b: [1] } }],
    ['${{{"a":{"b":1}}}}', { a: { b: 1 } }],
    ['${{ "}}" }}', '}}'],
    ["${{ 'it\\'s }}' + \"\" }}", "it's }}"],
    ['${{ """a "quoted" }} text""" }}', 'a "quoted" }} text'],
    ['${{ r"\\d" }}', '\\d'],
    ['${{\n  input.count // how many\n  + 1\n}}', 4],
    ['${{ input.count // "quoted" {braces }}', 3],
    ['${{ "//" + "{" }}', '//{'],
  ])('%s', (text, expected) => expect(rendered(text)).toStrictEqual(expected))
})

describe('text around an expression interpolates', () => {
  test.each<[string, string]>([
    ['Order ${{ input.orderId }}!', 'Order A-7!'],
    ['${{ input.count }}${{ input.count }}', '33'],
    ['${{ 6 / 2 }} and ${{ 7 / 2 }}', '3 and 3.5'],
    ['note: ${{ input.note }}.', 'note: .'],
    ['${{ input.tags }} ${{ input.order.items[0] }} ${{ true }}', '["new","eu"] {"id":1,"sku":"x"} true'],
    [' ${{ input.count }}', ' 3'],
    ['${{ input.count }}\n', '3\n'],
    ['$${{ input.count }}', '${{ input.count }}'],
    ['a $${{ b }} ${{ input.count }} $${{', 'a ${{ b }} 3 ${{'],
    ['$$${{ x', '$${{ x'],
    ['$5 and ${x} and {{ y }} and }}', '$5 and ${x} and {{ y }} and }}'],
    ['${{ "$${{" }}', '$${{'],
  ])('%s', (text, expected) => expect(rendered(text)).toBe(expected))
})

describe('structure', () => {
  test('values deep inside are rendered and the rest is kept as it is', () => {
    const value: Json = {
      text: 'to ${{ input.orderId }}',
      deep: [{ n: '${{ input.count }}', same: { a: [1] } }, 2],
      number: 7,
      '${{ key }}': 'keys are never expressions',
    }
    const before = structuredClone(value)
    const result = rendered(value) as { deep: [{ same: Json }] }
    expect(result).toStrictEqual({
      text: 'to A-7',
      deep: [{ n: 3, same: { a: [1] } }, 2],
      number: 7,
      '${{ key }}': 'keys are never expressions',
    })
    expect(Object.keys(result)).toEqual(Object.keys(value as object))
    expect(value).toStrictEqual(before)
  })

  test('a template without expressions is constant and renders to the same object', () => {
    const value: Json = { a: [1, { b: 'text' }], c: null }
    const template = compiled(value)
    expect(template.constant).toBe(true)
    const result = renderTemplate(template, {}, { now: NOW })
    expect(result.ok && result.value).toBe(value)
  })

  test('an escaped expression is constant too', () => {
    const template = compiled({ a: '$${{ x }}', b: ['$${{'] })
    expect(template.constant).toBe(true)
    expect(renderTemplate(template, {}, { now: NOW })).toEqual({
      ok: true,
      value: { a: '${{ x }}', b: ['${{'] },
    })
  })

  test('an own key __proto__ stays an ordinary key', () => {
    const result = rendered(
      JSON.parse('{"__proto__": "${{ input.order }}", "x": {"__proto__": "$${{"}}') as Json,
    )
    expect(JSON.stringify(result)).toBe(
      '{"__proto__":{"id":7,"items":[{"id":1,"sku":"x"},{"id":2,"sku":"y"}]},"x":{"__proto__":"${{"}}',
    )
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype)
  })

  test('references carry the pointer and the place of their expression', () => {
    const template = compiled({ 'a/b': ['x', 'Id: ${{  steps.triage.output.risk }}'] })
    expect(template.references).toHaveLength(1)
    expect(template.references[0]).toMatchObject({
      root: 'steps',
      path: ['triage', 'output', 'risk'],
      pointer: '/a~1b/1',
      offset: 9,
      column: 1,
    })
  })
})

describe('field modes', () => {
  test('raw is never interpolated, whatever is below', () => {
    const value: Json = { code: 'return `${{ x }`', schema: { a: ['${{ y'] }, text: '${{ input.count }}' }
    expect(rendered(value, { '/code': 'raw', '/schema': 'raw' })).toStrictEqual({ ...value, text: 3 })
  })

  test('expression fields are bare, wrapped ones are accepted', () => {
    const cases = { high: 'steps.triage.output.risk > 0.7', low: '${{ input.count < 3 }}', always: true }
    expect(rendered({ cases }, { '/cases/*': 'expression' })).toEqual({
      cases: { high: true, low: false, always: true },
    })
    expect(refused({ cases: { high: 'risk >' } }, { '/cases/*': 'expression' })[0]).toMatchObject({
      code: 'expression_syntax',
      pointer: '/cases/high',
      offset: 0,
      column: 7,
    })
  })

  test('a pattern matches its own level only, and the root by an empty pointer', () => {
    expect(rendered({ a: { b: 'input.count', c: { d: 'input.count' } } }, { '/a/*': 'expression' })).toEqual({
      a: { b: 3, c: { d: 'input.count' } },
    })
    expect(rendered('input.count', { '': 'expression' })).toBe(3)
    expect(rendered({ 'x/y': ['input.count'] }, { '/x~1y/0': 'expression' })).toEqual({ 'x/y': [3] })
  })
})

describe('problems', () => {
  test('every problem of every field at once, each with its place', () => {
    const problems = refused({
      text: 'Hello ${{ inptu.name }} and ${{ uper("a") }}',
      list: ['fine', '${{ secrets.TOKEN }}'],
      open: 'see ${{ input.x',
    })
    expect(problems.map(({ code, pointer, offset, column }) => [code, pointer, offset, column])).toEqual([
      ['unknown_name', '/text', 10, 1],
      ['unknown_function', '/text', 32, 1],
      ['secret_reference', '/list/1', 4, 1],
      ['expression_syntax', '/open', 4, 1],
    ])
  })

  test('an expression that never closes says why', () => {
    expect(refused('${{ input.x')[0]?.message).toContain('no closing `}}`')
    expect(refused('${{ "abc }} rest')[0]?.message).toContain('Check quotes and braces')
    expect(refused('${{ {"a": 1 }} rest')[0]?.message).toContain('Check quotes and braces')
    expect(refused('a ${{ }} b')[0]?.message).toContain('empty')
  })

  test('a failure while rendering names the field and the expression in it', () => {
    expect(failed({ a: { text: 'x ${{ input.count }} ${{ input.missing }}' } })).toMatchObject({
      code: 'expression_failed',
      pointer: '/a/text',
      offset: 25,
      column: 7,
      length: 7,
      types: ['map'],
    })
  })

  test('each expression has a budget of its own, and the texts have limits together', () => {
    const heavy = '${{ input.order.items.map(a, [0,1,2,3,4,5,6,7,8,9].map(b, a.id)).flatten().size() }}'
    expect(rendered(Array.from({ length: 50 }, () => heavy))).toEqual(Array.from({ length: 50 }, () => 20))
    const scope = { input: 'x'.repeat(9 * 1024 * 1024) }
    const twice = renderTemplate(compiled('${{ input }}${{ input }}'), scope, { now: NOW })
    expect(twice.ok ? '' : twice.problem.code).toBe('expression_too_expensive')
    const many = renderTemplate(compiled(Array.from({ length: 20 }, () => '${{ input }}')), scope, {
      now: NOW,
    })
    expect(many.ok ? '' : many.problem.code).toBe('expression_too_expensive')
  })
})

describe('urls', () => {
  const URL_FIELD: Fields = { '': 'url' }
  const fill = (text: string, input: Json) => {
    const result = renderTemplate(compiled(text, URL_FIELD), { input }, { now: NOW })
    return result.ok ? result.value : result.problem.code
  }

  test('values are percent-encoded', () => {
    expect(
      fill('https://shop.example/orders/${{ input.id }}?q=${{ input.q }}', { id: 'a/b?c#d', q: 'x&y=z +é' }),
    ).toBe('https://shop.example/orders/a%2Fb%3Fc%23d?q=x%26y%3Dz%20%2B%C3%A9')
    expect(fill('https://shop.example/${{ input.n }}${{ input.none }}', { n: 7, none: null })).toBe(
      'https://shop.example/7',
    )
  })

  test('a whole URL may be one expression, and then is what it yields', () => {
    expect(fill('${{ input.base + "/orders" }}', { base: 'http://10.0.0.1:8080' })).toBe(
      'http://10.0.0.1:8080/orders',
    )
  })

  test.each([
    '${{ input.base }}/orders',
    'https://${{ input.tenant }}.example.com/x',
    'https://example.com${{ input.path }}',
    'https://example.com:${{ input.port }}/x',
    '${{ input.scheme }}://example.com/x',
    'https:///${{ input.x }}',
    'https://\t/${{ input.x }}',
    'https://\\${{ input.x }}',
    '/relative/${{ input.x }}',
    '//${{ input.x }}/y',
  ])('%s would let a value choose the host, and is refused with the way to write it', (text) => {
    const [problem] = refused(text, URL_FIELD)
    expect(problem?.message).toContain('make the whole URL one expression')
    expect(problem).toMatchObject({ code: 'expression_syntax', offset: text.indexOf('input') })
  })

  test('the corrected expression that is offered compiles', () => {
    const [problem] = refused('${{ vars.shop }}/orders/${{ input.id }}', URL_FIELD)
    const offered = /one expression: `(.*)`\.$/.exec(problem?.message ?? '')?.[1] as string
    expect(offered).toBe('${{ vars.shop + "/orders/" + urlEncode(input.id) }}')
    const result = renderTemplate(
      compiled(offered, URL_FIELD),
      { vars: { shop: 'http://s' }, input: { id: 'a b' } },
      { now: NOW },
    )
    expect(result).toEqual({ ok: true, value: 'http://s/orders/a%20b' })
  })

  test.each(['.', '..'])('the value %s cannot climb out of the path', (value) => {
    expect(fill('https://shop.example/orders/${{ input }}/delete', value)).toBe('expression_failed')
    expect(fill('https://shop.example/orders/${{ input }}', value)).toBe('expression_failed')
    expect(fill('https://shop.example/orders/${{ input }}?x=1', value)).toBe('expression_failed')
    expect(fill('https://shop.example/orders/\t${{ input }} ', value)).toBe('expression_failed')
    expect(fill('https://shop.example/orders/v${{ input }}', value)).toBe(
      `https://shop.example/orders/v${value}`,
    )
    expect(fill('https://shop.example/orders?${{ input }}', value)).toBe(
      `https://shop.example/orders?${value}`,
    )
  })

  test('two values that together make `..`', () => {
    const result = renderTemplate(
      compiled('https://shop.example/a/${{ input.x }}${{ input.y }}/b', URL_FIELD),
      { input: { x: '.', y: '.' } },
      { now: NOW },
    )
    expect(result.ok).toBe(false)
  })
})
