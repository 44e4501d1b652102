/** What the tests of expressions evaluate against, and short ways to do it. */
import {
  compileExpression,
  type EvaluationLimits,
  type ExpressionProblem,
  evaluate,
  type Scope,
} from '../../src/expression/index.ts'
import type { Json } from '../../src/json.ts'

export const NOW = Date.UTC(2026, 2, 1, 9, 30)

export const SCOPE: Scope = {
  input: {
    orderId: 'A-7',
    count: 3,
    price: 2.5,
    note: null,
    'order-id': 42,
    order: {
      id: 7,
      items: [
        { id: 1, sku: 'x' },
        { id: 2, sku: 'y' },
      ],
    },
    tags: ['new', 'eu'],
  },
  steps: {
    triage: { output: { risk: 0.8, summary: 'late' }, status: 'completed', error: null },
    skipped: { output: null, status: 'skipped', error: null },
  },
  run: { id: 'run-1', startedAt: '2026-03-01T09:00:00.000Z', labels: { team: 'shop' } },
  workflow: { name: 'order-triage' },
  vars: { threshold: 0.5 },
}

export const IN_ITEM: Scope = { ...SCOPE, item: { sku: 'x' }, index: 2 }

/** The value, or a failing test that shows the problem. */
export function yields(source: string, scope: Scope = SCOPE, limits: EvaluationLimits = { now: NOW }): Json {
  const compiled = compileExpression(source)
  if (!compiled.ok)
    throw new Error(`${source}: ${compiled.problems.map((problem) => problem.message).join('\n')}`)
  const result = evaluate(compiled.expression, scope, limits)
  if (!result.ok) throw new Error(`${source}: ${result.problem.code}: ${result.problem.message}`)
  return result.value
}

/** The problem at run time, or a failing test that shows the value. */
export function failure(
  source: string,
  scope: Scope = SCOPE,
  limits: EvaluationLimits = { now: NOW },
): ExpressionProblem {
  const compiled = compileExpression(source)
  if (!compiled.ok)
    throw new Error(`${source}: ${compiled.problems.map((problem) => problem.message).join('\n')}`)
  const result = evaluate(compiled.expression, scope, limits)
  if (result.ok) throw new Error(`${source} yields ${JSON.stringify(result.value)}`)
  return result.problem
}

/** The problems at compile time, or a failing test. */
export function problemsOf(source: string): ExpressionProblem[] {
  const compiled = compileExpression(source)
  if (compiled.ok) throw new Error(`${source} compiles`)
  return compiled.problems
}
