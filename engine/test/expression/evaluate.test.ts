import { describe, expect, it, test } from 'vitest'
import type { Json } from '../../src/json.ts'
import { failure, IN_ITEM, yields } from './scope.ts'

const table = (cases: readonly (readonly [string, Json])[]) =>
  test.each(cases)('%s', (source, expected) => expect(yields(source)).toStrictEqual(expected))

describe('numbers are one type, as in JSON', () => {
  table([
    ['7 / 2', 3.5],
    ['6 / 2', 3],
    ['1 + input.count', 4],
    ['2 * input.price - 1', 4],
    ['7 % 4', 3],
    ['-7 % 4', -3],
    ['1 == 1.0', true],
    ['0.1 + 0.2 < 0.31', true],
    ['0x10', 16],
    ['3u + 1', 4],
    ['1e3', 1000],
    ['9007199254740993', 9007199254740992],
    ['-(-3)', 3],
    ['- -3', 3],
    ['2 + 3 * 4', 14],
    ['(2 + 3) * 4', 20],
  ])

  test('no result is -0, which its JSON text would lose', () => {
    for (const source of ['-0', '0 * -1', '0 / -5', 'round(-0.2)', 'ceil(-0.5)', '-4 % 2', 'int("-0.5")']) {
      expect(Object.is(yields(source), 0), source).toBe(true)
    }
  })

  test('what JSON cannot hold is a problem, not null', () => {
    expect(failure('1e308 * 10').code).toBe('expression_failed')
    expect(failure('1 / 0').message).toContain('Division by zero')
    expect(failure('1 % 0').message).toContain('Division by zero')
    expect(failure('[1e308, 1e308].sum()').code).toBe('expression_failed')
  })
})

describe('text', () => {
  table([
    ['"a" + "b"', 'ab'],
    ['"n=" + 7 / 2', 'n=3.5'],
    ['3.0 + " items"', '3 items'],
    ['"x" + null + true', 'xtrue'],
    ['"big " + 1e21', 'big 1000000000000000000000'],
    ['\'single\' + "double"', 'singledouble'],
    ['"""three "quoted" lines"""', 'three "quoted" lines'],
    ['r"a\\d"', 'a\\d'],
    ['"\\u00e9\\n"', 'é\n'],
    ['"a" < "b"', true],
    ['"abc".size() + size("é😀")', 5],
  ])
})

describe('null', () => {
  table([
    ['input.note', null],
    ['input.note.anything.at.all', null],
    ['input.note[0].x', null],
    ['steps.skipped.output.risk', null],
    ['input.note > 1', false],
    ['input.note <= 1', false],
    ['null >= null', false],
    ['"a" < input.note', false],
    ['input.note == null', true],
    ['input.note != null', false],
    ['input.note == 0', false],
    ['1 in input.note', false],
    ['input.note ? 1 : 2', 2],
    ['!input.note', true],
    ['input.note || true', true],
  ])
})

describe('equality and membership', () => {
  table([
    ['1 == "1"', false],
    ['true == 1', false],
    ['null == false', false],
    ['[1, {"a": [null]}] == [1.0, {"a": [null]}]', true],
    ['{"a": 1, "b": 2} == {"b": 2, "a": 1}', true],
    ['{"a": 1} == {"a": 1, "b": null}', false],
    ['[1] != [2]', true],
    ['"eu" in input.tags', true],
    ['{"id": 1, "sku": "x"} in input.order.items', true],
    ['"id" in input.order', true],
    ['"constructor" in input.order', false],
    ['7 in {"7": 1}', true],
    ['1 in [1.0]', true],
  ])
})

describe('selection', () => {
  table([
    ['input.order.items[1].sku', 'y'],
    ['input["order"]["id"]', 7],
    ['input["order-id"]', 42],
    ['input.tags[input.count - 3]', 'new'],
    ['steps.triage.output.risk > vars.threshold', true],
    ['steps.triage.status', 'completed'],
    ['steps["triage"].error', null],
    ['run.id + " " + run.labels.team', 'run-1 shop'],
    ['workflow.name', 'order-triage'],
    ['{"a": {"b": 1}}.a.b', 1],
    ['{1: "one"}[1]', 'one'],
    ['[[1, 2], [3]][0][1]', 2],
    ['json("{\\"a\\":1}").a', 1],
  ])

  test('item and index in a forEach', () => {
    expect(yields('item.sku + index', IN_ITEM)).toBe('x2')
    expect(failure('item.sku').message).toContain('`item` exists only in a node with `forEach`')
    expect(yields('default(item, "none")')).toBe('none')
  })
})

