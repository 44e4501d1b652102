/**
 * JSON text from outside: parsed, bounded in depth, and with the place of the mistake when it is malformed.
 *
 * `JSON.parse` names a position in some of its messages only; people who wrote the text by hand need it in all of them.
 */
import { type Json, MAX_JSON_DEPTH } from '@weft/engine'
import { ApiError } from './errors.ts'

/** Envelope around a value that itself may be `MAX_JSON_DEPTH` deep. */
const MAX_BODY_DEPTH = MAX_JSON_DEPTH + 8

export function parseJsonText(text: string): Json {
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch (error) {
    const { offset, expected } = findJsonError(text)
    const { line, column } = positionOf(text, offset)
    const found =
      offset >= text.length ? 'the text ends' : `there is ${JSON.stringify(text.slice(offset, offset + 1))}`
    throw ApiError.of(
      'malformed_json',
      `The body is not JSON: at line ${line}, column ${column} ${found} where ${expected} must stand. Correct the text there and send it again.`,
      {
        problems: [{ code: 'malformed_json', message: `expected ${expected}`, pointer: '', line, column }],
        cause: error,
      },
    )
  }
  if (deeperThan(value, MAX_BODY_DEPTH)) {
    throw ApiError.of(
      'too_deep',
      `The body is nested deeper than ${MAX_BODY_DEPTH} levels. Flatten it, or send the deep part as text.`,
    )
  }
  return value
}

/** By an own stack: a recursive walk would meet the very stack overflow that the limit is there to prevent. */
function deeperThan(root: Json, limit: number): boolean {
  if (typeof root !== 'object' || root === null) return false
  let level: object[] = [root]
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > limit) return true
    const next: object[] = []
    for (const container of level) {
      for (const item of Array.isArray(container) ? container : Object.values(container)) {
        if (typeof item === 'object' && item !== null) next.push(item)
      }
    }
    level = next
  }
  return false
}

export function positionOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset)
  const lastBreak = before.lastIndexOf('\n')
  let line = 1
  for (let at = before.indexOf('\n'); at >= 0; at = before.indexOf('\n', at + 1)) line++
  return { line, column: offset - lastBreak }
}

const WHITESPACE = /[ \t\n\r]*/y
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)(?!\w)/y

/** Where text that `JSON.parse` refused stops being JSON, and what would have to stand there. */
export function findJsonError(text: string): { offset: number; expected: string } {
  const open: ('{' | '[')[] = []
  let offset = 0
  let state: 'value' | 'first' | 'key' | 'colon' | 'after' = 'value'
  const match = (pattern: RegExp): boolean => {
    pattern.lastIndex = offset
    const found = pattern.exec(text)
    if (found) offset = pattern.lastIndex
    return found !== null
  }
  /** A loop instead of one pattern: a text may be megabytes long, more than a pattern's own stack holds. */
  const readString = (): { offset: number; expected: string } | null => {
    offset++
    for (; offset < text.length; offset++) {
      const character = text[offset] as string
      if (character === '"') {
        offset++
        return null
      }
      if (character === '\\') {
        if (!match(ESCAPE)) return { offset, expected: 'a valid escape (such as \\n or \\u00e9)' }
        offset--
      } else if (character < ' ') {
        return { offset, expected: 'an escape (line breaks and control characters are written \\n, \\u0000)' }
      }
    }
    return { offset, expected: 'the closing quote of a text' }
  }
  for (;;) {
    match(WHITESPACE)
    const character = text[offset]
    const container = open.at(-1)
    if (state === 'colon') {
      if (character !== ':') return { offset, expected: 'a colon' }
      offset++
      state = 'value'
    } else if (state === 'after') {
      if (container === undefined) return { offset, expected: 'the end of the text' }
      if (character === ',') {
        offset++
        state = container === '{' ? 'key' : 'value'
      } else if (character === (container === '{' ? '}' : ']')) {
        offset++
        open.pop()
      } else {
        return { offset, expected: `a comma or the closing ${container === '{' ? 'brace' : 'bracket'}` }
      }
    } else if (state === 'key' || (state === 'first' && container === '{')) {
      if (state === 'first' && character === '}') {
        offset++
        open.pop()
        state = 'after'
      } else if (character !== '"') {
        return { offset, expected: 'a key in double quotes' }
      } else {
        const mistake = readString()
        if (mistake) return mistake
        state = 'colon'
      }
    } else if (state === 'first' && character === ']') {
      offset++
      open.pop()
      state = 'after'
    } else if (character === '{' || character === '[') {
      offset++
      open.push(character)
      state = 'first'
    } else if (character === '"') {
      const mistake = readString()
      if (mistake) return mistake
      state = 'after'
    } else if (match(SCALAR)) {
      state = 'after'
    } else {
      return { offset, expected: 'a value' }
    }
  }
}
