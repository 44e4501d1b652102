/**
 * Values with `${{ }}` in their texts: a node's config, the output of a run. Compiled once into the parts that change
 * and the parts that do not, so that rendering touches only what changes.
 *
 * Invariants: a text that is exactly one expression yields its value with its type, any other text yields text; `raw`
 * fields are never read for expressions; a template without expressions renders to the very same value.
 */
import { escapePointer, type Json, type JsonObject } from '../json.ts'
import { compileBare, compileExpression, type Program, problemOf } from './compile.ts'
import { percentEncode } from './functions/encoding.ts'
import { type EvaluationLimits, MAX_RESULT_CHARACTERS, Machine, type Scope, tooLarge } from './machine.ts'
import { type ExpressionProblem, problemAt, raise } from './problem.ts'
import type { Reference } from './reference.ts'
import { type Segment, scan } from './scan.ts'
import { fixesOrigin, formsDotSegment, originMessage } from './url.ts'
import { measure, put, textOf } from './value.ts'

/**
 * `raw`: never interpolated, with all that is below it. `url`: values are percent-encoded and can change neither
 * scheme, host nor port, unless the whole text is one expression. `expression`: the text is a bare expression.
 */
export type FieldMode = 'raw' | 'url' | 'expression'

/** Where in the template an expression stands. */
interface Placement {
  /** JSON Pointer inside the template. */
  readonly pointer: string
  /** Where in the text at `pointer` the expression's own source starts, from 0; columns count from there. */
  readonly offset: number
}

export type TemplateProblem = ExpressionProblem & Placement
export type TemplateReference = Reference & Placement

export interface Template {
  readonly references: readonly TemplateReference[]
  /** Holds no expression: rendering it yields the same value every time. */
  readonly constant: boolean
  /** For this folder only. */
  readonly piece: Piece
}

export type CompiledTemplate =
  | { readonly ok: true; readonly template: Template }
  | {
      readonly ok: false
      readonly problems: TemplateProblem[]
      /** Of the expressions that are well-formed: what they refer to can be judged beside the problems. */
      readonly references: readonly TemplateReference[]
    }

export type Rendered =
  | { readonly ok: true; readonly value: Json }
  | { readonly ok: false; readonly problem: TemplateProblem }

interface Placed extends Placement {
  readonly program: Program
}

type Piece =
  | { readonly kind: 'constant'; readonly value: Json }
  | { readonly kind: 'expression'; readonly placed: Placed }
  | { readonly kind: 'text'; readonly parts: readonly (string | Placed)[]; readonly url: boolean }
  | { readonly kind: 'list'; readonly items: readonly Piece[] }
  /** `entries` are those of `base` that change. */
  | {
      readonly kind: 'map'
      readonly base: JsonObject
      readonly entries: readonly (readonly [string, Piece])[]
    }

/** A field pattern and how many of its segments the walk has matched. */
interface Field {
  readonly segments: readonly string[]
  readonly mode: FieldMode
}

/**
 * @param fields modes by JSON Pointer, where `*` stands for any one segment: `/url`, `/cases/*`
 */
export function compileTemplate(
  value: Json,
  fields: Readonly<Record<string, FieldMode>> = {},
): CompiledTemplate {
  const compiler = new TemplateCompiler()
  const patterns = Object.entries(fields).map(([pattern, mode]) => ({
    segments: pattern.split('/').slice(1).map(unescapePointer),
    mode,
  }))
  const piece = compiler.compile(value, '', patterns)
  const { problems, references } = compiler
  if (problems.length > 0) return { ok: false, problems, references }
  return { ok: true, template: { references, constant: piece.kind === 'constant', piece } }
}

const unescapePointer = (segment: string): string => segment.replaceAll('~1', '/').replaceAll('~0', '~')

const NO_FIELDS: readonly Field[] = []

class TemplateCompiler {
  readonly problems: TemplateProblem[] = []
  readonly references: TemplateReference[] = []

