import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatProblem, validateDefinition, validateSource } from '../../src/validate.ts'
import { ORDER_TRIAGE, TYPES } from './node-types.ts'

/** The problems of a text, each with the very characters that it points at. */
const pointed = (text: string): string[] => {
  const result = validateSource(text, TYPES)
  return (result.ok ? [] : result.problems).map(({ code, line = 0, column = 0, length = 0 }) => {
    const written = text.split('\n')[line - 1] ?? ''
    return `${line}: ${code} ${written.slice(column - 1, column - 1 + length)}`
  })
}

const messages = (text: string): string => {
  const result = validateSource(text, TYPES)
  return (result.ok ? result.warnings : result.problems).map(({ message }) => message).join('\n')
}

describe('a valid text', () => {
  it('becomes a graph, in YAML and in JSON alike', () => {
    const yaml = validateSource(ORDER_TRIAGE, TYPES)
    if (!yaml.ok) throw new Error(JSON.stringify(yaml.problems))
    expect(yaml.graph.order).toEqual(['fetch', 'triage', 'sign_off', 'notify'])
    expect(yaml.text).toBe(ORDER_TRIAGE)
    expect(yaml.warnings).toEqual([])
    const json = validateSource(JSON.stringify(yaml.definition), TYPES)
    expect(json).toMatchObject({ ok: true, graph: { hash: yaml.graph.hash } })
  })

  it('may use anchors and flow maps', () => {
    const text = 'nodes:\n  a: &a { type: log, with: { message: hi } }\n  b: *a\n'
    expect(validateSource(text, TYPES)).toMatchObject({ ok: true })
  })
})

describe('an invalid text', () => {
  it('is reported all at once, each problem at its very characters', () => {
    const text = ORDER_TRIAGE.replace('retry: 5', 'retries: 5')
      .replace('needs: fetch', 'needs: fetsh')
      .replace('.risk > 0.7', '.riks > 0.7')
      .replace('sign_off: approved', 'sign_off: aproved')
      .replace('steps.triage.output.summary }}" }\noutput', 'steps.triag.output.summary }}" }\noutput')
      .replace('limits: {', 'limits: { agent: 1,')
    expect(pointed(text)).toEqual([
      '13: unknown_key retries',
      '16: unknown_step fetsh',
      '24: unknown_path riks',
      '31: unknown_outcome aproved',
      '32: unknown_step triag',
      '34: unknown_key agent',
    ])
  })

  it('prints as a compiler does', () => {
    const text = [
      'nodes:',
      '  triage:',
      '    type: set',
      '  notify:',
      '    type: log',
      '    needs: triage',
      '    with:',
    ].join('\n')
    const whole = `${text}\n      message: "Released: \${{ steps.triag.output.summary }}"\n`
    const result = validateSource(whole, TYPES)
    if (result.ok) throw new Error('accepted')
    expect(result.problems.map((problem) => formatProblem(problem, 'order.yaml', whole))).toEqual([
      [
        'order.yaml:8:37  /nodes/notify/with/message',
        '  unknown_step: `steps.triag` is not a step before `notify`. Did you mean `triage`?',
        '      8 |       message: "Released: ${{ steps.triag.output.summary }}"',
        '        |                                     ^^^^^',
      ].join('\n'),
    ])
  })

  it('prints only a part of a very long line', () => {
    const text = JSON.stringify({
      nodes: { a: { type: 'log', notes: 'x'.repeat(500), with: { message: '${{ steps.b.output }}' } } },
    })
    const result = validateSource(text, TYPES)
    if (result.ok) throw new Error('accepted')
    const [, , source = '', caret = ''] = formatProblem(result.problems[0] as never, 'x.json', text).split(
      '\n',
    )
    expect(source.length).toBeLessThan(140)
    expect(source[caret.indexOf('^')]).toBe('b')
  })

  it('points into block, folded, quoted and plain texts', () => {
    const text = `nodes:
  a:
    type: log
    with:
      message: |
        first line
          then \${{ steps.one.output }} and \${{ steps.two.output }}
        last
  b:
    type: log
    with:
      message: >-
        folded text
        over lines \${{ steps.three.output }}

        and on \${{ steps.four.output }}
  c:
    type: log
    with: { message: 'it''s \${{ steps.five.output }}' }
  d:
    type: log
    with: { message: "tab\\t\\u00e9 \${{ steps.six.output }}" }
  e:
    type: log
    with:
      message: plain text
        over lines \${{ steps.seven.output }}
`
    expect(pointed(text)).toEqual([
      '7: unknown_step one',
      '7: unknown_step two',
      '14: unknown_step three',
      '16: unknown_step four',
      '19: unknown_step five',
      '22: unknown_step six',
      '27: unknown_step seven',
    ])
  })

  it('in the list form keeps its own pointers', () => {
    const text = JSON.stringify({
      nodes: [
        { id: 'a', type: 'log', with: { message: 'x' } },
        { id: 'b', type: 'log', with: { message: '${{ steps.c.output }}' } },
      ],
      edges: [{ from: 'a', to: 'b', on: 'finished' }],
    })
    const result = validateSource(text, TYPES)
    if (result.ok) throw new Error('accepted')
    expect(result.problems.map(({ pointer }) => pointer)).toEqual(['/nodes/1/with/message', '/edges/0'])
  })

  it('of a wrong shape is still judged in every other respect', () => {
    const value = {
      foo: 1,
      nodes: {
        a: { type: 'log', onError: 'sometimes', with: { message: '${{ steps.b.output }}' } },
        c: { with: {} },
      },
    }
    const result = validateDefinition(value, TYPES)
    if (result.ok) throw new Error('accepted')
    expect(result.problems.map(({ code, pointer }) => `${code} ${pointer}`).sort()).toEqual([
      'invalid_value /nodes/a/onError',
      'missing_key /nodes/c',
      'unknown_key /foo',
      'unknown_step /nodes/a/with/message',
    ])
  })
})

