/**
 * Functions over text. Positions and sizes count code points, as CEL does, so that an emoji is one character.
 */
import type { Json } from '../../json.ts'
import type { Machine } from '../machine.ts'
import { raise, type Site } from '../problem.ts'
import { textOf } from '../value.ts'
import { type FunctionDefinition, integerArgument, listArgument, refuse, textArgument } from './definition.ts'
import { matchesComputed } from './pattern.ts'

const SURROGATE = /[\uD800-\uDFFF]/

/** Code points where they differ from UTF-16 units, else the text itself, which needs no copy. */
function points(machine: Machine, site: Site, text: string): string | string[] {
  machine.spendText(text.length, site)
  if (!SURROGATE.test(text)) return text
  machine.spendText(text.length * 16, site)
  return Array.from(text)
}

export const textSize = (machine: Machine, site: Site, text: string): number =>
  points(machine, site, text).length

function slicePoints(
  machine: Machine,
  site: Site,
  text: string,
  start: number,
  end: number | undefined,
): string {
  const all = points(machine, site, text)
  const last = end ?? all.length
  if (start < 0 || last > all.length || start > last) {
    raise(
      site,
      `\`substring\` from ${start} to ${last} does not lie within the ${all.length} characters of the text.`,
      [text],
    )
  }
  const part = all.slice(start, last)
  return typeof part === 'string' ? part : part.join('')
}

function split(machine: Machine, site: Site, text: string, separator: string, most: number): Json[] {
  machine.spendText(text.length, site)
  if (most === 0) return []
  if (separator === '') {
    machine.spend(text.length, site)
    const all = Array.from(text)
    return all.length <= most ? all : [...all.slice(0, most - 1), all.slice(most - 1).join('')]
  }
  const parts: string[] = []
  let from = 0
  while (parts.length + 1 < most) {
    const at = text.indexOf(separator, from)
    if (at < 0) break
    machine.spend(1, site)
    parts.push(text.slice(from, at))
    from = at + separator.length
  }
  parts.push(text.slice(from))
  return parts
}

function joinTexts(machine: Machine, site: Site, parts: readonly Json[], separator: string): string {
  const texts: string[] = []
  let length = 0
  for (const part of parts) {
    machine.spend(1, site)
    const text = textOf(machine, site, part)
    length += text.length + separator.length
    machine.allow(length, site)
    machine.spendText(text.length + separator.length, site)
    texts.push(text)
  }
  return texts.join(separator)
}

function replace(machine: Machine, site: Site, values: readonly Json[]): string {
  const text = textArgument(site, 'replace', values, 0)
  const old = textArgument(site, 'replace', values, 1)
  const fresh = textArgument(site, 'replace', values, 2)
  const most = values.length > 3 ? integerArgument(site, 'replace', values, 3) : -1
  if (old === '') return refuse(site, 'replace', values, 1, 'text that is not empty')
  const parts = split(machine, site, text, old, most < 0 ? Number.POSITIVE_INFINITY : most + 1)
  return joinTexts(machine, site, parts, fresh)
}

const two = (name: string, values: readonly Json[], site: Site): [string, string] => [
  textArgument(site, name, values, 0),
  textArgument(site, name, values, 1),
]

