/**
 * Finds `${{ … }}` in a text.
 *
 * Owns: where an expression ends. `}}` inside a text literal, a map or a comment's line does not end it, so the
 * expression is read as far as its quotes and braces need; `$${{` is a literal `${{`.
 */

export type Segment =
  | { readonly kind: 'text'; readonly text: string }
  /** `start` is where the expression's own source begins in the text, without the white space before it. */
  | { readonly kind: 'expression'; readonly source: string; readonly start: number }
  /** No `}}` belongs to the `${{` at `start`. */
  | { readonly kind: 'open'; readonly start: number; readonly closedByForce: boolean }

export function scan(text: string): Segment[] {
  const segments: Segment[] = []
  let literal = ''
  let from = 0
  for (;;) {
    const open = text.indexOf('${{', from)
    if (open < 0) break
    if (open > from && text[open - 1] === '$') {
      literal += `${text.slice(from, open - 1)}\${{`
      from = open + 3
      continue
    }
    literal += text.slice(from, open)
    if (literal !== '') segments.push({ kind: 'text', text: literal })
    literal = ''
    const end = expressionEnd(text, open + 3)
    if (end < 0) {
      segments.push({ kind: 'open', start: open, closedByForce: text.includes('}}', open) })
      return segments
    }
    const inner = text.slice(open + 3, end)
    segments.push({
      kind: 'expression',
      source: inner.trim(),
      start: open + 3 + (inner.length - inner.trimStart().length),
    })
    from = end + 2
  }
  literal += text.slice(from)
  if (literal !== '' || segments.length === 0) segments.push({ kind: 'text', text: literal })
  return segments
}

/** Where the `}}` stands that ends the expression begun at `from`, or -1. */
function expressionEnd(text: string, from: number): number {
  let braces = 0
  let at = from
  while (at < text.length) {
    const character = text[at]
    if (character === '"' || character === "'") {
      at = literalEnd(text, at, character)
      if (at < 0) return -1
      continue
    }
    if (character === '/' && text[at + 1] === '/') {
      while (at < text.length && text[at] !== '\n' && !(text[at] === '}' && text[at + 1] === '}')) at++
      continue
    }
    if (character === '{') braces++
    else if (character === '}') {
      if (braces > 0) braces--
      else if (text[at + 1] === '}') return at
    }
    at++
  }
  return -1
}

/** Just behind the text literal that opens at `open`, or -1 when it never closes. As in the parser, a backslash hides the next character in raw literals too. */
function literalEnd(text: string, open: number, quote: string): number {
  const delimiter = text.startsWith(quote.repeat(3), open) ? quote.repeat(3) : quote
  let at = open + delimiter.length
  while (at < text.length) {
    if (text.startsWith(delimiter, at)) return at + delimiter.length
    at += text[at] === '\\' ? 2 : 1
  }
  return -1
}
