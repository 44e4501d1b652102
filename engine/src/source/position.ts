/**
 * Where a part of a text value stands in the YAML that it was written in: quotes, escapes, folding and the indentation of
 * block scalars lie between.
 */
import { Scalar } from 'yaml'

const ESCAPE_LENGTHS: Readonly<Record<string, number>> = { x: 4, u: 6, U: 10 }

/**
 * @param raw the scalar as written, quotes or block header included
 * @param value the text that it means
 * @param offset into `value`
 * @returns the offset into `raw`
 */
export function rawOffset(raw: string, type: Scalar.Type | undefined, value: string, offset: number): number {
  const double = type === Scalar.QUOTE_DOUBLE
  const single = type === Scalar.QUOTE_SINGLE
  const block = type === Scalar.BLOCK_LITERAL || type === Scalar.BLOCK_FOLDED
  const indent = block ? indentOf(raw) : 0
  let at = block ? lineStart(raw, raw.indexOf('\n') + 1, indent) : double || single ? 1 : 0
  for (let index = 0; index < offset && at < raw.length; index++) {
    at = skipTo(raw, at, value[index] as string, double)
    if (double && raw[at] === '\\') at += ESCAPE_LENGTHS[raw[at + 1] as string] ?? 2
    else if (single && raw.startsWith("''", at)) at += 2
    else {
      const newline = raw[at] === '\n'
      at++
      if (newline && block) at = lineStart(raw, at, indent)
    }
  }
  return Math.min(skipTo(raw, at, value[offset] ?? '', double), raw.length)
}

/** Line breaks and indentation stand in the source where the value has one blank, or nothing. */
function skipTo(raw: string, at: number, character: string, double: boolean): number {
  if (raw[at] === character || (double && raw[at] === '\\' && raw[at + 1] !== '\n')) return at
  if (character === ' ' && raw[at] === '\n') return at
  let next = at
  while (next < raw.length && raw[next] !== character) {
    if (double && raw[next] === '\\' && raw[next + 1] === '\n') next++
    else if (!/\s/.test(raw[next] as string)) break
    next++
  }
  return next < raw.length && (raw[next] === character || double) ? next : at
}

function indentOf(raw: string): number {
  for (const line of raw.split('\n').slice(1))
    if (line.trim() !== '') return line.length - line.trimStart().length
  return 0
}

function lineStart(raw: string, at: number, indent: number): number {
  let next = at
  while (next < at + indent && raw[next] === ' ') next++
  return next
}
