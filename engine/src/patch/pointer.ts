/** JSON Pointers (RFC 6901) into values. */
import { isObject, type Json } from '../json.ts'

/** The segments, unescaped; `null` for what is no pointer. */
export function parsePointer(pointer: string): string[] | null {
  if (pointer === '') return []
  if (!pointer.startsWith('/') || /~(?![01])/.test(pointer)) return null
  return pointer
    .slice(1)
    .split('/')
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** An index as RFC 6901 writes it: digits without leading zeros. */
export const isIndex = (segment: string): boolean => /^(?:0|[1-9]\d{0,8})$/.test(segment)

/** One step into a value; `undefined` when there is nothing. */
export function child(value: Json | undefined, segment: string): Json | undefined {
  if (Array.isArray(value)) return isIndex(segment) ? value[Number(segment)] : undefined
  return isObject(value) && Object.hasOwn(value, segment) ? value[segment] : undefined
}

export function valueAt(document: Json, segments: readonly string[]): Json | undefined {
  let value: Json | undefined = document
  for (const segment of segments) value = child(value, segment)
  return value
}
