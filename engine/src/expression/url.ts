/**
 * Values inside a URL: percent-encoded, and never able to change where the request goes.
 *
 * Invariants: the author's own text ends the host before the first value (checked when the template is compiled), so
 * that scheme, host and port are constant; no value forms a `.` or `..` segment, which would climb out of the author's
 * path. A URL that is one expression is exempt: then the author hands over the whole of it.
 */

/** Scheme, `//`, a host, and the character that ends it; nothing that URL parsers skip may stand in for the host. */
const FIXED_ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#\\\p{C}]+[/?#]/iu

/** Whether the text before the first value fixes scheme, host and port. */
export const fixesOrigin = (prefix: string): boolean => FIXED_ORIGIN.test(prefix)

export function originMessage(parts: readonly (string | { readonly source: string })[]): string {
  const whole = parts
    .map((part, index) =>
      typeof part === 'string'
        ? JSON.stringify(part)
        : index === 0
          ? part.source
          : `urlEncode(${part.source})`,
    )
    .join(' + ')
  return `A value inside a URL cannot change its scheme, host or port, and is percent-encoded. If this one may, make the whole URL one expression: \`\${{ ${whole} }}\`.`
}

const DOT_SEGMENT = /^(?:\.|%2e){1,2}$/i

/** Whether the path segment around `start`–`end`, where a value was put in, means "here" or "one up". */
export function formsDotSegment(url: string, start: number, end: number): boolean {
  let from = start
  let to = end
  while (from > 0 && !/[/\\?#]/.test(url[from - 1] as string)) from--
  while (to < url.length && !/[/\\?#]/.test(url[to] as string)) to++
  // URL parsers skip white space that the author may have left around the value.
  return DOT_SEGMENT.test(url.slice(from, to).replace(/\s/g, '')) && !/[?#]/.test(url.slice(0, from))
}
