/**
 * Expressions: CEL's syntax and macros with JSON's values. Compiled once per graph, evaluated within a budget.
 */
import type { FunctionDescription } from './functions/definition.ts'
import { FUNCTIONS } from './functions/index.ts'
import { MACROS } from './macros.ts'

export {
  type CompiledExpression,
  compileBare,
  compileExpression,
  type Evaluated,
  type Expression,
  evaluate,
} from './compile.ts'
export type { FunctionDescription } from './functions/definition.ts'
export type { EvaluationLimits, Scope } from './machine.ts'
export { nearestName } from './nearest.ts'
export type { ExpressionCode, ExpressionProblem } from './problem.ts'
export type { Reference, ScopeRoot } from './reference.ts'
export {
  type CompiledTemplate,
  compileTemplate,
  type FieldMode,
  type Rendered,
  renderTemplate,
  type Template,
  type TemplateProblem,
  type TemplateReference,
} from './template.ts'

/** Every macro and function of the language: what the documentation is generated from. */
export const functions: readonly FunctionDescription[] = [
  ...MACROS,
  ...[...FUNCTIONS.values()].map(({ name, kind, signature, description, example, result }) => ({
    name,
    kind,
    signature,
    description,
    example,
    ...(result !== undefined && { result }),
  })),
]
