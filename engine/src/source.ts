/**
 * The author's text: YAML 1.2 or JSON in, a JSON value out, and for every part of the value where it was written.
 *
 * Invariants: never throws; bounded in size, depth and the expansion of aliases; positions are 1-based, columns in UTF-16
 * units.
 */
import { type Document, isAlias, isCollection, isMap, isScalar, isSeq, parseDocument } from 'yaml'
import type { Problem } from './errors.ts'
import { type Json, MAX_JSON_DEPTH } from './json.ts'
import { Converter, type Finding } from './source/convert.ts'
import { explainYaml } from './source/explain.ts'
import { rawOffset } from './source/position.ts'

export interface Position {
  readonly line: number
  readonly column: number
  /** Characters, within the line. */
  readonly length: number
}

export interface LocateOptions {
  /** Where the key stands, not its value. */
  readonly key?: boolean
  /** Where in the text value, from 0. */
  readonly offset?: number
  readonly length?: number
}

export interface Source {
  readonly ok: true
  readonly value: Json
  readonly warnings: readonly Problem[]
  /** Of a part that was not written: where the nearest part around it was. */
  locate(pointer: string, options?: LocateOptions): Position | null
}

export type ParsedSource = Source | { readonly ok: false; readonly problems: Problem[] }

/** A YAML parser reads about a megabyte per second. */
const MAX_YAML_CHARACTERS = 2 * 1024 * 1024
const MAX_JSON_CHARACTERS = 16 * 1024 * 1024
/** What follows the first errors is mostly their echo. */
const MAX_SYNTAX_PROBLEMS = 5

export function parseSource(text: string): ParsedSource {
  if (text.length > MAX_JSON_CHARACTERS) return tooLarge(text, MAX_JSON_CHARACTERS)
  const json = parseJson(text)
  if (json !== undefined) {
    let tree: YamlTree | undefined
    const locate: Source['locate'] = (pointer, options) => {
      if (text.length > MAX_YAML_CHARACTERS) return null
      tree ??= new YamlTree(text)
      return tree.locate(pointer, options)
    }
    return { ok: true, value: json, warnings: [], locate }
  }
  if (text.length > MAX_YAML_CHARACTERS) return tooLarge(text, MAX_YAML_CHARACTERS)
  return new YamlTree(text).parsed()
}

function tooLarge(text: string, limit: number): ParsedSource {
  const message = `The document has ${text.length} characters; at most ${limit} are read. Split the workflow.`
  return { ok: false, problems: [{ code: 'source_too_large', message, pointer: '' }] }
}

