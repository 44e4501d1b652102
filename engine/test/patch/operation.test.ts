import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Json, jsonEquals } from '../../src/json.ts'
import { applyOperations, difference, type Operation, parseOperations } from '../../src/patch/operation.ts'

const apply = (document: Json, operations: unknown): Json => {
  const parsed = parseOperations(operations as Json)
  if ('failure' in parsed) throw new Error(parsed.failure.code)
  const result = applyOperations(document, parsed.operations)
  if (!result.ok) throw new Error(result.failure.code)
  return result.document
}

describe('RFC 6902', () => {
  it.each<[string, Json, unknown[], Json]>([
    ['adds a member', { a: 1 }, [{ op: 'add', path: '/b', value: 2 }], { a: 1, b: 2 }],
    ['replaces a member by add', { a: 1 }, [{ op: 'add', path: '/a', value: 2 }], { a: 2 }],
    ['inserts into a list', [1, 3], [{ op: 'add', path: '/1', value: 2 }], [1, 2, 3]],
    ['appends at the end', [1], [{ op: 'add', path: '/1', value: 2 }], [1, 2]],
    ['appends with -', [1], [{ op: 'add', path: '/-', value: [2] }], [1, [2]]],
    ['adds null', {}, [{ op: 'add', path: '/a', value: null }], { a: null }],
    ['replaces the whole', { a: 1 }, [{ op: 'add', path: '', value: [1] }], [1]],
    ['replaces the whole by replace', { a: 1 }, [{ op: 'replace', path: '', value: null }], null],
    ['removes a member', { a: 1, b: 2 }, [{ op: 'remove', path: '/a' }], { b: 2 }],
    ['removes an element', [1, 2, 3], [{ op: 'remove', path: '/1' }], [1, 3]],
    ['replaces a value', { a: [1, 2] }, [{ op: 'replace', path: '/a/1', value: 3 }], { a: [1, 3] }],
    [
      'moves a member',
      { a: { b: 1 }, c: {} },
      [{ op: 'move', from: '/a/b', path: '/c/d' }],
      { a: {}, c: { d: 1 } },
    ],
    ['moves an element', [1, 2, 3], [{ op: 'move', from: '/0', path: '/2' }], [2, 3, 1]],
    ['moves to itself', { a: 1 }, [{ op: 'move', from: '/a', path: '/a' }], { a: 1 }],
    ['moves a child over its parent', { a: { b: 1 } }, [{ op: 'move', from: '/a/b', path: '/a' }], { a: 1 }],
    [
      'copies',
      { a: [1] },
      [
        { op: 'copy', from: '/a', path: '/b' },
        { op: 'add', path: '/b/-', value: 2 },
      ],
      { a: [1], b: [1, 2] },
    ],
    [
      'tests',
      { a: { x: 1, y: [2] } },
      [{ op: 'test', path: '/a', value: { y: [2], x: 1 } }],
      { a: { x: 1, y: [2] } },
    ],
    [
      'reads ~1 and ~0',
      { 'a/b': 1, 'm~n': 2, '~1': 3 },
      [
        { op: 'remove', path: '/a~1b' },
        { op: 'remove', path: '/m~0n' },
      ],
      { '~1': 3 },
    ],
    ['reads ~01 as ~1', { '~1': 3 }, [{ op: 'replace', path: '/~01', value: 4 }], { '~1': 4 }],
    ['takes an empty key', { '': 1 }, [{ op: 'replace', path: '/', value: 2 }], { '': 2 }],
    ['takes digits as a key of a map', { '01': 1 }, [{ op: 'replace', path: '/01', value: 2 }], { '01': 2 }],
    ['takes - as a key of a map', {}, [{ op: 'add', path: '/-', value: 2 }], { '-': 2 }],
    ['ignores members that it does not know', {}, [{ op: 'add', path: '/a', value: 1, note: 'x' }], { a: 1 }],
  ])('%s', (_, document, operations, expected) => {
    expect(apply(document, operations)).toEqual(expected)
  })

  it.each<[string, Json, unknown, string]>([
    ['adding below nothing', {}, [{ op: 'add', path: '/a/b', value: 1 }], 'patch_does_not_apply'],
    ['adding into a text', { a: 'x' }, [{ op: 'add', path: '/a/b', value: 1 }], 'patch_does_not_apply'],
    ['inserting beyond the end', [1], [{ op: 'add', path: '/2', value: 1 }], 'patch_does_not_apply'],
    ['a leading zero', [1, 2], [{ op: 'add', path: '/01', value: 1 }], 'patch_does_not_apply'],
    ['a negative index', [1, 2], [{ op: 'add', path: '/-1', value: 1 }], 'patch_does_not_apply'],
    ['an index that is none', [1, 2], [{ op: 'add', path: '/1e0', value: 1 }], 'patch_does_not_apply'],
    ['removing what is not there', { a: 1 }, [{ op: 'remove', path: '/b' }], 'patch_does_not_apply'],
    ['removing the element behind the last', [1], [{ op: 'remove', path: '/-' }], 'patch_does_not_apply'],
    ['removing the whole', {}, [{ op: 'remove', path: '' }], 'patch_does_not_apply'],
    [
      'replacing what is not there',
      { a: 1 },
      [{ op: 'replace', path: '/b', value: 1 }],
      'patch_does_not_apply',
    ],
    [
      'moving into itself',
      { a: { b: 1 } },
      [{ op: 'move', from: '/a', path: '/a/b/c' }],
      'patch_does_not_apply',
    ],
    ['moving what is not there', {}, [{ op: 'move', from: '/a', path: '/b' }], 'patch_does_not_apply'],
    [
      'a member that objects have by nature',
      {},
      [{ op: 'test', path: '/constructor', value: 1 }],
      'patch_does_not_apply',
    ],
    ['a failed test', { a: 1 }, [{ op: 'test', path: '/a', value: '1' }], 'patch_test_failed'],
    [
      'a test of null where there is nothing',
      {},
      [{ op: 'test', path: '/a', value: null }],
      'patch_does_not_apply',
    ],
    ['no operation', {}, [], 'patch_malformed'],
    ['no list', {}, { op: 'add', path: '/a', value: 1 }, 'patch_malformed'],
    ['an unknown op', {}, [{ op: 'spam', path: '/a' }], 'patch_malformed'],
    ['a pointer without slash', {}, [{ op: 'add', path: 'a', value: 1 }], 'patch_malformed'],
    ['a lone tilde', {}, [{ op: 'add', path: '/a~b', value: 1 }], 'patch_malformed'],
    ['a missing value', {}, [{ op: 'add', path: '/a' }], 'patch_malformed'],
    ['a missing from', {}, [{ op: 'copy', path: '/a' }], 'patch_malformed'],
    ['a missing path', {}, [{ op: 'remove' }], 'patch_malformed'],
  ])('refuses %s', (_, document, operations, code) => {
    expect(() => apply(document, operations)).toThrow(code)
  })

  it('applies all or nothing, and never changes the document', () => {
    const document = { a: { b: [1] } }
    const before = structuredClone(document)
    expect(() =>
      apply(document, [
        { op: 'add', path: '/a/b/-', value: 2 },
        { op: 'test', path: '/a/b/0', value: 9 },
      ]),
    ).toThrow()
    expect(apply(document, [{ op: 'add', path: '/a/b/-', value: 2 }])).toEqual({ a: { b: [1, 2] } })
    expect(document).toEqual(before)
  })

  it('treats __proto__ as a key', () => {
    const result = apply({}, [{ op: 'add', path: '/__proto__', value: { polluted: true } }])
    expect(Object.keys(result as object)).toEqual(['__proto__'])
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
    expect(apply(result, [{ op: 'remove', path: '/__proto__' }])).toEqual({})
  })

  it('names the nearest key, and the operation that was meant', () => {
    const result = applyOperations({ nodes: { fetch: { with: {} } } }, [
      { op: 'replace', path: '/nodes/fetsh/with', value: 1 },
    ])
    expect(result).toMatchObject({
      failure: { operation: 0, corrected: { op: 'replace', path: '/nodes/fetch/with', value: 1 } },
    })
  })
})

describe('differences', () => {
  it('lead from any value to any other', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (before, after) => {
        const result = applyOperations(before as Json, difference(before as Json, after as Json))
        expect(result.ok && jsonEquals(result.document, after as Json)).toBe(true)
      }),
    )
  })

  it('lead back from any patch', () => {
    const path = fc.constantFrom('', '/a', '/a/b', '/b', '/b/0', '/b/-', '/c')
    const operation = fc.oneof(
      fc.record({ op: fc.constantFrom('add', 'replace'), path, value: fc.jsonValue() }),
      fc.record({ op: fc.constant('remove'), path }),
      fc.record({ op: fc.constantFrom('move', 'copy'), path, from: path }),
    )
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 6 }), (operations) => {
        const before: Json = { a: { b: 1 }, b: [1, { c: 2 }], c: null }
        const result = applyOperations(before, operations as Operation[])
        if (!result.ok) return
        const back = applyOperations(result.document, difference(result.document, before))
        expect(back.ok && jsonEquals(back.document, before)).toBe(true)
      }),
    )
  })
})
