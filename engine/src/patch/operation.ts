/**
 * RFC 6902 on any JSON value: the six operations, applied to a copy that shares what did not change.
 *
 * Invariants: the document is never changed; either all operations apply or none does; `__proto__` is a key like others.
 */
import { nearestName } from '../expression/index.ts'
import { escapePointer, isObject, type Json, type JsonObject, jsonEquals } from '../json.ts'
import { child, isIndex, parsePointer, valueAt } from './pointer.ts'

export type Operation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly value: Json }
  | { readonly op: 'remove'; readonly path: string }
  | { readonly op: 'move' | 'copy'; readonly path: string; readonly from: string }

/** Why one operation cannot be carried out. */
export interface Failure {
  readonly code: 'patch_malformed' | 'patch_does_not_apply' | 'patch_test_failed'
  readonly message: string
  /** Index of the operation. */
  readonly operation?: number
  readonly pointer?: string
  /** The operation that was probably meant. */
  readonly corrected?: Operation
}

export const MAX_OPERATIONS = 1000

const NAMES = ['add', 'remove', 'replace', 'move', 'copy', 'test']

export function parseOperations(value: Json): { operations: Operation[] } | { failure: Failure } {
  if (!Array.isArray(value) || value.length === 0) {
    const message =
      'A patch is a list of operations, as in `[{ "op": "add", "path": "/nodes/check", "value": { … } }]`.'
    return { failure: { code: 'patch_malformed', message } }
  }
  if (value.length > MAX_OPERATIONS) {
    const message = `The patch has ${value.length} operations; at most ${MAX_OPERATIONS} are taken at once.`
    return { failure: { code: 'patch_malformed', message } }
  }
  for (const [operation, item] of value.entries()) {
    const message = malformed(item)
    if (message)
      return {
        failure: { code: 'patch_malformed', message: `Operation ${operation}: ${message}`, operation },
      }
  }
  return { operations: value as unknown as Operation[] }
}

function malformed(item: Json): string | null {
  if (!isObject(item)) return 'an operation is a map with `op` and `path`.'
  const { op, path, from } = item
  if (typeof op !== 'string' || !NAMES.includes(op)) {
    const nearest = typeof op === 'string' ? nearestName(op, NAMES) : undefined
    return `\`op\` must be one of ${NAMES.join(', ')}.${nearest ? ` Did you mean \`${nearest}\`?` : ''}`
  }
  if (typeof path !== 'string' || !parsePointer(path)) return `\`path\` ${POINTER_RULE}`
  if ((op === 'move' || op === 'copy') && (typeof from !== 'string' || !parsePointer(from)))
    return `\`from\` ${POINTER_RULE}`
  if ((op === 'add' || op === 'replace' || op === 'test') && !Object.hasOwn(item, 'value'))
    return `\`${op}\` needs a \`value\`.`
  return null
}

const POINTER_RULE =
  'must be a JSON Pointer: empty for the whole document, else each segment behind a `/`, with `~1` for a slash and `~0` for a tilde.'

export type Applied =
  | { readonly ok: true; readonly document: Json }
  | { readonly ok: false; readonly failure: Failure }

export function applyOperations(document: Json, operations: readonly Operation[]): Applied {
  let current = document
  for (const [index, operation] of operations.entries()) {
    const result = applyOne(current, operation)
    if ('failure' in result) return { ok: false, failure: { ...result.failure, operation: index } }
    current = result.document
  }
  return { ok: true, document: current }
}

type One = { readonly document: Json } | { readonly failure: Failure }

export function applyOne(document: Json, operation: Operation): One {
  const path = parsePointer(operation.path) ?? []
  switch (operation.op) {
    case 'add':
      return add(document, path, operation.value, operation)
    case 'remove':
      return remove(document, path, operation)
    case 'replace':
      if (valueAt(document, path) === undefined) return missing(document, path, operation)
      return { document: set(document, path, operation.value) }
    case 'test':
      return test(document, path, operation.value, operation)
    case 'copy':
    case 'move':
      return transfer(document, path, operation)
  }
}

function test(document: Json, path: readonly string[], expected: Json, operation: Operation): One {
  const found = valueAt(document, path)
  if (found === undefined) return missing(document, path, operation)
  if (jsonEquals(found, expected)) return { document }
  const message = `The test of \`${operation.path}\` failed: there is ${brief(found)}, not ${brief(expected)}. Read the definition again.`
  return { failure: { code: 'patch_test_failed', message, pointer: operation.path } }
}

function transfer(
  document: Json,
  path: readonly string[],
  operation: Extract<Operation, { from: string }>,
): One {
  const from = parsePointer(operation.from) ?? []
  const value = valueAt(document, from)
  if (value === undefined) return missing(document, from, operation, 'from')
  if (operation.op === 'copy') return add(document, path, value, operation)
  if (path.length === from.length && path.every((segment, index) => segment === from[index]))
    return { document }
  if (path.length > from.length && from.every((segment, index) => segment === path[index])) {
    return refuse(operation.path, `\`${operation.from || '/'}\` cannot be moved into itself.`)
  }
  const removed = remove(document, from, operation)
  return 'failure' in removed ? removed : add(removed.document, path, value, operation)
}

