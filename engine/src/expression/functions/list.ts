/**
 * Functions over lists and maps.
 */
import { isObject, type Json, type JsonObject } from '../../json.ts'
import type { Machine } from '../machine.ts'
import { raise, type Site } from '../problem.ts'
import { identity, order, put, textOf } from '../value.ts'
import {
  type FunctionDefinition,
  integerArgument,
  listArgument,
  mapArgument,
  refuse,
  textArgument,
} from './definition.ts'
import { textSize } from './text.ts'

/** Orders a list by keys of the same length, stably; elements whose key is `null` come last. */
export function sortBy(machine: Machine, site: Site, list: readonly Json[], keys: readonly Json[]): Json[] {
  machine.spend(list.length * Math.ceil(Math.log2(list.length + 1)), site)
  const positions = list.map((_, position) => position)
  positions.sort((a, b) => {
    const left = keys[a] as Json
    const right = keys[b] as Json
    if (left === null || right === null) return left === right ? 0 : left === null ? 1 : -1
    return order(machine, site, left, right) as number
  })
  return positions.map((position) => list[position] as Json)
}

export function groupBy(
  machine: Machine,
  site: Site,
  list: readonly Json[],
  keys: readonly Json[],
): JsonObject {
  machine.spend(list.length, site)
  const groups = new Map<string, Json[]>()
  for (const [position, element] of list.entries()) {
    const key = keys[position] as Json
    if (typeof key === 'object' && key !== null) {
      raise(
        site,
        '`groupBy` needs keys that are text, numbers or booleans. Write `toJson(x)` to group by a value.',
        [key],
      )
    }
    const name = key === null ? 'null' : textOf(machine, site, key)
    const group = groups.get(name)
    if (group) group.push(element)
    else groups.set(name, [element])
  }
  const result: JsonObject = {}
  for (const [name, group] of groups) put(result, name, group)
  return result
}

/** The value of one key in each element; `null` where an element is `null` or does not have it. */
function pluck(machine: Machine, site: Site, name: string, list: readonly Json[], key: string): Json[] {
  machine.spend(list.length, site)
  return list.map((element) => {
    if (element === null) return null
    if (!isObject(element)) {
      raise(
        site,
        `\`${name}\` with a key needs a list of maps. Write \`list.${name}(x, …)\` for anything else.`,
        [element],
      )
    }
    return Object.hasOwn(element, key) ? (element[key] as Json) : null
  })
}

function flatten(machine: Machine, site: Site, list: readonly Json[], depth: number, into: Json[]): Json[] {
  machine.spend(list.length, site)
  for (const element of list) {
    if (Array.isArray(element) && depth > 0) flatten(machine, site, element, depth - 1, into)
    else into.push(element)
  }
  return into
}