describe('a node whose id is wrong', () => {
  it('is judged under the id that was meant, and those that need it are not told that it is missing', () => {
    const text = [
      'nodes:',
      '  fetch-user: { type: htp, needs: nobody }',
      '  tell:',
      '    type: log',
      '    needs: fetch-user',
      '    with: { message: "${{ 1 + }} ${{ steps.nope.output }} ${{ steps.fetch_user.output }}" }',
      '',
    ].join('\n')
    expect(pointed(text)).toEqual([
      '2: invalid_id fetch-user',
      '2: unknown_type htp',
      '2: unknown_step nobody',
      '6: expression_syntax  ',
      '6: unknown_step nope',
    ])
  })

  it('is never taken for the node that has that id', () => {
    const text = 'nodes:\n  a-b: { type: log, needs: a_b }\n  a_b: { type: log, needs: a-b }\n'
    expect(pointed(text)).toEqual(['2: invalid_id a-b', '3: unknown_step a-b'])
  })

  it('in the list form, with its edges', () => {
    const text = [
      'nodes: [{ id: A, type: log }, { id: b, type: log }]',
      'edges: [{ from: A, to: b }, { from: A, to: c }]',
      '',
    ].join('\n')
    expect(pointed(text)).toEqual(['1: invalid_id A', '2: unknown_step c'])
  })
})