  compile(value: Json, pointer: string, fields: readonly Field[]): Piece {
    const mode = fields.find(({ segments }) => segments.length === 0)?.mode
    if (mode === 'raw') return { kind: 'constant', value }
    if (typeof value === 'string') {
      return mode === 'expression' ? this.#bare(value, pointer) : this.#text(value, pointer, mode === 'url')
    }
    if (typeof value !== 'object' || value === null) return { kind: 'constant', value }
    return Array.isArray(value) ? this.#list(value, pointer, fields) : this.#map(value, pointer, fields)
  }

  #list(value: Json[], pointer: string, fields: readonly Field[]): Piece {
    const items = value.map((item, index) =>
      this.compile(item, `${pointer}/${index}`, below(fields, String(index))),
    )
    const same = items.every((piece, index) => piece.kind === 'constant' && piece.value === value[index])
    if (same) return { kind: 'constant', value }
    if (items.every((piece) => piece.kind === 'constant')) {
      return { kind: 'constant', value: items.map((piece) => piece.value) }
    }
    return { kind: 'list', items }
  }

  #map(value: JsonObject, pointer: string, fields: readonly Field[]): Piece {
    let base = value
    const entries: (readonly [string, Piece])[] = []
    for (const key of Object.keys(value)) {
      const piece = this.compile(value[key] as Json, `${pointer}/${escapePointer(key)}`, below(fields, key))
      if (piece.kind !== 'constant') entries.push([key, piece])
      else if (piece.value !== value[key]) {
        if (base === value) base = { ...value }
        put(base, key, piece.value)
      }
    }
    return entries.length === 0 ? { kind: 'constant', value: base } : { kind: 'map', base, entries }
  }

  #bare(written: string, pointer: string): Piece {
    return this.#place(compileBare(written), { pointer, offset: 0 }) ?? { kind: 'constant', value: written }
  }

  #text(written: string, pointer: string, url: boolean): Piece {
    if (!written.includes('${{')) return { kind: 'constant', value: written }
    const segments = scan(written)
    const pieces = segments.map((segment) => this.#segment(segment, pointer, written))
    const [first] = pieces
    if (pieces.length === 1 && first) return first
    if (url) this.#checkOrigin(segments, pointer)
    const parts = pieces.map((piece) => (piece.kind === 'expression' ? piece.placed : textPiece(piece)))
    return { kind: 'text', parts, url }
  }

  #segment(segment: Segment, pointer: string, written: string): Piece {
    switch (segment.kind) {
      case 'text':
        return { kind: 'constant', value: segment.text }
      case 'expression':
        return (
          this.#place(compileExpression(segment.source), { pointer, offset: segment.start }) ?? {
            kind: 'constant',
            value: '',
          }
        )
      case 'open':
        this.problems.push({
          ...problemAt(
            { source: written, start: 0, end: 3 },
            'expression_syntax',
            segment.closedByForce
              ? 'This `${{` is not closed: the `}}` behind it lies within a text or a map. Check quotes and braces.'
              : 'This `${{` has no closing `}}`. For a literal `${{` write `$${{`.',
          ),
          pointer,
          offset: segment.start,
        })
        return { kind: 'constant', value: '' }
    }
  }

  #place(compiled: ReturnType<typeof compileExpression>, placement: Placement): Piece | undefined {
    if (!compiled.ok) {
      for (const problem of compiled.problems) this.problems.push({ ...problem, ...placement })
      return undefined
    }
    const { references, program } = compiled.expression
    for (const reference of references) this.references.push({ ...reference, ...placement })
    return { kind: 'expression', placed: { program, ...placement } }
  }

  #checkOrigin(segments: readonly Segment[], pointer: string): void {
    const [first, second] = segments
    const prefix = first?.kind === 'text' ? first.text : ''
    const value = first?.kind === 'text' ? second : first
    if (value?.kind !== 'expression' || fixesOrigin(prefix)) return
    const { source } = value
    const parts = segments.map((segment) =>
      segment.kind === 'text' ? segment.text : segment.kind === 'expression' ? segment : '',
    )
    this.problems.push({
      ...problemAt({ source, start: 0, end: source.length }, 'expression_syntax', originMessage(parts)),
      pointer,
      offset: value.start,
    })
  }
}