function add(document: Json, path: readonly string[], value: Json, operation: Operation): One {
  if (path.length === 0) return { document: value }
  const holder = valueAt(document, path.slice(0, -1))
  const last = path.at(-1) as string
  if (holder === undefined) return missing(document, path.slice(0, -1), operation)
  if (Array.isArray(holder)) {
    const index = last === '-' ? holder.length : isIndex(last) ? Number(last) : -1
    if (index < 0 || index > holder.length) {
      return refuse(
        operation.path,
        `The list has ${holder.length} elements; \`${last}\` is no place in it. To append, use \`-\`.`,
      )
    }
    return { document: set(document, path.slice(0, -1), holder.toSpliced(index, 0, value)) }
  }
  if (!isObject(holder))
    return refuse(
      operation.path,
      `\`${pointerOf(path.slice(0, -1))}\` is ${brief(holder)}, which has no parts.`,
    )
  return { document: set(document, path, value) }
}

function remove(document: Json, path: readonly string[], operation: Operation): One {
  if (path.length === 0) return refuse('', 'The whole document cannot be removed; replace it.')
  if (valueAt(document, path) === undefined) return missing(document, path, operation)
  const holder = valueAt(document, path.slice(0, -1))
  const last = path.at(-1) as string
  if (Array.isArray(holder)) {
    return { document: set(document, path.slice(0, -1), holder.toSpliced(Number(last), 1)) }
  }
  const rest = Object.entries(holder as JsonObject).filter(([key]) => key !== last)
  return { document: set(document, path.slice(0, -1), Object.fromEntries(rest)) }
}

/** The document with another value at a path whose holder exists. */
function set(document: Json, path: readonly string[], value: Json, depth = 0): Json {
  const segment = path[depth]
  if (segment === undefined) return value
  if (Array.isArray(document)) {
    return document.with(Number(segment), set(document[Number(segment)] as Json, path, value, depth + 1))
  }
  const object = document as JsonObject
  const inner = depth + 1 === path.length ? value : set(object[segment] as Json, path, value, depth + 1)
  // Unlike assignment, neither form changes the prototype when the key is `__proto__`.
  return Object.hasOwn(object, segment)
    ? Object.fromEntries(Object.entries(object).map(([key, old]) => [key, key === segment ? inner : old]))
    : Object.fromEntries([...Object.entries(object), [segment, inner]])
}

const refuse = (pointer: string, message: string): { failure: Failure } => ({
  failure: { code: 'patch_does_not_apply', message, pointer },
})

/** Says up to where the path exists, and which name was probably meant. */
function missing(
  document: Json,
  path: readonly string[],
  operation: Operation,
  field: 'path' | 'from' = 'path',
): One {
  let holder: Json = document
  let depth = 0
  for (; depth < path.length; depth++) {
    const next = child(holder, path[depth] as string)
    if (next === undefined) break
    holder = next
  }
  const wrong = path[depth] ?? ''
  const where = pointerOf(path.slice(0, depth)) || '/'
  const keys = isObject(holder) ? Object.keys(holder) : []
  const nearest = nearestName(wrong, keys)
  const known = Array.isArray(holder)
    ? `it is a list of ${holder.length}`
    : keys.length > 0
      ? `it has ${keys
          .slice(0, 12)
          .map((key) => `\`${key}\``)
          .join(', ')}${keys.length > 12 ? ` and ${keys.length - 12} more` : ''}`
      : `it is ${brief(holder)}`
  const advice = nearest ? ` Did you mean \`${nearest}\`?` : ''
  const pointer = operation.path
  const failure: Failure = {
    code: 'patch_does_not_apply',
    message: `There is no \`${wrong.slice(0, 80)}\` in \`${where}\`: ${known}.${advice}`,
    pointer: field === 'from' && 'from' in operation ? operation.from : pointer,
  }
  if (!nearest) return { failure }
  const meant = pointerOf(path.with(depth, nearest))
  const whole =
    operation.op === 'add' && field === 'path'
      ? `${meant}${operation.path.slice(pointerOf(path).length)}`
      : meant
  return { failure: { ...failure, corrected: { ...operation, [field]: whole } as Operation } }
}

export const pointerOf = (path: readonly string[]): string =>
  path.map((segment) => `/${escapePointer(segment)}`).join('')

function brief(value: Json): string {
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (isObject(value)) return 'a map'
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** Operations that turn one value into another; lists are replaced as a whole. */
export function difference(before: Json, after: Json, path: readonly string[] = []): Operation[] {
  if (jsonEquals(before, after)) return []
  if (!isObject(before) || !isObject(after)) return [{ op: 'replace', path: pointerOf(path), value: after }]
  const operations: Operation[] = []
  for (const key of Object.keys(before)) {
    if (!Object.hasOwn(after, key)) operations.push({ op: 'remove', path: pointerOf([...path, key]) })
  }
  for (const [key, value] of Object.entries(after)) {
    if (Object.hasOwn(before, key)) operations.push(...difference(before[key] as Json, value, [...path, key]))
    else operations.push({ op: 'add', path: pointerOf([...path, key]), value })
  }
  return operations
}
