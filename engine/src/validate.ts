/**
 * Everything that is wrong with what an author wrote, at once: text to value, value to normal form, normal form to graph,
 * and each problem with its place in the text.
 *
 * Invariant: never throws, whatever the text.
 */
import { type CompileOptions, compile } from './compile.ts'
import type { Definition } from './definition.ts'
import type { Problem } from './errors.ts'
import type { Graph } from './graph.ts'
import type { Json } from './json.ts'
import type { NodeTypes } from './node-type.ts'
import { parseSource, type Source } from './source.ts'
import { normaliseDefinition } from './workflow.ts'

export type ValidatedDefinition =
  | {
      readonly ok: true
      readonly definition: Definition
      readonly graph: Graph
      readonly warnings: Problem[]
    }
  | { readonly ok: false; readonly problems: Problem[]; readonly warnings: Problem[] }

export type ValidatedSource =
  | {
      readonly ok: true
      readonly definition: Definition
      readonly graph: Graph
      readonly warnings: Problem[]
      readonly text: string
    }
  | { readonly ok: false; readonly problems: Problem[]; readonly warnings: Problem[] }

/** A definition that arrived as JSON. Pointers are those of the document as it came, in either form. */
export function validateDefinition(
  value: Json,
  types: NodeTypes,
  options: CompileOptions = {},
): ValidatedDefinition {
  const normalised = normaliseDefinition(value)
  const { partial } = normalised
  const compiled = partial ? compile(partial.definition, types, options) : null
  const toAuthor = (problem: Problem): Problem => ({
    ...problem,
    pointer: partial ? partial.toAuthor(problem.pointer) : problem.pointer,
  })
  const warnings = (compiled?.warnings ?? []).map(toAuthor)
  const found = compiled && !compiled.ok ? compiled.problems.map(toAuthor) : []
  if (!normalised.ok) {
    // What was cut out for being of a wrong shape may be missed by the rest; the shape is the cause.
    const known = new Set(normalised.problems.map(({ pointer }) => pointer))
    const others = found.filter(({ pointer, code }) => code !== 'missing_key' && !known.has(pointer))
    return { ok: false, problems: [...normalised.problems, ...others], warnings }
  }
  if (!compiled?.ok) return { ok: false, problems: found, warnings }
  return { ok: true, definition: normalised.definition, graph: compiled.graph, warnings }
}

/** A definition as its author wrote it. Problems and warnings carry line and column, in the order of the text. */
export function validateSource(
  text: string,
  types: NodeTypes,
  options: CompileOptions = {},
): ValidatedSource {
  const source = parseSource(text)
  if (!source.ok) return { ok: false, problems: source.problems, warnings: [] }
  const validated = validateDefinition(source.value, types, options)
  const warnings = [...source.warnings, ...placed(validated.warnings, source)]
  if (!validated.ok) return { ok: false, problems: placed(validated.problems, source), warnings }
  return { ok: true, definition: validated.definition, graph: validated.graph, warnings, text }
}

/** Problems about a key itself, whose value may be fine. */
const ABOUT_KEYS: ReadonlySet<string> = new Set(['unknown_key', 'reserved', 'invalid_case'])

/** In the map form of nodes and of `needs` a node's id is a key, in the other forms it is a value. */
function isAboutKey({ code, pointer, offset }: Problem): boolean {
  if (offset !== undefined) return false
  if (code === 'invalid_id') return !/\/\d+\/id$/.test(pointer)
  if (code === 'unknown_step' || code === 'cycle') return /\/needs\/[^/]+$/.test(pointer)
  return ABOUT_KEYS.has(code)
}

function placed(problems: readonly Problem[], source: Source): Problem[] {
  return problems
    .map((problem): Problem => {
      const { pointer, offset, length } = problem
      const position = source.locate(pointer, { key: isAboutKey(problem), offset, length })
      return position ? { ...problem, ...position } : problem
    })
    .sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0))
}

const NUMBER_WIDTH = 7
const SHOWN_BEFORE = 60
const SHOWN_CHARACTERS = 120

/** A problem as a compiler prints it: place, code and sentence, the line with what is wrong underlined. */
export function formatProblem(problem: Problem, fileName: string, text: string): string {
  const { line, column = 1, code, message } = problem
  const pointer = problem.pointer === '' ? '/' : problem.pointer
  const place = line === undefined ? fileName : `${fileName}:${line}:${column}`
  const head = `${place}  ${pointer}\n  ${code}: ${message}`
  const written = line === undefined ? undefined : text.split('\n')[line - 1]?.replace(/\r$/, '')
  if (written === undefined) return head
  // A document on one line would fill the screen: only what is around the place is shown.
  const from = column - 1 > SHOWN_CHARACTERS - 20 ? column - 1 - SHOWN_BEFORE : 0
  const shown = `${from > 0 ? '…' : ''}${written.slice(from, from + SHOWN_CHARACTERS)}${written.length > from + SHOWN_CHARACTERS ? '…' : ''}`
  const start = column - 1 - from + (from > 0 ? 1 : 0)
  const length = Math.max(1, Math.min(problem.length ?? 1, shown.length - start))
  const indent = shown.slice(0, start).replace(/[^\t]/g, ' ').padEnd(start)
  const number = String(line).padStart(NUMBER_WIDTH)
  return `${head}\n${number} | ${shown}\n${' '.repeat(NUMBER_WIDTH)} | ${indent}${'^'.repeat(length)}`
}