describe('YAML that means something else than it looks like', () => {
  const node = (line: string): string => `nodes:\n  a:\n    type: log\n    ${line}\n`

  it('`!` starts a tag', () => {
    expect(pointed(node('when: !input.ready'))).toEqual(['4: yaml_tag !input.ready'])
    expect(messages(node('when: !input.ready'))).toContain('needs quotes')
  })

  it('` #` cuts an expression', () => {
    expect(pointed(node('with: \n      message: ${{ input.x # y }}'))).toEqual(['5: yaml_comment # y }}'])
  })

  it('`#orders` is a comment', () => {
    const text =
      'nodes:\n  a:\n    type: slack.post_message\n    with:\n      channel: #orders\n      text: hi\n'
    const result = validateSource(text, TYPES)
    expect(result.warnings).toMatchObject([{ code: 'yaml_comment', line: 5, column: 16, length: 7 }])
  })

  it('`{{ x }}` is a map within a map', () => {
    expect(messages(node('with: { message: {{ input.x }} }'))).toContain('An expression is written')
  })

  it('a bare `on` stays what it is, with `true` it is explained', () => {
    const needs = (key: string): string =>
      `nodes:\n  a: { type: log, with: { message: x } }\n  b: { type: log, needs: { a: { ${key}: failure } }, with: { message: x } }\n`
    expect(pointed(needs('on'))).toEqual([])
    expect(pointed(`%YAML 1.1\n---\n${needs('on')}`)).toEqual([])
    expect(messages(needs('true'))).toContain('YAML 1.1')
  })

  it.each<[string, string, string]>([
    ['a tab', 'nodes:\n\ta: 1\n', 'tab'],
    ['a duplicate key', 'name: a\nname: b\n', 'twice'],
    ['a duplicate key in JSON', '{"name": "a", "name": "b"}', 'twice'],
    ['a colon in a plain text', 'name: a: b\n', 'quotes'],
    ['a text that begins with @', 'name: @me\n', 'quotes'],
    ['a text behind quotes', 'name: "a" b\n', 'quotes'],
    ['an unclosed quote', 'name: "a\n', 'quote'],
    ['an unknown alias', 'name: *a\n', 'anchor'],
    ['two documents', 'name: a\n---\nname: b\n', 'several documents'],
    ['a map as a key', '? [a]\n: b\n', 'quotes'],
    ['infinity', 'limits: { cost: .inf }\n', 'number'],
    ['a binary value', 'name: !!binary aGk=\n', 'tag'],
    ['deep nesting', '['.repeat(50_000), 'too deeply'],
    ['deep nesting in JSON', `${'['.repeat(1000)}${']'.repeat(1000)}`, 'deep'],
    ['an alias that contains itself', 'nodes: &a\n  a: *a\n', 'itself'],
    [
      'aliases that multiply',
      Array.from(
        { length: 9 },
        (_, level) =>
          `x-${level}: &l${level} [${Array(9)
            .fill(level ? `*l${level - 1}` : '1')
            .join()}]`,
      ).join('\n'),
      'expand to more than',
    ],
  ])('%s is explained', (_, text, expected) => {
    const result = validateSource(text, TYPES)
    expect(result.ok).toBe(false)
    expect(messages(text)).toContain(expected)
  })

  it('`__proto__` is a key like any other, and no key of a workflow', () => {
    expect(pointed('__proto__: { nodes: 1 }\nnodes: { a: { type: set, with: { __proto__: 1 } } }\n')).toEqual(
      ['1: unknown_key __proto__'],
    )
    expect(({} as { nodes?: unknown }).nodes).toBeUndefined()
  })
})

describe('any text', () => {
  it('is judged without an exception', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void validateSource(text, TYPES)))
    fc.assert(fc.property(fc.json(), (text) => void validateSource(text, TYPES)))
    fc.assert(fc.property(fc.json(), (text) => void validateSource(`nodes: ${text}`, TYPES)))
  })

  it('that was valid and lost or won a few characters gets problems that lie within it', () => {
    const mutation = fc.record({
      at: fc.nat(ORDER_TRIAGE.length),
      remove: fc.nat(8),
      insert: fc.string({ maxLength: 4 }),
    })
    fc.assert(
      fc.property(mutation, ({ at, remove, insert }) => {
        const text = ORDER_TRIAGE.slice(0, at) + insert + ORDER_TRIAGE.slice(at + remove)
        const result = validateSource(text, TYPES)
        const lines = text.split('\n')
        for (const problem of [...(result.ok ? [] : result.problems), ...result.warnings]) {
          if (problem.line === undefined) continue
          expect(problem.line).toBeLessThanOrEqual(lines.length)
          expect(problem.column).toBeLessThanOrEqual((lines[problem.line - 1]?.length ?? 0) + 1)
          formatProblem(problem, 'x.yaml', text)
        }
      }),
      { numRuns: 150 },
    )
  })
})