export const TEXT_FUNCTIONS: readonly FunctionDefinition[] = [
  {
    name: 'split',
    kind: 'function',
    signature: 'text.split(separator, limit?)',
    description: 'The parts of a text between separators; an empty separator yields its characters.',
    example: '"a,b,c".split(",")',
    result: ['a', 'b', 'c'],
    arity: [2, 3],
    method: true,
    call: (machine, site, values) => {
      const [text, separator] = two('split', values, site)
      const limit = values.length > 2 ? integerArgument(site, 'split', values, 2) : -1
      return split(machine, site, text, separator, limit < 0 ? Number.POSITIVE_INFINITY : limit)
    },
  },
  {
    name: 'join',
    kind: 'function',
    signature: 'list.join(separator?)',
    description: 'The elements of a list as one text; each prints as it would inside text.',
    example: '["a", 1, true].join(", ")',
    result: 'a, 1, true',
    arity: [1, 2],
    method: true,
    call: (machine, site, values) => {
      const separator = values.length > 1 ? textArgument(site, 'join', values, 1) : ''
      return joinTexts(machine, site, listArgument(site, 'join', values, 0), separator)
    },
  },
  {
    name: 'replace',
    kind: 'function',
    signature: 'text.replace(old, new, limit?)',
    description: 'The text with every occurrence of `old`, or the first `limit` of them, replaced.',
    example: '"a-b-c".replace("-", ".")',
    result: 'a.b.c',
    arity: [3, 4],
    method: true,
    call: replace,
  },
  {
    name: 'trim',
    kind: 'function',
    signature: 'text.trim()',
    description: 'The text without white space at both ends.',
    example: '"  a b ".trim()',
    result: 'a b',
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => {
      const text = textArgument(site, 'trim', values, 0)
      machine.spendText(text.length, site)
      return text.trim()
    },
  },
  {
    name: 'lowerAscii',
    kind: 'function',
    signature: 'text.lowerAscii()',
    description: 'The text with the letters A to Z in lower case; others stay.',
    example: '"Order-7".lowerAscii()',
    result: 'order-7',
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => {
      const text = textArgument(site, 'lowerAscii', values, 0)
      machine.spendText(text.length * 4, site)
      return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
    },
  },
  {
    name: 'upperAscii',
    kind: 'function',
    signature: 'text.upperAscii()',
    description: 'The text with the letters a to z in upper case; others stay.',
    example: '"eur".upperAscii()',
    result: 'EUR',
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => {
      const text = textArgument(site, 'upperAscii', values, 0)
      machine.spendText(text.length * 4, site)
      return text.replace(/[a-z]+/g, (letters) => letters.toUpperCase())
    },
  },
  {
    name: 'contains',
    kind: 'function',
    signature: 'text.contains(part)',
    description: 'Whether the text contains the part.',
    example: '"weft".contains("ef")',
    result: true,
    arity: [2, 2],
    method: true,
    call: (machine, site, values) => {
      const [text, part] = two('contains', values, site)
      machine.spendText(text.length, site)
      return text.includes(part)
    },
  },
  {
    name: 'startsWith',
    kind: 'function',
    signature: 'text.startsWith(prefix)',
    description: 'Whether the text begins with the prefix.',
    example: '"order-7".startsWith("order-")',
    result: true,
    arity: [2, 2],
    method: true,
    call: (machine, site, values) => {
      const [text, prefix] = two('startsWith', values, site)
      machine.spendText(prefix.length, site)
      return text.startsWith(prefix)
    },
  },
  {
    name: 'endsWith',
    kind: 'function',
    signature: 'text.endsWith(suffix)',
    description: 'Whether the text ends with the suffix.',
    example: '"report.pdf".endsWith(".pdf")',
    result: true,
    arity: [2, 2],
    method: true,
    call: (machine, site, values) => {
      const [text, suffix] = two('endsWith', values, site)
      machine.spendText(suffix.length, site)
      return text.endsWith(suffix)
    },
  },
  {
    name: 'matches',
    kind: 'function',
    signature: 'text.matches(pattern)',
    description:
      'Whether the regular expression (RE2 syntax) finds a match anywhere in the text; anchor it with `^` and `$`.',
    example: '"order-7".matches("^order-[0-9]+$")',
    result: true,
    arity: [2, 2],
    method: true,
    call: (machine, site, values) => {
      const [text, pattern] = two('matches', values, site)
      return matchesComputed(machine, site, text, pattern)
    },
  },
  {
    name: 'substring',
    kind: 'function',
    signature: 'text.substring(start, end?)',
    description: 'The characters from `start` up to, not including, `end`; positions count from 0.',
    example: '"d6cd1e2bd19e".substring(0, 7)',
    result: 'd6cd1e2',
    arity: [2, 3],
    method: true,
    call: (machine, site, values) => {
      const text = textArgument(site, 'substring', values, 0)
      const start = integerArgument(site, 'substring', values, 1)
      const end = values.length > 2 ? integerArgument(site, 'substring', values, 2) : undefined
      return slicePoints(machine, site, text, start, end)
    },
  },
  {
    name: 'indexOf',
    kind: 'function',
    signature: 'text.indexOf(part)',
    description: 'The position at which the part first occurs, or -1.',
    example: '"key=value".indexOf("=")',
    result: 3,
    arity: [2, 2],
    method: true,
    call: (machine, site, values) => {
      const [text, part] = two('indexOf', values, site)
      machine.spendText(text.length, site)
      const at = text.indexOf(part)
      return at < 0 ? at : textSize(machine, site, text.slice(0, at))
    },
  },
]
