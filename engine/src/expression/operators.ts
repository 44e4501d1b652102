/**
 * The operators of expressions over JSON: one number type, texts that join, comparisons that hold for no `null`.
 */
import { isObject, type Json } from '../json.ts'
import type { Machine } from './machine.ts'
import { described, raise, type Site } from './problem.ts'
import { equals, finite, numberText, order } from './value.ts'

export type BinaryOperator = '+' | '-' | '*' | '/' | '%' | '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in'
type Binary = (machine: Machine, site: Site, a: Json, b: Json) => Json

export const BINARY: Readonly<Record<BinaryOperator, Binary>> = {
  '+': add,
  '-': (_, site, a, b) => arithmetic(site, '-', a, b, (x, y) => x - y),
  '*': (_, site, a, b) => arithmetic(site, '*', a, b, (x, y) => x * y),
  '/': (_, site, a, b) => arithmetic(site, '/', a, b, (x, y) => x / notZero(site, x, y)),
  '%': (_, site, a, b) => arithmetic(site, '%', a, b, (x, y) => x % notZero(site, x, y)),
  '==': (machine, site, a, b) => equals(machine, site, a, b),
  '!=': (machine, site, a, b) => !equals(machine, site, a, b),
  // `undefined` compares as NaN: false, which is what a comparison with null has to be.
  '<': (machine, site, a, b) => (order(machine, site, a, b) as number) < 0,
  '<=': (machine, site, a, b) => (order(machine, site, a, b) as number) <= 0,
  '>': (machine, site, a, b) => (order(machine, site, a, b) as number) > 0,
  '>=': (machine, site, a, b) => (order(machine, site, a, b) as number) >= 0,
  in: contains,
}

function add(machine: Machine, site: Site, a: Json, b: Json): Json {
  if (typeof a === 'number' && typeof b === 'number') return finite(a + b, site)
  if (typeof a === 'string' || typeof b === 'string') {
    const left = joinable(a)
    const right = joinable(b)
    if (left !== undefined && right !== undefined) {
      const length = left.length + right.length
      machine.allow(length, site)
      machine.spendText(length, site)
      return left + right
    }
    raise(
      site,
      `\`+\` cannot join ${described(a)} and ${described(b)}. Write \`toJson(x)\` or \`x.join(", ")\`.`,
      [a, b],
    )
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    machine.spend(a.length + b.length, site)
    return [...a, ...b]
  }
  const advice = isObject(a) && isObject(b) ? 'Write `merge(a, b)` to join maps.' : nullAdvice(a, b)
  return raise(site, `\`+\` cannot add ${described(a)} and ${described(b)}. ${advice}`, [a, b])
}

/** What `+` joins with text: the same as interpolation, except that lists and maps need a deliberate `toJson`. */
function joinable(value: Json): string | undefined {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
      return numberText(value)
    case 'boolean':
      return value ? 'true' : 'false'
    default:
      return value === null ? '' : undefined
  }
}

function arithmetic(
  site: Site,
  operator: string,
  a: Json,
  b: Json,
  compute: (x: number, y: number) => number,
): number {
  if (typeof a === 'number' && typeof b === 'number') return finite(compute(a, b), site)
  return raise(
    site,
    `\`${operator}\` needs two numbers, but got ${described(a)} and ${described(b)}. ${nullAdvice(a, b)}`,
    [a, b],
  )
}

const nullAdvice = (a: Json, b: Json): string =>
  a === null || b === null
    ? 'Where a value may be null, write `default(x, 0)`.'
    : 'Convert text with `double(x)`, and anything to text with `string(x)`.'

function notZero(site: Site, dividend: number, divisor: number): number {
  if (divisor === 0) {
    raise(site, 'Division by zero. Check the divisor first: `n == 0 ? 0 : total / n`.', [dividend, divisor])
  }
  return divisor
}

function contains(machine: Machine, site: Site, element: Json, container: Json): boolean {
  if (container === null) return false
  if (Array.isArray(container)) {
    for (const item of container) {
      machine.spend(1, site)
      if (equals(machine, site, element, item)) return true
    }
    return false
  }
  if (isObject(container)) {
    return (
      (typeof element === 'string' || typeof element === 'number') &&
      Object.hasOwn(container, String(element))
    )
  }
  const advice = typeof container === 'string' ? ' For text write `text.contains("part")`.' : ''
  return raise(
    site,
    `\`in\` looks into a list or the keys of a map, but got ${described(container)}.${advice}`,
    [element, container],
  )
}

export function negate(site: Site, value: Json): number {
  if (typeof value === 'number') return -value + 0
  return raise(site, `\`-\` needs a number, but got ${described(value)}.`, [value])
}

/**
 * What a condition says. `null` is false, as in comparisons: a step that did not run leads nowhere. Anything else that
 * is not a boolean raises, since "truthy" means something else in every language.
 */
export function truth(site: Site, value: Json): boolean {
  if (typeof value === 'boolean') return value
  if (value === null) return false
  return raise(
    site,
    `A condition must be true or false, but this is ${described(value)}. Compare it: ${
      typeof value === 'number' ? '`x != 0`' : typeof value === 'string' ? '`x != ""`' : '`size(x) > 0`'
    }.`,
    [value],
  )
}
