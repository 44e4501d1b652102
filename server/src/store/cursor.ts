/**
 * Places in a list: the sort key of the last item shown. A page starts after it whatever was added or removed meanwhile.
 * Opaque to callers; one from another list is refused.
 */
import { InvalidError } from '@weft/engine'

export type Place = readonly (string | number)[]

export const cursorOf = (place: Place): string => Buffer.from(JSON.stringify(place)).toString('base64url')

/** The place, whose parts have these types. */
export function placeOf<const Types extends readonly ('string' | 'number')[]>(
  cursor: string,
  types: Types,
): { [Index in keyof Types]: Types[Index] extends 'string' ? string : number } {
  const place = parse(cursor)
  if (
    !Array.isArray(place) ||
    place.length !== types.length ||
    place.some((part, index) => typeof part !== types[index])
  ) {
    throw new InvalidError([
      {
        code: 'invalid_cursor',
        message:
          'this cursor does not belong to this list. Take `nextCursor` of the page before as it is, or leave it out to start anew.',
        pointer: '/cursor',
      },
    ])
  }
  return place as { [Index in keyof Types]: Types[Index] extends 'string' ? string : number }
}

function parse(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString())
  } catch {
    return null
  }
}

/** Splits what was read, one item more than the page holds, into page and cursor. */
export function pageOf<Item>(
  read: readonly Item[],
  limit: number,
  place: (item: Item) => Place,
): { items: Item[]; nextCursor: string | null } {
  const items = read.slice(0, limit)
  const last = items.at(-1)
  return { items, nextCursor: read.length > limit && last !== undefined ? cursorOf(place(last)) : null }
}
