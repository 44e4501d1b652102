/**
 * What an expression sees while a decision is made: only what it refers to is put together, and blobs are read only when
 * their value is.
 */
import type { Warning } from '../errors.ts'
import {
  type Expression,
  evaluate,
  type Reference,
  renderTemplate,
  type Scope,
  type Template,
} from '../expression/index.ts'
import type { Json, JsonObject } from '../json.ts'
import { parseKey } from '../run.ts'
import { type Draft, resolve, StepFault } from './draft.ts'

interface Place {
  /** Of the unit that evaluates, when it is an item of a `forEach`. */
  readonly key?: string
  /** JSON Pointer of the expression in the definition, for errors. */
  readonly pointer: string
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }
type Steps = { [id: string]: NonNullable<Scope['steps']>[string] }

export function scopeFor(draft: Draft, references: readonly Reference[], place: Place): Scope {
  const { state } = draft
  const scope: Writable<Omit<Scope, 'steps'>> & { steps?: Steps } = {}
  for (const { root, path } of references) {
    switch (root) {
      case 'input':
        scope.input ??= resolve(draft, state.input)
        break
      case 'steps':
        if (path[0] !== undefined) {
          scope.steps ??= {}
          addStep(draft, scope.steps, path[0], path[1])
        }
        break
      case 'item':
        scope.item = itemOf(draft, place.key)
        break
      case 'index':
        scope.index = place.key === undefined ? state.index : (parseKey(place.key).index ?? state.index)
        break
      case 'run':
        scope.run = { id: state.id, startedAt: isoTime(state.startedAt), labels: state.labels as JsonObject }
        break
      case 'workflow':
        scope.workflow = { name: state.workflow.name }
        break
      case 'vars':
        scope.vars = state.vars
        break
    }
  }
  return scope
}

function addStep(draft: Draft, steps: Steps, id: string, field: string | undefined): void {
  const settling = draft.settling?.id === id ? draft.settling : null
  const step = settling ?? draft.state.steps.get(id)
  if (!step) return
  const known = Object.hasOwn(steps, id) ? steps[id] : undefined
  const readsOutput = field === undefined || field === 'output'
  steps[id] = {
    output: readsOutput ? resolve(draft, step.output) : (known?.output ?? null),
    status: step.status,
    error: step.error === null ? null : { code: step.error.code, message: step.error.message },
  }
}

/** The item of a `forEach`: of the unit's own step, or of the body that the run is. */
function itemOf(draft: Draft, key: string | undefined): Json {
  const { state } = draft
  const { id, index } = key === undefined ? { id: '', index: null } : parseKey(key)
  if (index === null) return state.item === undefined ? null : resolve(draft, state.item)
  const list = resolve(draft, state.steps.get(id)?.items?.list ?? null)
  return Array.isArray(list) ? (list[index] ?? null) : null
}

export const isoTime = (at: number): string => new Date(at).toISOString()

/** The expression's value; a fault of the step with pointer and column when it has none. */
export function evaluated(draft: Draft, expression: Expression, place: Place): Json {
  const scope = scopeFor(draft, expression.references, place)
  const result = evaluate(expression, scope, { now: draft.now })
  if (result.ok) return result.value
  const { problem } = result
  throw new StepFault({
    code: 'expression_failed',
    message: problem.message,
    retryable: false,
    pointer: place.pointer,
    column: problem.column,
    details: { reason: problem.code, types: [...(problem.types ?? [])] },
  })
}

/** A condition: true or false; `null` counts as false, anything else is a mistake that should be seen. */
export function conditionOf(draft: Draft, expression: Expression, place: Place): boolean {
  const value = evaluated(draft, expression, place)
  if (typeof value === 'boolean') return value
  if (value === null) return false
  const type = Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a map' : `a ${typeof value}`
  throw new StepFault({
    code: 'expression_failed',
    message: `The condition \`${expression.source}\` yields ${type}; it must yield true or false. Compare it with something, or use has(…).`,
    retryable: false,
    pointer: place.pointer,
    column: 1,
    details: { reason: 'not_a_condition', types: [type] },
  })
}

/** A config with its expressions replaced by their values. */
export function rendered(draft: Draft, template: Template, place: Place): Json {
  const scope = template.constant ? {} : scopeFor(draft, template.references, place)
  const result = renderTemplate(template, scope, { now: draft.now })
  if (result.ok) return result.value
  const { problem } = result
  throw new StepFault({
    code: 'expression_failed',
    message: problem.message,
    retryable: false,
    pointer: place.pointer + problem.pointer,
    column: problem.offset + problem.column,
    details: { reason: problem.code, types: [...(problem.types ?? [])] },
  })
}

/** What a condition looked at, for the warning `no_path_taken`. */
export function describeCondition(
  draft: Draft,
  expression: Expression,
  place: Place,
): { when: string; values: JsonObject } {
  const values: JsonObject = {}
  for (const reference of expression.references.slice(0, 8)) {
    const name = [reference.root, ...reference.path].join('.')
    let value: unknown = scopeFor(draft, [reference], place)
    for (const part of [reference.root, ...reference.path]) {
      value =
        typeof value === 'object' && value !== null && Object.hasOwn(value, part)
          ? (value as JsonObject)[part]
          : undefined
    }
    const text = JSON.stringify(value ?? null)
    values[name] = text.length > 200 ? `${text.slice(0, 200)}…` : ((value ?? null) as Json)
  }
  return { when: expression.source, values }
}

export const warning = (code: string, message: string, step: string, details?: Json): Warning =>
  details === undefined ? { code, message, step } : { code, message, step, details }