function unique(machine: Machine, site: Site, list: readonly Json[]): Json[] {
  machine.spend(list.length, site)
  const seen = new Set<string>()
  return list.filter((element) => {
    const key = identity(machine, site, element)
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

function merge(machine: Machine, site: Site, values: readonly Json[]): JsonObject {
  const result: JsonObject = {}
  for (const [index, value] of values.entries()) {
    if (value === null) continue
    const map = mapArgument(site, 'merge', values, index)
    const keys = Object.keys(map)
    machine.spend(keys.length, site)
    for (const key of keys) put(result, key, map[key] as Json)
  }
  return result
}

function size(machine: Machine, site: Site, values: readonly Json[]): number {
  const value = values[0] as Json
  if (typeof value === 'string') return textSize(machine, site, value)
  if (Array.isArray(value)) return value.length
  if (!isObject(value)) return refuse(site, 'size', values, 0, 'text, a list or a map')
  const { length } = Object.keys(value)
  machine.spend(length, site)
  return length
}

export const LIST_FUNCTIONS: readonly FunctionDefinition[] = [
  {
    name: 'size',
    kind: 'function',
    signature: 'value.size()',
    description: 'The number of characters of a text, elements of a list, or keys of a map.',
    example: '[1, 2, 3].size()',
    result: 3,
    arity: [1, 1],
    method: true,
    call: size,
  },
  {
    name: 'sort',
    kind: 'function',
    signature: 'list.sort(key?)',
    description:
      'The list in ascending order, by a key of its maps where one is given; `list.sort(x, expression)` orders by what the expression yields. Stable; `null` comes last.',
    example: '[{"n": 2}, {"n": 1}].sort("n")',
    result: [{ n: 1 }, { n: 2 }],
    arity: [1, 2],
    method: true,
    call: (machine, site, values) => {
      const list = listArgument(site, 'sort', values, 0)
      if (values.length === 1) return sortBy(machine, site, list, list)
      return sortBy(
        machine,
        site,
        list,
        pluck(machine, site, 'sort', list, textArgument(site, 'sort', values, 1)),
      )
    },
  },
  {
    name: 'unique',
    kind: 'function',
    signature: 'list.unique()',
    description: 'The list without elements that are equal to an earlier one.',
    example: '[1, 2, 1, "1"].unique()',
    result: [1, 2, '1'],
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => unique(machine, site, listArgument(site, 'unique', values, 0)),
  },
  {
    name: 'flatten',
    kind: 'function',
    signature: 'list.flatten(depth?)',
    description:
      'The list with the elements of inner lists in their place, one level deep unless a depth is given.',
    example: '[[1, 2], [3, [4]]].flatten()',
    result: [1, 2, 3, [4]],
    arity: [1, 2],
    method: true,
    call: (machine, site, values) => {
      const depth = values.length > 1 ? integerArgument(site, 'flatten', values, 1) : 1
      if (depth < 0) refuse(site, 'flatten', values, 1, 'a depth that is not negative')
      return flatten(machine, site, listArgument(site, 'flatten', values, 0), depth, [])
    },
  },
  {
    name: 'groupBy',
    kind: 'function',
    signature: 'list.groupBy(key)',
    description:
      'A map from each value of the key to the elements that have it; `list.groupBy(x, expression)` groups by what the expression yields.',
    example: '[{"s": "ok", "n": 1}, {"s": "bad", "n": 2}].groupBy("s")',
    result: { ok: [{ s: 'ok', n: 1 }], bad: [{ s: 'bad', n: 2 }] },
    arity: [2, 2],
    method: true,
    call: (machine, site, values) => {
      const list = listArgument(site, 'groupBy', values, 0)
      const keys = pluck(machine, site, 'groupBy', list, textArgument(site, 'groupBy', values, 1))
      return groupBy(machine, site, list, keys)
    },
  },
  {
    name: 'slice',
    kind: 'function',
    signature: 'list.slice(start, end?)',
    description:
      'The elements from `start` up to, not including, `end`; what lies beyond the list is left out, and negative positions count from its end.',
    example: '[1, 2, 3, 4].slice(0, 2)',
    result: [1, 2],
    arity: [2, 3],
    method: true,
    call: (machine, site, values) => {
      const list = listArgument(site, 'slice', values, 0)
      const start = integerArgument(site, 'slice', values, 1)
      const end = values.length > 2 ? integerArgument(site, 'slice', values, 2) : list.length
      const part = list.slice(start, end)
      machine.spend(part.length, site)
      return part
    },
  },
  {
    name: 'keys',
    kind: 'function',
    signature: 'map.keys()',
    description: 'The keys of a map.',
    example: '{"a": 1, "b": 2}.keys()',
    result: ['a', 'b'],
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => {
      const keys = Object.keys(mapArgument(site, 'keys', values, 0))
      machine.spend(keys.length, site)
      return keys
    },
  },
  {
    name: 'values',
    kind: 'function',
    signature: 'map.values()',
    description: 'The values of a map, in the order of its keys.',
    example: '{"a": 1, "b": 2}.values()',
    result: [1, 2],
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => {
      const list = Object.values(mapArgument(site, 'values', values, 0))
      machine.spend(list.length, site)
      return list
    },
  },
  {
    name: 'merge',
    kind: 'function',
    signature: 'map.merge(map, …)',
    description: 'One map with the keys of all; a later value of the same key wins, and `null` adds nothing.',
    example: 'merge({"a": 1, "b": 1}, {"b": 2})',
    result: { a: 1, b: 2 },
    arity: [1, 32],
    method: true,
    call: merge,
  },
]
