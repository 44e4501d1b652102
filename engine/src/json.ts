/**
 * JSON values as the log keeps them.
 *
 * Owns: the one function through which every value from outside enters (R1): a worker's result, a run's input, a
 * message, a decision. What passed it is plain data that `JSON.stringify` and `JSON.parse` carry without a change.
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

/** Nesting beyond this is refused: recursive readers, Postgres among them, must never meet it. */
export const MAX_JSON_DEPTH = 256

export type Normalised = { ok: true; value: Json } | { ok: false; pointer: string; message: string }

class Refused extends Error {
  readonly pointer: string
  constructor(pointer: string, message: string) {
    super(message)
    this.pointer = pointer
  }
}

/**
 * Turns any JavaScript value into JSON, or says where and why it cannot be.
 *
 * `undefined`, functions and symbols vanish from objects and become `null` in lists, `NaN` and infinities become
 * `null`, dates become ISO text (as `JSON.stringify` does); a `bigint` beyond 2^53 becomes text, so that no digit is
 * lost; an own key `__proto__` stays an ordinary key; a cycle and nesting beyond {@link MAX_JSON_DEPTH} are refused.
 * Strings keep NUL and lone surrogates: the log stores text in which both are escaped.
 */
export function normalise(value: unknown): Normalised {
  try {
    return { ok: true, value: convert(value, '', 0, new Set()) ?? null }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, pointer: error.pointer, message: error.message }
    const reason = error instanceof Error ? error.message : String(error)
    return { ok: false, pointer: '', message: `the value cannot be written as JSON: ${reason}` }
  }
}

function convert(value: unknown, pointer: string, depth: number, open: Set<object>): Json | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return Number.isFinite(value) ? value : null
    case 'bigint':
      return value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value.toString()
    case 'undefined':
    case 'function':
    case 'symbol':
      return undefined
  }
  if (value === null) return null
  const object = value as object
  if (open.has(object))
    throw new Refused(pointer, 'the value contains itself (a cycle), which JSON cannot express')
  if (depth >= MAX_JSON_DEPTH)
    throw new Refused(pointer, `the value is nested deeper than ${MAX_JSON_DEPTH} levels`)
  open.add(object)
  const result = convertObject(object, pointer, depth, open)
  open.delete(object)
  return result
}

function convertObject(object: object, pointer: string, depth: number, open: Set<object>): Json | undefined {
  if (Array.isArray(object)) {
    return object.map((item, index) => convert(item, `${pointer}/${index}`, depth + 1, open) ?? null)
  }
  const withToJson = object as { toJSON?: (key: string) => unknown }
  if (typeof withToJson.toJSON === 'function') return convert(withToJson.toJSON(''), pointer, depth + 1, open)
  const result: JsonObject = {}
  for (const key of Object.keys(object)) {
    const item = convert(
      (object as Record<string, unknown>)[key],
      `${pointer}/${escapePointer(key)}`,
      depth + 1,
      open,
    )
    if (item === undefined) continue
    // Plain assignment to `__proto__` would change the prototype instead of adding a key.
    if (key === '__proto__')
      Object.defineProperty(result, key, {
        value: item,
        enumerable: true,
        writable: true,
        configurable: true,
      })
    else result[key] = item
  }
  return result
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** One segment of a JSON Pointer (RFC 6901), escaped. */
export const escapePointer = (segment: string): string => segment.replaceAll('~', '~0').replaceAll('/', '~1')

/** Deep equality of JSON values; the order of keys does not matter. */
export function jsonEquals(a: Json, b: Json): boolean {
  if (a === b) return true
  if (Array.isArray(a)) {
    return (
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, index) => jsonEquals(item, b[index] as Json))
    )
  }
  if (!isObject(a) || !isObject(b)) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every((key) => Object.hasOwn(b, key) && jsonEquals(a[key] as Json, b[key] as Json))
}
