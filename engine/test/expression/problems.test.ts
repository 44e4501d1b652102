import { describe, expect, test } from 'vitest'
import { compileBare, compileExpression, nearestName } from '../../src/expression/index.ts'
import { failure, problemsOf } from './scope.ts'

const first = (source: string) => {
  const [problem] = problemsOf(source)
  return `${problem?.code} ${problem?.column}+${problem?.length}: ${problem?.message}`
}

describe('what is wrong is said where it stands, with what to write instead', () => {
  test.each([
    ['', 'expression_syntax', 'is empty'],
    ['1 +', 'expression_syntax', 'ends where a value should follow'],
    ['(1', 'expression_syntax', '`)` should follow'],
    ['a b', 'expression_syntax', '3+1: `b` cannot stand here'],
    ['input.n = 3', 'expression_syntax', 'Comparison is `==`'],
    ['input.a and input.b', 'expression_syntax', '9+3: `and` cannot stand here. For `and` write `&&`'],
    ['true & false', 'expression_syntax', '`&&`'],
    ['input.name | upper', 'expression_syntax', 'no pipes'],
    ['$json.x', 'expression_syntax', 'Names have no `$`'],
    ['"abc', 'expression_syntax', 'second quote'],
    ["'a\nb'", 'expression_syntax', 'line break'],
    ['"\\q"', 'expression_syntax', 'escape'],
    ['if (x) 1', 'expression_syntax', 'condition ? a : b'],
    ['input.in', 'expression_syntax', '["in"]'],
    ['input.?x', 'expression_syntax', 'default(x.y, null)'],
    ['b"x"', 'expression_syntax', 'Bytes'],
    [`1${'0'.repeat(400)}`, 'expression_syntax', 'larger than any'],
    ['inptu.x', 'unknown_name', '1+5: `inptu` is not a name that exists here. Did you mean `input`?'],
    ['orderId', 'unknown_name', '`input.orderId`'],
    ['True', 'unknown_name', 'Write `true`'],
    ['None', 'unknown_name', 'Write `null`'],
    ['now > 1', 'unknown_name', '`now()`'],
    ['[1].map(elem, elme)', 'unknown_name', 'Did you mean `elem`?'],
    [
      'input.order-id',
      'unknown_name',
      '7+8: In `order-id` the hyphen is a minus. To select a key with a hyphen, write `input["order-id"]`',
    ],
    ['steps.my-step.output', 'unknown_name', '`steps.my_step`'],
    [
      'steps.a.outptu',
      'unknown_name',
      '9+6: `steps.a` has no `outptu`; it has `output`, `status`, `error`. Did you mean `steps.a.output`?',
    ],
    ['steps.a.body.id', 'unknown_name', 'Did you mean `steps.a.output.body`?'],
    ['run.name', 'unknown_name', '`startedAt`'],
    ['workflow.id', 'unknown_name', '`name`'],
    ['uper("a")', 'unknown_function', 'Did you mean `text.upperAscii()`?'],
    [
      '"a".toLowerCase()',
      'unknown_function',
      '5+11: There is no function `toLowerCase`. Did you mean `text.lowerAscii()`?',
    ],
    ['"a".splitt(",")', 'unknown_function', '`text.split(separator, limit?)`'],
    ['xyzzy(1)', 'unknown_function', 'Functions are `split`'],
    ['constructor(1)', 'unknown_function', 'There is no function `constructor`'],
    ['filter([1], x, x > 1)', 'unknown_function', 'Write `list.filter(x, condition)`'],
    ['input.x.default(1)', 'unknown_function', 'default(value, other)'],
    ['(1.5).round()', 'unknown_function', 'Write `round(number, digits?)`'],
    ['split("a")', 'expression_syntax', 'Write `text.split(separator, limit?)`'],
    ['has(input)', 'expression_syntax', '`has` takes one selection'],
    ['default(1)', 'expression_syntax', '`default` takes'],
    ['[1].filter(1, true)', 'expression_syntax', 'name of its variable'],
    ['[1].sort(1, 2, 3)', 'expression_syntax', 'name of a variable'],
    ['"a".matches("(")', 'expression_syntax', '13+3: The pattern is not a valid regular expression'],
    ['"a".matches("(?=x)")', 'expression_syntax', 'without look-around'],
  ])('%s', (source, code, part) => {
    expect(first(source)).toContain(part)
    expect(first(source)).toMatch(new RegExp(`^${code} `))
  })

  test('every problem of an expression at once', () => {
    expect(problemsOf('inptu.x + uper(1) + secrets.KEY').map((problem) => problem.code)).toEqual([
      'unknown_name',
      'unknown_function',
      'secret_reference',
    ])
  })

  test('a wrong part is reported once, however often it stands there as a whole', () => {
    expect(problemsOf('input.a-b-c')).toHaveLength(1)
  })
})

