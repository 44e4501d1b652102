/**
 * JSON values inside an expression: how they print, compare and are measured. Every walk over a value is charged.
 */
import { isObject, type Json, type JsonObject, MAX_JSON_DEPTH } from '../json.ts'
import { MAX_RESULT_CHARACTERS, type Machine, tooLarge } from './machine.ts'
import { raise, type Site } from './problem.ts'

/** Adds an own key; plain assignment to `__proto__` would change the prototype instead. */
export function put(object: JsonObject, key: string, value: Json): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true })
  } else object[key] = value
}

/** A number that JSON can hold, never `-0`, which its text would lose (R1). */
export function finite(value: number, site: Site): number {
  if (Number.isFinite(value)) return value + 0
  return raise(site, 'The result is too large for a number, or not a number at all.')
}

/** Integral numbers print without a point, and without an exponent. */
export const numberText = (value: number): string =>
  Math.abs(value) >= 1e21 ? BigInt(value).toString() : String(value)

/** How a value reads inside text: `null` as empty, lists and maps as JSON. */
export function textOf(machine: Machine, site: Site, value: Json): string {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
      return numberText(value)
    case 'boolean':
      return value ? 'true' : 'false'
    default:
      return value === null ? '' : jsonText(machine, site, value)
  }
}

export function jsonText(machine: Machine, site: Site, value: Json): string {
  machine.spendText(measure(value, site), site)
  const text = JSON.stringify(value)
  machine.allow(text.length, site)
  return text
}

/**
 * The least number of characters that the value takes as JSON. Stops at {@link MAX_RESULT_CHARACTERS}: an expression
 * can build a value that shares its parts, and which written out would be larger than any memory.
 */
export function measure(value: Json, site: Site): number {
  const left = remaining(value, MAX_RESULT_CHARACTERS, 0, site)
  if (left < 0) tooLarge(site)
  return MAX_RESULT_CHARACTERS - left
}

function remaining(value: Json, left: number, depth: number, site: Site): number {
  if (typeof value === 'string') return left - value.length - 2
  if (typeof value !== 'object' || value === null) return left - 1
  if (depth >= MAX_JSON_DEPTH) {
    raise(site, `The expression makes a value that is nested deeper than ${MAX_JSON_DEPTH} levels.`)
  }
  left -= 2
  if (Array.isArray(value)) {
    for (const item of value) {
      left = remaining(item, left - 1, depth + 1, site)
      if (left < 0) return left
    }
    return left
  }
  for (const key of Object.keys(value)) {
    left = remaining(value[key] as Json, left - key.length - 4, depth + 1, site)
    if (left < 0) return left
  }
  return left
}

/** Deep equality; values of different types are not equal, and the order of keys does not matter. */
export function equals(machine: Machine, site: Site, a: Json, b: Json): boolean {
  if (typeof a === 'string' && typeof b === 'string') {
    if (a.length !== b.length) return false
    machine.spendText(a.length, site)
    return a === b
  }
  if (a === b) return true
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false
    machine.spend(a.length, site)
    return a.every((item, index) => equals(machine, site, item, b[index] as Json))
  }
  if (!isObject(a) || !isObject(b)) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  machine.spend(keys.length, site)
  return keys.every((key) => Object.hasOwn(b, key) && equals(machine, site, a[key] as Json, b[key] as Json))
}

/**
 * Less than, equal, or greater; `undefined` where either side is `null`, which no ordering comparison holds for.
 * Raises where the two have no order.
 */
export function order(machine: Machine, site: Site, a: Json, b: Json): number | undefined {
  if (a === null || b === null) return undefined
  if (typeof a === typeof b && typeof a !== 'object') {
    if (typeof a === 'string') machine.spendText(Math.min(a.length, (b as string).length), site)
    return a < b ? -1 : a > b ? 1 : 0
  }
  return raise(
    site,
    'Only two numbers, two texts or two booleans can be ordered. Convert one side, for example with `double(x)` or `string(x)`.',
    [a, b],
  )
}

/** One text per value, equal exactly where the values are equal; to group and to find duplicates in one pass. */
export function identity(machine: Machine, site: Site, value: Json): string {
  if (typeof value === 'string') {
    machine.spendText(value.length, site)
    return JSON.stringify(value)
  }
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) {
    machine.spend(value.length, site)
    const text = `[${value.map((item) => identity(machine, site, item)).join()}]`
    machine.allow(text.length, site)
    return text
  }
  const keys = Object.keys(value).sort()
  machine.spend(keys.length, site)
  const entries = keys.map((key) => `${JSON.stringify(key)}:${identity(machine, site, value[key] as Json)}`)
  const text = `{${entries.join()}}`
  machine.allow(text.length, site)
  return text
}
