import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findJsonError, parseJsonText, positionOf } from '../../src/api/json-text.ts'

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

test('what JSON.parse takes is taken, what it refuses is refused with a place in the text', () => {
  const mutated = fc
    .tuple(fc.json(), fc.nat(), fc.nat(3), fc.string({ maxLength: 3 }))
    .map(([text, at, drop, add]) => {
      const start = at % (text.length + 1)
      return text.slice(0, start) + add + text.slice(start + drop)
    })
  fc.assert(
    fc.property(mutated, (text) => {
      if (isJson(text)) {
        expect(parseJsonText(text)).toEqual(JSON.parse(text))
      } else {
        expect(() => parseJsonText(text)).toThrow('is not JSON')
        const { offset } = findJsonError(text)
        expect(offset).toBeGreaterThanOrEqual(0)
        expect(offset).toBeLessThanOrEqual(text.length)
      }
    }),
    { numRuns: 3000 },
  )
})

test('the place is the first character that no JSON could have there', () => {
  // Up to the place the text is the beginning of some JSON: cutting JSON short is noticed at its end only
  // (or at the word, number or escape that was cut).
  fc.assert(
    fc.property(fc.json(), fc.nat(), (text, at) => {
      const cut = text.slice(0, at % text.length)
      if (isJson(cut) || /[\d.eE+-]$|[tfn][a-z]*$|\\(u[0-9a-f]{0,3})?$/i.test(cut)) return
      expect(findJsonError(cut).offset).toBe(cut.length)
    }),
    { numRuns: 2000 },
  )
})

test('a text of megabytes is read without a stack of that size', () => {
  const long = `{"a":"${'x'.repeat(5_000_000)}`
  expect(findJsonError(long)).toEqual({ offset: long.length, expected: 'the closing quote of a text' })
  const deep = '['.repeat(500_000)
  expect(findJsonError(deep).offset).toBe(deep.length)
})

test('lines and columns count from 1', () => {
  expect(positionOf('a\nbc\nd', 4)).toEqual({ line: 2, column: 3 })
  expect(positionOf('', 0)).toEqual({ line: 1, column: 1 })
})
