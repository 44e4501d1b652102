import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../../src/json.ts'
import { checkAgainstSchema, checkSchema, checkTemplated } from '../../src/schema-check.ts'

const order: JsonObject = {
  type: 'object',
  required: ['orderId'],
  properties: {
    orderId: { type: 'string', pattern: '^o-[0-9]+$' },
    priority: { enum: ['low', 'high'], default: 'low' },
    lines: {
      type: 'array',
      items: { type: 'object', properties: { count: { type: 'integer', minimum: 1, default: 1 } } },
    },
  },
  additionalProperties: false,
}

const problems = (schema: JsonObject, value: Json): string[] => {
  const result = checkAgainstSchema(schema, value)
  return result.ok ? [] : result.problems.map(({ code, pointer }) => `${code} ${pointer}`)
}

describe('a value against a schema', () => {
  it('comes back with defaults, in a copy', () => {
    const input: Json = { orderId: 'o-1', lines: [{}, { count: 3 }] }
    expect(checkAgainstSchema(order, input)).toEqual({
      ok: true,
      value: { orderId: 'o-1', priority: 'low', lines: [{ count: 1 }, { count: 3 }] },
    })
    expect(input).toEqual({ orderId: 'o-1', lines: [{}, { count: 3 }] })
  })

  it('says everything that is wrong, in sentences', () => {
    const result = checkAgainstSchema(order, {
      ordrId: 'x',
      priority: 'hihg',
      lines: [{ count: 'two' }, { count: 0 }],
    })
    expect(result).toMatchObject({ ok: false })
    if (result.ok) return
    expect(result.problems.map(({ message }) => message).sort()).toEqual([
      '`count` must be >= 1.',
      '`count` must be a whole number, but is the text "two".',
      '`orderId` is missing.',
      '`ordrId` is not a key that is known here. Did you mean `orderId`? Known keys are `orderId`, `priority`, `lines`.',
      '`priority` must be one of `low`, `high`, but is the text "hihg". Did you mean `high`?',
    ])
  })

  it('reports only the form that was meant', () => {
    const schema: JsonObject = {
      anyOf: [
        { type: 'string' },
        {
          type: 'object',
          properties: { url: { type: 'string' } },
          required: ['url'],
          additionalProperties: false,
        },
      ],
    }
    expect(problems(schema, { url: 3 })).toEqual(['wrong_type /url'])
    expect(problems(schema, 3)).toEqual(['invalid_value '])
  })

  it('names the keys of which one is needed', () => {
    const schema: JsonObject = { oneOf: [{ required: ['for'] }, { required: ['until'] }] }
    expect(checkAgainstSchema(schema, {})).toMatchObject({
      problems: [{ message: 'One of `for`, `until` is missing.' }],
    })
    expect(checkAgainstSchema(schema, { for: 1, until: 2 })).toMatchObject({
      problems: [{ message: 'Only one of `for`, `until` may be given.' }],
    })
  })

  it('sees unknown keys beside patterns of keys', () => {
    const schema: JsonObject = {
      properties: { a: {} },
      patternProperties: { '^x-': {} },
      additionalProperties: false,
    }
    expect(problems(schema, { a: 1, 'x-b': 2, c: 3 })).toEqual(['unknown_key /c'])
  })

  it('keeps two patterns apart', () => {
    const schema: JsonObject = { properties: { a: { pattern: '^a$' }, b: { pattern: '^b$' } } }
    expect(problems(schema, { a: 'a', b: 'b' })).toEqual([])
    expect(problems(schema, { a: 'b', b: 'a' })).toEqual(['invalid_value /a', 'invalid_value /b'])
  })

  it('does not backtrack', () => {
    expect(problems({ pattern: '^(a+)+$' }, `${'a'.repeat(50_000)}!`)).toEqual(['invalid_value '])
  })

  it('reads draft-07 where the schema says so', () => {
    const schema = { items: [{ type: 'number' }], additionalItems: false }
    expect(problems({ ...schema, $schema: 'http://json-schema.org/draft-07/schema#' }, [1, 2])).toHaveLength(
      1,
    )
    expect(checkSchema(schema)).toMatchObject({ code: 'invalid_schema' })
  })

  it('ends on a schema that refers to itself without end', () => {
    expect(problems({ $ref: '#' }, { a: 1 })).toHaveLength(1)
  })

  it('never throws', () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.constantFrom('type', 'properties', 'items', 'anyOf', '$ref', 'pattern'),
          fc.jsonValue(),
        ),
        fc.jsonValue(),
        (schema, value) => {
          checkAgainstSchema(schema as JsonObject, value as Json)
        },
      ),
    )
  })
})

describe('a schema itself', () => {
  it.each<[string, Json]>([
    ['of an unknown type', { type: 'objekt' }],
    ['with a reference to another document', { $ref: 'https://example.com/order.json' }],
    ['with a pattern that RE2 refuses', { pattern: '(?=x)y' }],
    ['that is asynchronous', { $async: true }],
    ['that is no map', 3],
  ])('is refused %s', (_, schema) => {
    expect(checkSchema(schema)).toMatchObject({ code: 'invalid_schema' })
  })

  it('may use definitions of its own, and formats that are not checked', () => {
    const schema = {
      $defs: { id: { type: 'string', format: 'iban' } },
      properties: { id: { $ref: '#/$defs/id' } },
    }
    expect(checkSchema(schema)).toBeNull()
    expect(problems(schema, { id: 'x' })).toEqual([])
    expect(problems(schema, { id: 3 })).toEqual(['wrong_type /id'])
  })

  it('may carry an $id that another one has too', () => {
    expect(checkSchema({ $id: 'https://example.com/order', type: 'object' })).toBeNull()
    expect(checkSchema({ $id: 'https://example.com/order', type: 'string' })).toBeNull()
  })
})

describe('a config before its expressions have values', () => {
  const isOpen = (text: string): boolean => text.includes('${{')
  const templated = (schema: JsonObject, value: Json): string[] =>
    checkTemplated(schema, value, isOpen).map(({ code, pointer }) => `${code} ${pointer}`)

  it('may have an expression wherever something else is wanted', () => {
    const schema: JsonObject = {
      properties: { count: { type: 'number' }, list: { type: 'array' }, kind: { enum: ['a', 'b'] } },
      additionalProperties: false,
    }
    expect(templated(schema, { count: '${{ 1 }}', list: '${{ input.x }}', kind: '${{ input.k }}' })).toEqual(
      [],
    )
    expect(templated(schema, { count: 'one', lst: [] }).sort()).toEqual([
      'unknown_key /lst',
      'wrong_type /count',
    ])
  })

  it('may have one inside of one of several forms', () => {
    const schema: JsonObject = {
      anyOf: [{ properties: { for: { type: 'number' } }, required: ['for'] }, { required: ['until'] }],
    }
    expect(templated(schema, { for: '${{ input.x }}' })).toEqual([])
    expect(templated(schema, { for: 'x' })).not.toEqual([])
  })
})
