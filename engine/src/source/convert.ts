/**
 * From a YAML syntax tree to a JSON value, with the problems of what JSON cannot express, and hints where YAML read
 * something other than what was probably meant.
 *
 * Invariants: bounded in depth and, aliases expanded, in size; keys are what was written (`on` stays `on`), `__proto__`
 * included.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Pair,
  Scalar,
  type YAMLMap,
} from 'yaml'
import { escapePointer, type Json, type JsonObject, MAX_JSON_DEPTH } from '../json.ts'

export interface Finding {
  readonly code: string
  readonly message: string
  readonly pointer: string
  /** Offsets in the text. */
  readonly start: number
  readonly end: number
}

const MAX_ALIASED_VALUES = 10_000

export class Converter {
  readonly problems: Finding[] = []
  readonly warnings: Finding[] = []
  readonly #document: Document.Parsed
  readonly #text: string
  readonly #open = new Set<unknown>()
  #aliased = 0

  constructor(document: Document.Parsed, text: string) {
    this.#document = document
    this.#text = text
  }

  convert(node: unknown, pointer: string, depth: number): Json {
    if (depth > MAX_JSON_DEPTH) {
      this.#problem(
        'yaml_too_deep',
        `The document is nested deeper than ${MAX_JSON_DEPTH} levels.`,
        pointer,
        node,
      )
      return null
    }
    if (this.#open.size > 0 && ++this.#aliased > MAX_ALIASED_VALUES) return null
    if (isAlias(node)) return this.#alias(node, pointer, depth)
    if (isScalar(node)) return this.#scalar(node, pointer)
    if (isSeq(node))
      return node.items.map((item, index) => this.convert(item, `${pointer}/${index}`, depth + 1))
    if (isMap(node)) return this.#map(node, pointer, depth)
    return null
  }

  #alias(alias: Alias, pointer: string, depth: number): Json {
    const target = alias.resolve(this.#document)
    if (!target) {
      const message = `There is no anchor \`&${alias.source}\` before this alias. A text that begins with \`*\` needs quotes.`
      this.#problem('yaml_alias', message, pointer, alias)
      return null
    }
    if (this.#open.has(target)) {
      this.#problem('yaml_alias', `\`*${alias.source}\` contains itself.`, pointer, alias)
      return null
    }
    this.#open.add(target)
    const value = this.convert(target, pointer, depth)
    this.#open.delete(target)
    if (this.#aliased > MAX_ALIASED_VALUES && !this.problems.some(({ code }) => code === 'yaml_alias')) {
      const message = `The aliases of this document expand to more than ${MAX_ALIASED_VALUES} values. Write the values out.`
      this.#problem('yaml_alias', message, pointer, alias)
    }
    return value
  }

  #scalar(node: Scalar, pointer: string): Json {
    const { value } = node
    switch (typeof value) {
      case 'string':
        this.#checkCut(node, value, pointer)
        return value
      case 'boolean':
        return value
      case 'number':
        if (Number.isFinite(value)) return value
        this.#problem(
          'invalid_number',
          `\`${node.source}\` is no number that JSON can express.`,
          pointer,
          node,
        )
        return null
    }
    if (value === null) return null
    const message = `A value with the tag \`${node.tag ?? '!'}\` cannot be expressed in JSON. Write plain text, numbers, lists and maps.`
    this.#problem('yaml_tag', message, pointer, node)
    return null
  }

  /** A ` #` in a plain text ends it: an expression that is cut in two is never meant. */
  #checkCut(node: Scalar, value: string, pointer: string): void {
    if (
      node.type !== Scalar.PLAIN ||
      value.indexOf('}}', value.lastIndexOf('${{')) >= 0 ||
      !value.includes('${{')
    )
      return
    const [, end = 0] = node.range ?? []
    if (!/^[ \t]+#/.test(this.#text.slice(end))) return
    const message =
      '`#` begins a comment in YAML, so the expression ends before it. Put the whole text into quotes.'
    this.problems.push({ code: 'yaml_comment', message, pointer, ...this.#commentAt(end) })
  }

  #map(node: YAMLMap, pointer: string, depth: number): JsonObject {
    const result: JsonObject = {}
    for (const pair of node.items) {
      const key = this.#key(pair, pointer)
      if (key === null) continue
      const below = `${pointer}/${escapePointer(key)}`
      const value = this.convert(pair.value, below, depth + 1)
      if (value === null) this.#checkEmpty(pair, below)
      // Plain assignment to `__proto__` would change the prototype instead of adding a key.
      if (key === '__proto__') {
        Object.defineProperty(result, key, { value, enumerable: true, writable: true, configurable: true })
      } else result[key] = value
    }
    return result
  }

  #key({ key }: Pair, pointer: string): string | null {
    if (isScalar(key)) {
      if (typeof key.value === 'string') return key.value
      if (key.source !== undefined && key.source !== '') return key.source
    } else if (isMap(key) && this.#text[(key.range?.[0] ?? 0) - 1] === '{') {
      const message =
        '`{{ … }}` is a map within a map in YAML. An expression is written `${{ … }}`, here best in quotes.'
      this.#problem('yaml_syntax', message, pointer, key)
      return null
    }
    this.#problem('yaml_syntax', 'Keys are texts; this one is not. Put it into quotes.', pointer, key)
    return null
  }

  /** `channel: #orders` has no value, only a comment. */
  #checkEmpty({ key, value }: Pair, pointer: string): void {
    if (!isScalar(key) || !key.range || (isScalar(value) && value.source)) return
    const after = /^["']?[ \t]*:[ \t]+(#[^\s#].*)/.exec(this.#text.slice(key.range[1], key.range[1] + 200))
    if (!after) return
    const comment = /^\S+/.exec(after[1] as string)?.[0] ?? '#'
    const message = `\`#\` begins a comment in YAML, so this key has no value. If \`${comment}\` was meant, put it into quotes.`
    this.warnings.push({ code: 'yaml_comment', message, pointer, ...this.#commentAt(key.range[1]) })
  }

  #commentAt(from: number): { start: number; end: number } {
    const start = this.#text.indexOf('#', from)
    const newline = this.#text.indexOf('\n', start)
    return { start, end: newline < 0 ? this.#text.length : newline }
  }

  #problem(code: string, message: string, pointer: string, node: unknown): void {
    const [start = 0, end = 0] = (node as { range?: readonly number[] | null } | null)?.range ?? []
    this.problems.push({ code, message, pointer, start, end })
  }
}
