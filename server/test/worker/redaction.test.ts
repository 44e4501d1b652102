import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { redactBytes, redactKnown, redactText, redactValue, secretsOf } from '../../src/worker/redaction.ts'

const secret = fc
  .string({ unit: 'grapheme', minLength: 12, maxLength: 60 })
  .filter((text) => text.isWellFormed() && text.trim().length >= 10)
const surrounding = fc.string({ maxLength: 40 }).filter((text) => text.isWellFormed())

const base64Bytes = (text: string): string => Buffer.from(text).toString('base64')

describe('redaction', () => {
  it('finds a known value in every form in which it usually travels', () => {
    fc.assert(
      fc.property(secret, surrounding, surrounding, (value, before, after) => {
        const secrets = secretsOf({ token: value })
        const forms = [
          value,
          encodeURIComponent(value),
          JSON.stringify(value).slice(1, -1),
          base64Bytes(value),
        ]
        for (const form of forms) {
          expect(redactKnown(`${before} ${form} ${after}`, secrets)).toContain('[redacted]')
          // A placeholder cannot stand in the text that is left.
          fc.pre(!'[redacted]'.includes(form))
          expect(redactKnown(` ${form} `, secrets)).not.toContain(form)
        }
      }),
    )
  })

  it('finds it in base64 of a longer text, wherever it begins', () => {
    fc.assert(
      fc.property(secret, surrounding, surrounding, (value, before, after) => {
        const secrets = secretsOf({ password: value })
        expect(redactKnown(base64Bytes(`${before}:${value}${after}`), secrets)).toContain('[redacted]')
        expect(
          redactKnown(Buffer.from(`${before}:${value}${after}`).toString('base64url'), secrets),
        ).toContain('[redacted]')
      }),
    )
  })

  it('leaves short values and everything else alone', () => {
    const secrets = secretsOf({ user: 'ann', token: 'long-enough-token' })
    expect(
      redactValue({ name: 'ann', list: ['annual', 1, null, true] }, (text) => redactKnown(text, secrets)),
    ).toEqual({
      name: 'ann',
      list: ['annual', 1, null, true],
    })
  })

  it('takes a value out of bytes and leaves every other byte as it is', () => {
    fc.assert(
      fc.property(secret, fc.uint8Array(), fc.uint8Array(), (value, before, after) => {
        const secrets = secretsOf({ token: value })
        const bytes = Buffer.concat([before, Buffer.from(value), after])
        const redacted = Buffer.from(redactBytes(bytes, secrets))
        expect(redacted.includes(Buffer.from(value))).toBe(false)
        const untouched = Uint8Array.from([0, 255, 254, 13, 10])
        expect(redactBytes(untouched, secrets)).toEqual(untouched)
      }),
    )
  })

  it.each([
    ['the answer was secret-value-1', 'the answer was [redacted]'],
    ['“the answer was secret-value-1…”', '“the answer was [redacted]…”'],
    ['secret-value-1 is another one', 'secret-value-1 is another one'],
  ])('takes out the beginning of a value that a preview has cut off: %s', (text, expected) => {
    expect(redactText(text, secretsOf({ token: 'secret-value-123456' }))).toBe(expected)
  })

  it('reaches keys, lists and what is nested in the credential', () => {
    const secrets = secretsOf({ headers: { 'x-key': 'nested-secret-1' }, pin: 123456789 })
    const redacted = redactValue({ 'nested-secret-1': [{ a: 'is nested-secret-1 and 123456789' }] }, (text) =>
      redactKnown(text, secrets),
    )
    expect(redacted).toEqual({ '[redacted]': [{ a: 'is [redacted] and [redacted]' }] })
  })

  it.each([
    ['Authorization: Bearer abcdefgh12345678', 'Authorization: Bearer [redacted]'],
    ['key sk-proj-abcdefghijklmnop1234', 'key [redacted]'],
    ['xoxb-123456789-abc', '[redacted]'],
    [
      'https://hooks.slack.com/services/T0/B0/abc failed',
      'https://hooks.slack.com/services/[redacted] failed',
    ],
    ['postgres://ann:hunter2@db/weft', 'postgres://[redacted]@db/weft'],
    ['nothing to see, order 42', 'nothing to see, order 42'],
  ])('takes what looks like a token out of a text for people: %s', (text, expected) => {
    expect(redactText(text, [])).toBe(expected)
  })
})