describe('has and default', () => {
  table([
    ['has(input.order.id)', true],
    ['has(input.order.missing)', false],
    ['has(input.missing.deeper)', false],
    ['has(input.note)', true],
    ['has(input.note.x)', false],
    ['has(input.order["id"])', true],
    ['has(input.tags[1])', true],
    ['has(input.tags[2])', false],
    ['has(steps.nowhere.output)', false],
    ['has(input.count.x)', false],
    ['default(input.order.missing, 0)', 0],
    ['default(input.missing.deeper.still, "x")', 'x'],
    ['default(input.note, "none")', 'none'],
    ['default(input.count, 0)', 3],
    ['default(input.tags[9], "")', ''],
    ['default(input.order.items.map(i, i.price)[0], 5)', 5],
    ['default(default(input.a, input.b), 1)', 1],
    ['default(false, true)', false],
    ['default(input.tags[input.missing], 7)', 7],
    ['has(input.order[input.missing])', false],
  ])

  test('default does not hide a real mistake', () => {
    expect(failure('default(1 / 0, 5)').message).toContain('Division by zero')
    expect(failure('default(input.missing, input.missing)').message).toContain('no key `missing`')
  })
})

describe('conditions', () => {
  table([
    ['true ? 1 : "a"', 1],
    ['false ? 1 : [1, "a", null]', [1, 'a', null]],
    ['true || input.missing', true],
    ['input.missing || true', true],
    ['false && input.missing', false],
    ['input.missing == 1 && false', false],
    ['1 < 2 && "a" != "b"', true],
    ['!(1 > 2)', true],
  ])

  test('an error that no operand outweighs comes out', () => {
    expect(failure('input.missing || false').message).toContain('`missing`')
    expect(failure('input.missing && true').message).toContain('`missing`')
  })

  test('only booleans and null are conditions', () => {
    expect(failure('input.count && true').message).toContain('Compare it: `x != 0`')
    expect(failure('input.orderId ? 1 : 2').types).toEqual(['text'])
    expect(failure('!input.tags').message).toContain('a list')
  })
})

describe('macros', () => {
  table([
    ['input.order.items.map(i, i.id)', [1, 2]],
    ['input.order.items.map(i, i.id > 1, i.sku)', ['y']],
    ['input.order.items.filter(i, i.sku == "x")', [{ id: 1, sku: 'x' }]],
    ['[1, 2].all(x, x > 0)', true],
    ['[].all(x, false)', true],
    ['[1, 2].exists(x, x > 1)', true],
    ['[].exists(x, true)', false],
    ['[1, 2, 2].exists_one(x, x == 1)', true],
    ['[1, 2, 2].exists_one(x, x == 2)', false],
    ['{"b": 1, "a": 2}.map(k, k)', ['b', 'a']],
    [
      '[1, 2].map(x, [10, 20].map(y, x * y))',
      [
        [10, 20],
        [20, 40],
      ],
    ],
    ['[1, 2].map(x, [1].map(y, [1].map(z, x + y + z)))', [[[3]], [[4]]]],
    ['[1].map(item, item + 1)', [2]],
    ['[1].map(x, [2].map(x, x))[0][0]', 2],
    ['[3, 1, 2].sort(x, -x)', [3, 2, 1]],
    ['[1, 2, 3].groupBy(x, x % 2 == 0 ? "even" : "odd")', { odd: [1, 3], even: [2] }],
    ['[0, 1].exists(x, 1 / x == 1)', true],
    ['[0, 1].all(x, 1 / x == 2)', false],
    ['[1, 2].map(x, x).map(x, x + 1).filter(x, x > 2)', [3]],
  ])

  test('over null or text they say what to do', () => {
    expect(failure('input.note.map(x, x)').message).toContain('write `default(x, [])`')
    expect(failure('"abc".all(c, true)').message).toContain('but got text')
  })
})

describe('only data is readable', () => {
  it.each([
    'input.__proto__',
    'input.constructor',
    'input["constructor"]["prototype"]',
    'input.toString',
    'input.tags.length',
    'input.tags.map',
    '"text".length',
    'input.tags["length"]',
    'input.count.toFixed',
    'steps.constructor',
    'vars.__proto__',
  ])('%s shows nothing of JavaScript', (source) => {
    expect(failure(source).code).toBe('expression_failed')
  })

  test('keys that only look dangerous are ordinary', () => {
    const input = JSON.parse('{"__proto__": {"admin": true}, "constructor": 1, "hasOwnProperty": 2}') as Json
    expect(yields('input.__proto__.admin', { input })).toBe(true)
    expect(yields('input.constructor + input.hasOwnProperty', { input })).toBe(3)
    const merged = yields('merge(input, {"a": 1})', { input })
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype)
    expect(JSON.stringify(merged)).toBe(
      '{"__proto__":{"admin":true},"constructor":1,"hasOwnProperty":2,"a":1}',
    )
    for (const source of [
      '{"__proto__": {"admin": true}}',
      '[{"k": "__proto__"}].groupBy("k")',
      'json(\'{"__proto__": 1}\')',
    ]) {
      const value = yields(source) as object
      expect(Object.getPrototypeOf(value), source).toBe(Object.prototype)
      expect(Object.keys(value), source).toEqual(['__proto__'])
    }
    expect(({} as { admin?: unknown }).admin).toBeUndefined()
  })

  test('a value without a prototype reads the same', () => {
    const input = Object.assign(Object.create(null), { a: 1 }) as Json
    expect(yields('input.a', { input })).toBe(1)
    expect(failure('input.b', { input }).message).toContain('`a`')
  })
})
