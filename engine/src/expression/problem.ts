/**
 * What can be wrong with an expression, at compile time and at run time, and how it travels inside this folder.
 *
 * An evaluation never ends in a JavaScript exception for its caller: a {@link Raised} is thrown and caught in here, and
 * leaves as an {@link ExpressionProblem}.
 */
import type { Json } from '../json.ts'

export type ExpressionCode =
  | 'expression_syntax'
  | 'unknown_function'
  | 'unknown_name'
  | 'secret_reference'
  | 'expression_too_deep'
  | 'expression_failed'
  | 'expression_too_expensive'

export interface ExpressionProblem {
  readonly code: ExpressionCode
  /** Full sentences: what happened, why, what to do now. */
  readonly message: string
  /** 1-based, in the expression's source, counted in UTF-16 units; a line break counts as one. */
  readonly column: number
  readonly length: number
  /** Types of the values involved, at run time. */
  readonly types?: readonly ValueType[]
}

type ValueType = 'null' | 'boolean' | 'number' | 'text' | 'list' | 'map'

function typeOf(value: Json): ValueType {
  if (value === null) return 'null'
  switch (typeof value) {
    case 'string':
      return 'text'
    case 'number':
      return 'number'
    case 'boolean':
      return 'boolean'
    default:
      return Array.isArray(value) ? 'list' : 'map'
  }
}

const DESCRIPTIONS: Readonly<Record<ValueType, string>> = {
  null: 'null',
  boolean: 'a boolean',
  number: 'a number',
  text: 'text',
  list: 'a list',
  map: 'a map',
}

/** The type of a value as a sentence names it. */
export const described = (value: Json): string => DESCRIPTIONS[typeOf(value)]

/** A place in an expression's source: what a problem points at. */
export interface Site {
  readonly source: string
  readonly start: number
  readonly end: number
}

export const problemAt = (
  site: Site,
  code: ExpressionCode,
  message: string,
  values?: readonly Json[],
): ExpressionProblem => ({
  code,
  message,
  column: site.start + 1,
  length: Math.max(site.end - site.start, 1),
  ...(values && { types: values.map(typeOf) }),
})

/**
 * What ends an evaluation, or is caught on the way. Not an `Error`, and described only when somebody reads it:
 * `default()` and `||` raise and catch in loops, and a captured stack or a list of keys would cost more than the rest.
 */
export class Raised {
  readonly code: ExpressionCode
  /** A key, an index or a root that is not there: what `has` and `default` catch. */
  readonly missing: boolean
  readonly describe: () => ExpressionProblem

  constructor(code: ExpressionCode, missing: boolean, describe: () => ExpressionProblem) {
    this.code = code
    this.missing = missing
    this.describe = describe
  }
}

/** Ends the evaluation, or the compilation, with a code of its own that nothing catches. */
export function abort(site: Site, code: ExpressionCode, message: string): never {
  throw new Raised(code, false, () => problemAt(site, code, message))
}

/** Ends the evaluation as `expression_failed`. */
export function raise(site: Site, message: string, values?: readonly Json[]): never {
  throw new Raised('expression_failed', false, () => problemAt(site, 'expression_failed', message, values))
}

/** Ends the evaluation as `expression_failed`, unless a `has` or `default` around it catches the absence. */
export function raiseMissing(site: Site, message: () => string, values?: readonly Json[]): never {
  throw new Raised('expression_failed', true, () => problemAt(site, 'expression_failed', message(), values))
}