describe('secrets are never readable', () => {
  test.each([
    'secrets.SHOP_TOKEN',
    'env.SHOP_TOKEN',
    'env["SHOP_TOKEN"]',
    'secret.SHOP_TOKEN',
    'credentials.SHOP_TOKEN',
  ])('%s is refused with the way to write a credential', (source) => {
    const [problem] = problemsOf(`"Bearer " + ${source}`)
    expect(problem).toMatchObject({ code: 'secret_reference', column: 13, length: source.length })
    expect(problem?.message).toContain('`credential: shop_token`')
    expect(problem?.message).toContain('WEFT_CREDENTIAL_SHOP_TOKEN')
  })

  test('a variable of a macro may have any name', () => {
    expect(compileExpression('input.list.map(env, env.name)').ok).toBe(true)
  })
})

describe('nesting is bounded', () => {
  test('three macros, not four', () => {
    const nested = (depth: number) =>
      Array.from({ length: depth }).reduce<string>((inner, _, level) => `[1].map(v${level}, ${inner})`, '1')
    expect(compileExpression(nested(3)).ok).toBe(true)
    expect(problemsOf(nested(4))[0]?.code).toBe('expression_too_deep')
  })

  test.each([
    ['parentheses', `${'('.repeat(300)}1${')'.repeat(300)}`],
    ['negations', `${'!'.repeat(16_000)}true`],
    ['sums', Array.from({ length: 3000 }, () => '1').join('+')],
    ['selections', `input${'.a'.repeat(5000)}`],
    ['lists', `${'['.repeat(300)}${']'.repeat(300)}`],
  ])('%s', (_, source) => {
    expect(problemsOf(source)[0]?.code).toBe('expression_too_deep')
  })

  test('a long expression is refused, long before anything else gives in', () => {
    expect(problemsOf(`"${'x'.repeat(20_000)}"`)[0]?.message).toContain('at most 16384')
  })

  test('a hundred alternatives are fine', () => {
    const source = Array.from({ length: 100 }, (_, index) => `input.a == ${index}`).join(' || ')
    expect(compileExpression(source).ok).toBe(true)
  })
})

describe('problems at run time', () => {
  test('a missing key lists the nearest and the existing ones, and the two ways out', () => {
    expect(failure('input.order.itms[0]')).toEqual({
      code: 'expression_failed',
      message:
        '`input.order` has no key `itms`. Did you mean `items`? Its keys are `id`, `items`. If it may be missing, ask with `has(input.order.itms)` or write `default(input.order.itms, 0)`.',
      column: 13,
      length: 4,
      types: ['map'],
    })
  })

  test('of many long keys only some are listed, shortened', () => {
    const input = Object.fromEntries(
      Array.from({ length: 5000 }, (_, index) => [`${'k'.repeat(500)}${index}`, index]),
    )
    const { message } = failure('input.x', { input })
    expect(message).toContain('and 4988 more')
    expect(message.length).toBeLessThan(1500)
  })

  test('the type of what has no keys is named', () => {
    expect(failure('input.orderId.body').message).toContain('`input.orderId` is text, which has no keys')
    expect(failure('input.tags.size').message).toContain('write `input.tags.size(…)`')
    expect(failure('input.tags.name').message).toContain('`input.tags[0]`')
  })

  test('an index beyond the list', () => {
    expect(failure('input.tags[2]').message).toContain('the list has 2 elements, from 0 to 1')
    expect(failure('input.tags[-1]').message).toContain('x[size(x) - 1]')
    expect(failure('input.tags[0.5]').message).toContain('whole number')
    expect(failure('input.tags[input.orderId]').types).toEqual(['list', 'text'])
  })

  test('operators name what they got', () => {
    expect(failure('input.count + input.note')).toMatchObject({
      types: ['number', 'null'],
      column: 1,
      length: 24,
    })
    expect(failure('input.count - input.orderId').message).toContain('double(x)')
    expect(failure('input.order + input.order').message).toContain('merge(a, b)')
    expect(failure('"a" + input.tags').message).toContain('toJson(x)')
    expect(failure('1 < "2"').types).toEqual(['number', 'text'])
    expect(failure('"a" in "abc"').message).toContain('text.contains("part")')
    expect(failure('{input.tags: 1}').message).toContain('must be text')
  })
})

