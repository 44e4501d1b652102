/**
 * Expressions as the rest of the engine uses them: compile once, evaluate often.
 *
 * Invariants: neither function throws, whatever the source or the scope; an evaluation ends within its budget; what it
 * yields is JSON (R1) and the same for the same scope and time.
 */
import type { Json } from '../json.ts'
import { Lowering } from './lower.ts'
import { type EvaluationLimits, Machine, type Scope } from './machine.ts'
import { type ExpressionProblem, problemAt, Raised, type Site } from './problem.ts'
import type { Reference } from './reference.ts'
import { scan } from './scan.ts'
import type { Code } from './selection.ts'
import { parse } from './syntax.ts'
import { measure } from './value.ts'

export interface Expression {
  /** For people to read; positions are those of {@link compileExpression} or {@link compileBare}. */
  readonly source: string
  readonly references: readonly Reference[]
  /** For this folder only. */
  readonly program: Program
}

export interface Program {
  readonly code: Code
  readonly site: Site
  readonly constructs: boolean
}

export type CompiledExpression =
  | { readonly ok: true; readonly expression: Expression }
  | { readonly ok: false; readonly problems: ExpressionProblem[] }

export type Evaluated =
  | { readonly ok: true; readonly value: Json }
  | { readonly ok: false; readonly problem: ExpressionProblem }

export function compileExpression(source: string): CompiledExpression {
  const parsed = parse(source)
  if ('problem' in parsed) return { ok: false, problems: [parsed.problem] }
  const lowering = new Lowering(source)
  try {
    const code = lowering.lower(parsed.tree)
    if (lowering.problems.length > 0) return { ok: false, problems: lowering.problems.sort(byColumn) }
    const site = { source, start: parsed.tree.start, end: parsed.tree.end }
    const program = { code, site, constructs: lowering.constructs }
    return { ok: true, expression: { source, references: lowering.references.sort(byColumn), program } }
  } catch (raised) {
    if (raised instanceof Raised) return { ok: false, problems: [...lowering.problems, raised.describe()] }
    throw raised
  }
}

const byColumn = (a: { readonly column: number }, b: { readonly column: number }): number =>
  a.column - b.column

/**
 * An expression that stands alone, bare or inside `${{ }}`, as in `when`, `until` and `forEach`. Columns count in the
 * text as written, in problems and references alike; `source` is the expression without its wrapper.
 */
export function compileBare(written: string): CompiledExpression {
  const compiled = compileExpression(unwrap(written))
  if (!compiled.ok) return compiled
  const { expression } = compiled
  return { ok: true, expression: { ...expression, source: expression.source.trim() } }
}

/** The same text with blanks for the wrapper, so that every position in it stays what it was. */
function unwrap(written: string): string {
  if (!written.includes('${{')) return written
  const segments = scan(written).filter((segment) => segment.kind !== 'text' || segment.text.trim() !== '')
  const only = segments[0]
  return segments.length === 1 && only?.kind === 'expression'
    ? only.source.padStart(only.start + only.source.length)
    : written
}

export function evaluate(expression: Expression, scope: Scope, limits: EvaluationLimits): Evaluated {
  try {
    return { ok: true, value: run(expression.program, new Machine(scope, limits)) }
  } catch (raised) {
    return { ok: false, problem: problemOf(raised, expression.program.site) }
  }
}

/** May throw {@link Raised}. What was only selected is as large as it came in; what was made is measured. */
export function run(program: Program, machine: Machine): Json {
  const value = program.code(machine)
  if (program.constructs && typeof value === 'object' && value !== null) measure(value, program.site)
  return value
}

export function problemOf(raised: unknown, site: Site): ExpressionProblem {
  if (raised instanceof Raised) return raised.describe()
  // Only a value from outside that is no JSON, or nested beyond any limit, can lead here.
  const reason = raised instanceof Error ? raised.message : String(raised)
  return problemAt(site, 'expression_failed', `The expression could not be evaluated: ${reason}.`)
}
