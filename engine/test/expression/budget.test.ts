import { describe, expect, test } from 'vitest'
import { compileExpression, evaluate, type Scope } from '../../src/expression/index.ts'
import type { Json } from '../../src/json.ts'
import { failure, NOW, yields } from './scope.ts'

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
const texts = (count: number, length: number): string[] =>
  numbers(count).map((index) => String(index).padStart(length, 'x'))

describe('an evaluation ends with expression_too_expensive, and soon', () => {
  const many = {
    input: { n: numbers(400), long: 'ab'.repeat(4_000_000), list: numbers(60_000), big: texts(2000, 5000) },
  }

  test.each([
    ['three nested macros over 400 items', 'input.n.map(a, input.n.map(b, input.n.map(c, a * b * c)))'],
    ['a condition over all pairs', 'input.n.all(a, input.n.exists(b, b == a && input.n.all(c, c >= 0)))'],
    ['membership within a loop', 'input.list.filter(x, x in input.list)'],
    ['equality of long lists in a loop', 'input.n.map(x, input.list == input.list.map(y, y))'],
    ['sorting in a loop', 'input.n.map(x, input.list.sort())'],
    ['growing lists', 'input.n.map(x, input.list + input.list)'],
    ['long texts in a loop', 'input.n.map(x, (input.long + x).size())'],
    ['searching long texts in a loop', 'input.n.map(x, input.long.contains("b" + x))'],
    ['comparing long texts in a loop', 'input.list.map(x, input.long + "a" == input.long + "b")'],
    ['splitting into millions', 'input.long.split("b")'],
    ['splitting into characters', 'input.long.split("")'],
    ['replacing every letter of a long text by a long text', 'input.long.replace("a", input.long)'],
    ['joining to more than fits', 'input.n.map(x, input.long).join()'],
    ['JSON of more than fits', 'toJson(input.n.map(x, input.long))'],
    ['hashing in a loop', 'input.list.map(x, [sha256(input.long), base64(input.long)])'],
    ['unique texts that differ at their end', 'input.n.map(x, input.big.unique())'],
    ['one long text as JSON in a loop', 'input.n.map(x, json(toJson(input.list)))'],
    ['patterns made in a loop', 'input.list.map(x, "a".matches("(a{100}){9}" + x))'],
    ['a large pattern over a long text', 'input.long.matches("(x+x+)+y(a{200}){4}")'],
    ['flattening in a loop', 'input.n.map(x, [input.list, input.list].flatten())'],
    ['merging in a loop', 'input.list.map(x, merge(input, input, input))'],
    ['a long body', `input.list.map(x, ${Array.from({ length: 200 }, (_, i) => `x*${i}`).join('+')})`],
  ])('%s', (_, source) => {
    const problem = failure(source, many)
    expect(problem.code).toBe('expression_too_expensive')
    expect(problem.message).toMatch(/100,000 iterations|16 MiB/)
  })

  test('values that share their parts cannot explode when written out', () => {
    const doubled = `[input.a]${'.map(x, [x, x])'.repeat(40)}`
    for (const source of [doubled, `toJson(${doubled})`, `${doubled}.unique()`, `"" + ${doubled}.join()`]) {
      expect(failure(source, { input: { a: 'x'.repeat(100) } }).code, source).toBe('expression_too_expensive')
    }
    const deep = `[1]${'.map(x, [[[x]]])'.repeat(90)}`
    expect(failure(deep).message).toContain('nested deeper')
  })

  test('no operand and no default hides it', () => {
    const expensive = 'input.n.all(a, input.n.all(b, input.n.all(c, true)))'
    for (const source of [
      `${expensive} || true`,
      `default(${expensive}, true)`,
      `[1].exists(x, ${expensive.replaceAll('n.all(c, true)', 'n == input.n')})`,
    ]) {
      expect(failure(source, many).code, source).toBe('expression_too_expensive')
    }
  })

  test('the limit is the number that the message names', () => {
    const scope = { input: numbers(100_000) }
    expect(yields('input.all(x, true)', scope)).toBe(true)
    expect(failure('input.all(x, true) && [1].all(x, true)', scope).code).toBe('expression_too_expensive')
    expect(yields('input.all(x, x < 10)', { input: numbers(10) }, { now: NOW, iterations: 10 })).toBe(true)
    expect(
      failure('input.all(x, true)', { input: numbers(11) }, { now: NOW, iterations: 10 }).message,
    ).toContain('more than 10 iterations')
  })
})

describe('ordinary work is far within the budget', () => {
  const orders = numbers(1000).map((id) => ({
    id,
    status: id % 3 === 0 ? 'late' : 'ok',
    total: id * 1.5,
    tags: ['a', 'b'],
  }))
  const scope: Scope = { input: { orders, body: JSON.stringify(orders) } }

  test.each<[string, Json]>([
    ['input.orders.filter(o, o.status == "late").map(o, o.total).sum() > 0', true],
    ['input.orders.groupBy("status").late.size()', 334],
    ['input.orders.sort(o, -o.total)[0].id', 999],
    ['input.orders.map(o, o.tags).flatten().unique()', ['a', 'b']],
    ['json(input.body).size()', 1000],
    ['input.orders.map(o, "#" + o.id).join(", ").size()', 5888],
    ['input.orders.all(o, o.status.matches("^(late|ok)$"))', true],
    ['input.body.contains("late") && input.body.matches("late.*ok")', true],
  ])('%s', (source, expected) => expect(yields(source, scope)).toStrictEqual(expected))

  test('what is only selected may be of any size', () => {
    const input = { rows: numbers(500_000), text: 'x'.repeat(17 * 1024 * 1024) }
    expect(yields('input.rows', { input })).toBe(input.rows)
    expect(yields('input.text.size()', { input }, { now: NOW, iterations: 1e6 })).toBe(input.text.length)
  })
})

test('the same expression over the same values ends the same way every time', () => {
  // A cache of patterns must not change what a call costs.
  const compiled = compileExpression('input.map(x, "abc".matches("a" + x)).size()')
  if (!compiled.ok) throw new Error('does not compile')
  const scope = { input: numbers(700) }
  const results = numbers(3).map(() => evaluate(compiled.expression, scope, { now: NOW, iterations: 94_000 }))
  expect(new Set(results.map((result) => JSON.stringify(result))).size).toBe(1)
})