describe('bare expressions', () => {
  test('columns count in the text as written, wrapped or not', () => {
    for (const [written, column] of [
      ['inptu.x > 1', 1],
      ['${{ inptu.x > 1 }}', 5],
      ['  ${{inptu.x > 1}}  ', 6],
    ] as const) {
      const compiled = compileBare(written)
      expect(compiled.ok ? [] : compiled.problems.map((problem) => problem.column)).toEqual([column])
    }
    const compiled = compileBare('${{ steps.a.output }}')
    expect(compiled.ok && compiled.expression.references[0]).toMatchObject({ column: 5, length: 14 })
    expect(compiled.ok && compiled.expression.source).toBe('steps.a.output')
  })

  test('two wrapped parts are no expression', () => {
    const compiled = compileBare('${{ input.a }} > ${{ input.b }}')
    expect(compiled.ok ? '' : compiled.problems[0]?.message).toContain('without `${{ }}`')
  })
})

describe('the nearest name', () => {
  test.each([
    ['triag', ['fetch', 'triage'], 'triage'],
    ['retrun', ['return', 'run'], 'return'],
    ['Input', ['input'], 'input'],
    ['x', ['ab', 'y'], 'y'],
    ['cat', ['dog', 'cow'], undefined],
    ['postgres_database', ['postgresql_databse'], 'postgresql_databse'],
    ['abc', [], undefined],
  ])('%s', (name, candidates, expected) => {
    expect(nearestName(name, candidates)).toBe(expected)
  })
})

describe('references', () => {
  const references = (source: string) => {
    const compiled = compileExpression(source)
    if (!compiled.ok) throw new Error(compiled.problems[0]?.message)
    return compiled.expression.references.map(({ root, path, computed, guarded, column, length }) => ({
      read: [root, ...path].join('/'),
      ...(computed && { computed }),
      ...(guarded && { guarded }),
      text: source.slice(column - 1, column - 1 + length),
    }))
  }

  test.each([
    [
      'steps.triage.output.risk > 0.7',
      [{ read: 'steps/triage/output/risk', text: 'steps.triage.output.risk' }],
    ],
    [
      'steps["triage"].output.list[0].x',
      [{ read: 'steps/triage/output/list/0/x', text: 'steps["triage"].output.list[0].x' }],
    ],
    [
      'steps[input.name].output',
      [
        { read: 'steps', computed: true, text: 'steps' },
        { read: 'input/name', text: 'input.name' },
      ],
    ],
    [
      'steps.a.output[input.i].x',
      [
        { read: 'steps/a/output', computed: true, text: 'steps.a.output' },
        { read: 'input/i', text: 'input.i' },
      ],
    ],
    ['has(steps.a.output.x)', [{ read: 'steps/a/output/x', guarded: true, text: 'steps.a.output.x' }]],
    [
      'default(steps.a.output.x, steps.b.output)',
      [
        { read: 'steps/a/output/x', guarded: true, text: 'steps.a.output.x' },
        { read: 'steps/b/output', text: 'steps.b.output' },
      ],
    ],
    [
      'steps.a.output.items.map(steps, steps.id)',
      [{ read: 'steps/a/output/items', text: 'steps.a.output.items' }],
    ],
    ['steps.a.output.size()', [{ read: 'steps/a/output', text: 'steps.a.output' }]],
    ['steps', [{ read: 'steps', text: 'steps' }]],
    [
      'vars.x + run.id',
      [
        { read: 'vars/x', text: 'vars.x' },
        { read: 'run/id', text: 'run.id' },
      ],
    ],
    ['now()', []],
  ])('%s', (source, expected) => {
    expect(references(source)).toEqual(expected)
  })

  test('each segment has its place', () => {
    const compiled = compileExpression(' steps.triag["output"].x')
    expect(compiled.ok && compiled.expression.references[0]?.positions).toEqual([
      { column: 8, length: 5 },
      { column: 14, length: 8 },
      { column: 24, length: 1 },
    ])
  })
})