/** The fast way for programs; whatever is not plainly right goes the other way, which can say what is wrong. */
function parseJson(text: string): Json | undefined {
  if (!/^\s*[{[]/.test(text)) return undefined
  try {
    const value = JSON.parse(text) as Json
    return countKeys(value, 0) === keysWritten(text) ? value : undefined
  } catch {
    return undefined
  }
}

/** Keys that stand twice vanish in `JSON.parse`; then the numbers differ. */
function keysWritten(text: string): number {
  let count = 0
  for (const [, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g)) if (colon) count++
  return count
}

function countKeys(value: Json, depth: number): number {
  if (typeof value !== 'object' || value === null) return 0
  if (depth > MAX_JSON_DEPTH) return Number.NaN
  let count = 0
  if (Array.isArray(value)) for (const item of value) count += countKeys(item, depth + 1)
  else {
    for (const key of Object.keys(value)) count += 1 + countKeys(value[key] as Json, depth + 1)
  }
  return count
}

/** A text that does not fit the stack is nested beyond every limit. */
const UNREADABLE: Problem = {
  code: 'yaml_too_deep',
  message: 'The document is nested too deeply.',
  pointer: '',
}

class YamlTree {
  readonly #text: string
  /** Offset of the first character of each line. */
  readonly #lines: readonly number[]
  readonly #document: Document.Parsed | null

  constructor(text: string) {
    this.#text = text
    this.#document = parseTree(text)
    this.#lines = [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)]
  }

  parsed(): ParsedSource {
    const document = this.#document
    if (!document) return { ok: false, problems: [UNREADABLE] }
    const tags = document.warnings.filter(({ code }) => code === 'TAG_RESOLVE_FAILED')
    const exhausted = document.errors.filter(({ code }) => code === 'RESOURCE_EXHAUSTION')
    const all = exhausted.length > 0 ? exhausted.slice(0, 1) : [...document.errors, ...tags]
    const errors = all.slice(0, MAX_SYNTAX_PROBLEMS)
    const problems = errors.map((error): Problem => {
      const [start, end] = error.pos
      return { ...explainYaml(error, this.#text), pointer: '', ...this.#span(start, end) }
    })
    if (problems.length > 0) return { ok: false, problems }
    const converter = new Converter(document, this.#text)
    const value = converter.convert(document.contents, '', 0)
    const withPosition = ({ code, message, pointer, start, end }: Finding): Problem => ({
      code,
      message,
      pointer,
      ...this.#span(start, end),
    })
    if (converter.problems.length > 0) return { ok: false, problems: converter.problems.map(withPosition) }
    return {
      ok: true,
      value,
      warnings: converter.warnings.map(withPosition),
      locate: (pointer, options) => this.locate(pointer, options),
    }
  }

  locate(pointer: string, { key: wantsKey = false, offset, length }: LocateOptions = {}): Position | null {
    let node: unknown = this.#document?.contents
    let key: unknown = null
    let found = true
    for (const segment of pointer.split('/').slice(1)) {
      const next = this.#child(node, segment.replaceAll('~1', '/').replaceAll('~0', '~'))
      if (!next) {
        found = false
        break
      }
      key = next.key
      node = next.value
    }
    if (found && !wantsKey && isScalar(node) && node.range && typeof node.value === 'string') {
      const [start, end] = node.range
      if (offset === undefined || isAlias(node)) return this.#span(start, end)
      const raw = this.#text.slice(start, end)
      const from = start + rawOffset(raw, node.type, node.value, offset)
      return this.#span(from, length === undefined ? end : from + Math.max(1, length))
    }
    const holder =
      found && !wantsKey && !isCollection(node)
        ? (rangeOf(node) ?? rangeOf(key))
        : (rangeOf(key) ?? rangeOf(node))
    if (!holder) return null
    const [start, end] = holder
    return this.#span(start, holder === rangeOf(node) && isCollection(node) ? start + 1 : end)
  }

  #child(node: unknown, segment: string): { key: unknown; value: unknown } | null {
    const container = isAlias(node) && this.#document ? node.resolve(this.#document) : node
    if (isSeq(container)) {
      const value = /^\d+$/.test(segment) ? container.items[Number(segment)] : undefined
      return value === undefined ? null : { key: null, value }
    }
    if (!isMap(container)) return null
    const pair = container.items.find(
      ({ key }) =>
        isScalar(key) && (key.value === segment || (typeof key.value !== 'string' && key.source === segment)),
    )
    return pair ? { key: pair.key, value: pair.value } : null
  }

  #span(start: number, end: number): Position {
    const from = Math.min(start, this.#text.length)
    const line = lastAtMost(this.#lines, from)
    const lineStart = this.#lines[line] as number
    const lineEnd = (this.#lines[line + 1] ?? this.#text.length + 1) - 1
    return {
      line: line + 1,
      column: from - lineStart + 1,
      length: Math.max(1, Math.min(end, lineEnd) - from),
    }
  }
}

/** Index of the last element that is not above a value; the first is not. */
function lastAtMost(sorted: readonly number[], value: number): number {
  let low = 0
  let high = sorted.length - 1
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if ((sorted[middle] as number) <= value) low = middle
    else high = middle - 1
  }
  return low
}

function parseTree(text: string): Document.Parsed | null {
  try {
    return parseDocument(text, { prettyErrors: false, version: '1.2', merge: false, logLevel: 'error' })
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

function rangeOf(node: unknown): readonly [number, number, number] | null {
  return (node as { range?: readonly [number, number, number] | null } | null | undefined)?.range ?? null
}
