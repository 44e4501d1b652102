import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson, hashBytes, hashJson, hashText } from '../../src/hash.ts'
import type { Json } from '../../src/json.ts'

const reordered = (value: Json): Json => {
  if (Array.isArray(value)) return value.map(reordered)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, reordered(item)]),
  )
}

describe('hashes', () => {
  it('do not depend on the order of keys', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => hashJson(value as Json) === hashJson(reordered(value as Json))),
    )
  })

  it('are of JSON that says the same', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const parsed = JSON.parse(canonicalJson(value as Json)) as Json
        expect(parsed).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  it('are SHA-256 of UTF-8, so that others can check them', () => {
    const abc = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    expect(hashText('abc')).toBe(abc)
    expect(hashBytes(new Uint8Array([97, 98, 99]))).toBe(abc)
  })

  it('tell apart what only looks alike', () => {
    const values: Json[] = ['1', 1, [1], { 1: 1 }, null, 'null', '', [], {}, '\ud800', '\ud801', true]
    expect(new Set(values.map(hashJson)).size).toBe(values.length)
  })
})