/** What was refused leaves no text; its problem is recorded. */
const textPiece = (piece: Piece): string =>
  piece.kind === 'constant' && typeof piece.value === 'string' ? piece.value : ''

/** The fields that may still match below a segment. */
function below(fields: readonly Field[], segment: string): readonly Field[] {
  if (fields.length === 0) return NO_FIELDS
  return fields
    .filter(({ segments: [first] }) => first === segment || first === '*')
    .map(({ segments, mode }) => ({ segments: segments.slice(1), mode }))
}

/** A constant template yields the same value object each time: whoever receives one does not change it. */
export function renderTemplate(template: Template, scope: Scope, limits: EvaluationLimits): Rendered {
  if (template.piece.kind === 'constant') return { ok: true, value: template.piece.value }
  const renderer = new Renderer(new Machine(scope, limits))
  try {
    return { ok: true, value: renderer.render(template.piece) }
  } catch (raised) {
    const { pointer, offset, program } = renderer.current as Placed
    return { ok: false, problem: { ...problemOf(raised, program.site), pointer, offset } }
  }
}

/** Several large values may meet in one template, each within the limit of an expression. */
const MAX_TEMPLATE_CHARACTERS = 4 * MAX_RESULT_CHARACTERS

class Renderer {
  /** The expression that is being evaluated: what a problem is about. */
  current: Placed | undefined
  readonly #machine: Machine
  #characters = 0

  constructor(machine: Machine) {
    this.#machine = machine
  }

  render(piece: Piece): Json {
    switch (piece.kind) {
      case 'constant':
        return piece.value
      case 'expression':
        return this.#evaluate(piece.placed)
      case 'text':
        return piece.url ? this.#url(piece.parts) : this.#text(piece.parts)
      case 'list':
        return piece.items.map((item) => this.render(item))
      case 'map': {
        const result = { ...piece.base }
        for (const [key, entry] of piece.entries) put(result, key, this.render(entry))
        return result
      }
    }
  }

  #evaluate(placed: Placed): Json {
    this.current = placed
    this.#machine.refill()
    const { code, site } = placed.program
    const value = code(this.#machine)
    if (typeof value === 'string') this.#characters += value.length
    else if (typeof value === 'object' && value !== null) this.#characters += measure(value, site)
    if (this.#characters > MAX_TEMPLATE_CHARACTERS) tooLarge(site)
    return value
  }

  #text(parts: readonly (string | Placed)[]): string {
    let text = ''
    for (const part of parts) {
      text += typeof part === 'string' ? part : textOf(this.#machine, part.program.site, this.#evaluate(part))
      if (text.length > MAX_RESULT_CHARACTERS) tooLarge((this.current as Placed).program.site)
    }
    return text
  }

  #url(parts: readonly (string | Placed)[]): string {
    let url = ''
    const values: { readonly placed: Placed; readonly start: number; readonly end: number }[] = []
    for (const part of parts) {
      if (typeof part === 'string') {
        url += part
        continue
      }
      const start = url.length
      url += percentEncode(textOf(this.#machine, part.program.site, this.#evaluate(part)))
      this.#machine.allow(url.length, part.program.site)
      values.push({ placed: part, start, end: url.length })
    }
    for (const { placed, start, end } of values) {
      if (!formsDotSegment(url, start, end)) continue
      this.current = placed
      raise(
        placed.program.site,
        'The value makes `.` or `..` a segment of the path, which would lead to another place. Check it before: refuse it in a `branch`, or put it into `query`.',
      )
    }
    return url
  }
}
