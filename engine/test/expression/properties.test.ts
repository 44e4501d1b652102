import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  compileExpression,
  compileTemplate,
  evaluate,
  functions,
  renderTemplate,
  type Scope,
} from '../../src/expression/index.ts'
import { type Json, normalise } from '../../src/json.ts'
import { NOW, SCOPE } from './scope.ts'

/** Names that occur in the scope, in JavaScript, and nowhere. */
const name = fc.constantFrom(
  'input',
  'steps',
  'item',
  'vars',
  'x',
  'y',
  'count',
  'order',
  'items',
  'note',
  '__proto__',
  'constructor',
  'length',
  'tags',
)
const macros = ['all', 'exists', 'exists_one', 'map', 'filter', 'sort', 'groupBy']
const callable = functions.map((each) => each.name).filter((each) => !macros.includes(each))

const literal = fc.oneof(
  fc.constantFrom(
    'null',
    'true',
    'false',
    '0',
    '1',
    '2.5',
    '-1',
    '1e308',
    '9007199254740993',
    '""',
    '"a,b"',
    '"2026-01-01"',
    '"[1,2]"',
    '"(a+)+$"',
    "'\\u00e9'",
    '[]',
    '{}',
  ),
  fc.string({ maxLength: 8 }).map((text) => JSON.stringify(text)),
)

const { source } = fc.letrec<{ source: string }>((tie) => ({
  source: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    literal,
    name,
    fc.constantFrom(
      'input',
      'input.order',
      'input.order.items',
      'input.tags',
      'input.count',
      'input.note',
      'steps.triage.output',
      'vars',
    ),
    fc.tuple(tie('source'), name).map(([value, key]) => `${value}.${key}`),
    fc.tuple(tie('source'), tie('source')).map(([value, key]) => `${value}[${key}]`),
    fc
      .tuple(
        tie('source'),
        fc.constantFrom('+', '-', '*', '/', '%', '==', '!=', '<', '<=', '>', '>=', '&&', '||', 'in'),
        tie('source'),
      )
      .map(([a, operator, b]) => `(${a} ${operator} ${b})`),
    fc.tuple(tie('source'), tie('source'), tie('source')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
    tie('source').map((value) => `(!${value})`),
    tie('source').map((value) => `(-${value})`),
    fc.array(tie('source'), { maxLength: 3 }).map((items) => `[${items.join(', ')}]`),
    fc
      .array(fc.tuple(tie('source'), tie('source')), { maxLength: 2 })
      .map((entries) => `{${entries.map((entry) => entry.join(': ')).join(', ')}}`),
    fc
      .tuple(tie('source'), fc.constantFrom(...macros), fc.constantFrom('x', 'y', 'item'), tie('source'))
      .map(([list, macro, variable, body]) => `${list}.${macro}(${variable}, ${body})`),
    fc
      .tuple(fc.constantFrom(...callable), fc.array(tie('source'), { maxLength: 3 }))
      .map(([call, values]) => `${call}(${values.join(', ')})`),
    fc
      .tuple(tie('source'), fc.constantFrom(...callable), fc.array(tie('source'), { maxLength: 2 }))
      .map(([value, call, values]) => `${value}.${call}(${values.join(', ')})`),
  ),
}))

/** With the names that only exist inside a macro bound to something, so that more of what is generated compiles. */
const bound = source.map((text) => `[input].map(x, [input.order].map(y, ${text}))[0][0]`)

const CODES = ['expression_failed', 'expression_too_expensive']

describe('whatever is written', () => {
  test('any text compiles or is refused with sentences that point into it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), source, bound), (text) => {
        const compiled = compileExpression(text)
        if (compiled.ok) return
        expect(compiled.problems.length).toBeGreaterThan(0)
        for (const { message, column, length } of compiled.problems) {
          expect(message).toMatch(/[.?`]$/)
          expect(column).toBeGreaterThan(0)
          expect(length).toBeGreaterThan(0)
          expect(column - 1).toBeLessThanOrEqual(text.length)
        }
      }),
      { numRuns: 3000 },
    )
  })

  test('an evaluation never throws, yields JSON, and yields the same again', () => {
    let evaluated = 0
    let yielded = 0
    fc.assert(
      fc.property(fc.oneof(source, bound), fc.jsonValue(), (text, item) => {
        const compiled = compileExpression(text)
        if (!compiled.ok) return
        evaluated++
        const scope: Scope = { ...SCOPE, item: item as Json, index: 0 }
        const before = JSON.stringify(scope)
        const result = evaluate(compiled.expression, scope, { now: NOW, iterations: 2000 })
        expect(JSON.stringify(scope)).toBe(before)
        expect(evaluate(compiled.expression, scope, { now: NOW, iterations: 2000 })).toStrictEqual(result)
        if (!result.ok) {
          expect(CODES).toContain(result.problem.code)
          expect(result.problem.message).not.toContain('could not be evaluated')
          return
        }
        yielded++
        const normal = normalise(result.value)
        expect(normal.ok && normal.value).toStrictEqual(result.value)
      }),
      { numRuns: 6000 },
    )
    // The generator has to reach evaluation, or this proves nothing.
    expect(evaluated).toBeGreaterThan(1500)
    expect(yielded).toBeGreaterThan(500)
  })

  test('nothing of JavaScript is reachable: what is read was put in', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'length', 'call'),
          { minLength: 1, maxLength: 4 },
        ),
        fc.constantFrom('input', 'input.tags', 'input.orderId', 'steps', 'vars', '[1]', '{}', '"a"', 'now()'),
        (path, root) => {
          const compiled = compileExpression(root + path.map((key) => `[${JSON.stringify(key)}]`).join(''))
          // Below `steps`, names that no step can have are refused even earlier.
          if (!compiled.ok) return
          expect(evaluate(compiled.expression, SCOPE, { now: NOW }).ok).toBe(false)
        },
      ),
    )
  })
})

const json = fc.jsonValue().map((value) => (normalise(value) as { value: Json }).value)

describe('values survive', () => {
  test('a whole expression yields the very value', () => {
    fc.assert(
      fc.property(json, (input) => {
        const template = compileTemplate({
          a: '${{ input }}',
          b: ['${{ toJson(input) }}', '${{ json(toJson(input)) == input }}'],
        })
        if (!template.ok) throw new Error('does not compile')
        const result = renderTemplate(template.template, { input }, { now: NOW })
        expect(result.ok && result.value).toStrictEqual({ a: input, b: [JSON.stringify(input), true] })
      }),
    )
  })

  test('text without expressions, and any text escaped, comes out as it went in', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom('$', '${{', '}}', '{', '$$'))), (pieces) => {
        const text = pieces.join('')
        // A `$` right before an expression would escape it; that text has no spelling of its own.
        fc.pre(!text.includes('$${{'))
        const template = compileTemplate(text.replaceAll('${{', () => '$${{'))
        expect(template.ok && renderTemplate(template.template, {}, { now: NOW })).toStrictEqual({
          ok: true,
          value: text,
        })
      }),
    )
  })

  test('interpolated text keeps what is around it', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (before, value, after) => {
        fc.pre(!before.includes('${{') && !before.endsWith('$') && !after.includes('${{'))
        const template = compileTemplate(`${before}\${{ input }}${after}.`)
        const result = template.ok && renderTemplate(template.template, { input: value }, { now: NOW })
        expect(result).toStrictEqual({ ok: true, value: `${before}${value}${after}.` })
      }),
    )
  })
})

describe('a value in a URL', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc
      .array(
        fc.constantFrom(
          '.',
          '..',
          '/',
          '\\',
          '@',
          ':',
          '//',
          '?',
          '#',
          '%2e',
          '%2f',
          '\t',
          '\n',
          ' ',
          'evil.example',
          'http:',
          '[::1]',
          '\u3002',
          '\uff0e',
          'a',
        ),
      )
      .map((parts) => parts.join('')),
  )

  test('never changes the origin, nor leaves the path', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(
          'https://shop.example/',
          'http://shop.example:8080/orders/',
          'https://user@shop.example/a/',
          'https://shop.example?q=',
          'https://shop.example#',
          'HTTPS://shop.example/x?y=1&z=',
        ),
        hostile,
        fc.constantFrom('', '/', '/tail', '?q=1', '#f', '/../x'),
        hostile,
        (prefix, first, middle, second) => {
          const template = compileTemplate(`${prefix}\${{ input.a }}${middle}\${{ input.b }}`, { '': 'url' })
          if (!template.ok) throw new Error(template.problems[0]?.message)
          const result = renderTemplate(template.template, { input: { a: first, b: second } }, { now: NOW })
          if (!result.ok) {
            expect(result.problem.message).toContain('segment of the path')
            return
          }
          const [expected, actual] = [new URL(prefix), new URL(result.value as string)]
          expect([actual.origin, actual.username, actual.password]).toEqual([
            expected.origin,
            expected.username,
            expected.password,
          ])
          if (middle !== '/../x') expect(actual.pathname.startsWith(expected.pathname)).toBe(true)
        },
      ),
      { numRuns: 3000 },
    )
  })

  test('what cannot be placed safely does not compile, whatever surrounds it', () => {
    fc.assert(
      fc.property(hostile, fc.string(), (prefix, value) => {
        fc.pre(!prefix.includes('${{') && !prefix.endsWith('$'))
        const template = compileTemplate(`${prefix}\${{ input }}/x`, { '': 'url' })
        if (!template.ok) return
        const origin = (input: string) => {
          const result = renderTemplate(template.template, { input }, { now: NOW })
          return result.ok && URL.canParse(result.value as string)
            ? new URL(result.value as string).origin
            : undefined
        }
        const [constant, changed] = [origin('safe'), origin(value)]
        if (constant !== undefined && changed !== undefined) expect(changed).toBe(constant)
      }),
      { numRuns: 3000 },
    )
  })
})
