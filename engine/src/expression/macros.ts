/**
 * Macros over lists: they bind a variable to each element and evaluate an expression for it. Over a map they take its
 * keys, as CEL does; over text or `null` they raise.
 *
 * Each iteration is charged with the size of what it evaluates, so that a long body costs as much as many short ones.
 */
import { isObject, type Json } from '../json.ts'
import type { FunctionDescription } from './functions/definition.ts'
import { groupBy, sortBy } from './functions/list.ts'
import { isFailure } from './logic.ts'
import type { Machine } from './machine.ts'
import { truth } from './operators.ts'
import { described, type Raised, raise, type Site } from './problem.ts'
import type { Code } from './selection.ts'

interface Comprehension {
  readonly name: string
  readonly site: Site
  readonly receiver: Code
  /** Where the variable lives in `Machine.locals`. */
  readonly slot: number
  /** The expressions after the variable. */
  readonly bodies: readonly Code[]
  readonly bodySites: readonly Site[]
  /** Iterations that one element costs. */
  readonly weight: number
}

type Build = (macro: Comprehension) => Code

export interface ComprehensionKind {
  /** How many expressions may follow the variable. */
  readonly bodies: readonly number[]
  readonly build: Build
}

export const COMPREHENSIONS: ReadonlyMap<string, ComprehensionKind> = new Map([
  ['all', { bodies: [1], build: quantifier(false) }],
  ['exists', { bodies: [1], build: quantifier(true) }],
  ['exists_one', { bodies: [1], build: existsOne }],
  ['map', { bodies: [1, 2], build: mapElements }],
  ['filter', { bodies: [1], build: filterElements }],
  ['sort', { bodies: [1], build: keyed(sortBy) }],
  ['groupBy', { bodies: [1], build: keyed(groupBy) }],
])

/** How each macro is written; `sort` and `groupBy` are functions too. */
export const MACROS: readonly FunctionDescription[] = [
  {
    name: 'has',
    kind: 'macro',
    signature: 'has(value.key)',
    description: 'Whether the selection is there, even if it is `null`.',
    example: 'has({"note": null}.note)',
    result: true,
  },
  {
    name: 'default',
    kind: 'macro',
    signature: 'default(value, other)',
    description: 'The value, or the other one where it is missing or `null`.',
    example: 'default({"count": null}.total, 0)',
    result: 0,
  },
  {
    name: 'all',
    kind: 'macro',
    signature: 'list.all(x, condition)',
    description: 'Whether the condition holds for every element; true for an empty list.',
    example: '[1, 2].all(x, x > 0)',
    result: true,
  },
  {
    name: 'exists',
    kind: 'macro',
    signature: 'list.exists(x, condition)',
    description: 'Whether the condition holds for at least one element.',
    example: '[1, 2].exists(x, x > 1)',
    result: true,
  },
  {
    name: 'exists_one',
    kind: 'macro',
    signature: 'list.exists_one(x, condition)',
    description: 'Whether the condition holds for exactly one element.',
    example: '[1, 2].exists_one(x, x > 0)',
    result: false,
  },
  {
    name: 'map',
    kind: 'macro',
    signature: 'list.map(x, condition?, value)',
    description:
      'The list of what the last expression yields for each element, or for each that meets the condition.',
    example: '[1, 2, 3].map(x, x > 1, x * 10)',
    result: [20, 30],
  },
  {
    name: 'filter',
    kind: 'macro',
    signature: 'list.filter(x, condition)',
    description: 'The elements for which the condition holds.',
    example: '[1, 2, 3].filter(x, x != 2)',
    result: [1, 3],
  },
]

/** How to write each, for messages. */
export const MACRO_EXAMPLES: ReadonlyMap<string, string> = new Map([
  ...MACROS.map(({ name, signature }) => [name, signature] as const),
  ['sort', 'list.sort(x, key)'],
  ['groupBy', 'list.groupBy(x, key)'],
])

function elementsOf({ name, receiver, site }: Comprehension, machine: Machine): readonly Json[] {
  const value = receiver(machine)
  if (Array.isArray(value)) return value
  if (isObject(value)) return Object.keys(value)
  const advice = value === null ? ' Where it may be null, write `default(x, [])` before it.' : ''
  return raise(
    site,
    `\`${name}\` goes over a list or the keys of a map, but got ${described(value)}.${advice}`,
    [value],
  )
}

function quantifier(decisive: boolean): Build {
  return (macro) => {
    const { site, slot, weight } = macro
    const [predicate, predicateSite] = [macro.bodies[0] as Code, macro.bodySites[0] as Site]
    return (machine) => {
      // As for `||` and `&&`, one decisive element outweighs errors in others.
      let failure: Raised | undefined
      for (const element of elementsOf(macro, machine)) {
        machine.spend(weight, site)
        machine.locals[slot] = element
        try {
          if (truth(predicateSite, predicate(machine)) === decisive) return decisive
        } catch (raised) {
          if (!isFailure(raised)) throw raised
          failure ??= raised
        }
      }
      if (failure) throw failure
      return !decisive
    }
  }
}

function existsOne(macro: Comprehension): Code {
  const { site, slot, weight } = macro
  const [predicate, predicateSite] = [macro.bodies[0] as Code, macro.bodySites[0] as Site]
  return (machine) => {
    let found = 0
    for (const element of elementsOf(macro, machine)) {
      machine.spend(weight, site)
      machine.locals[slot] = element
      if (truth(predicateSite, predicate(machine))) found++
    }
    return found === 1
  }
}

function mapElements(macro: Comprehension): Code {
  const { site, slot, weight, bodies, bodySites } = macro
  const transform = bodies.at(-1) as Code
  const predicate = bodies.length === 2 ? (bodies[0] as Code) : undefined
  const predicateSite = bodySites[0] as Site
  return (machine) => {
    const result: Json[] = []
    for (const element of elementsOf(macro, machine)) {
      machine.spend(weight, site)
      machine.locals[slot] = element
      if (predicate && !truth(predicateSite, predicate(machine))) continue
      result.push(transform(machine))
    }
    return result
  }
}

function filterElements(macro: Comprehension): Code {
  const { site, slot, weight } = macro
  const [predicate, predicateSite] = [macro.bodies[0] as Code, macro.bodySites[0] as Site]
  return (machine) => {
    const result: Json[] = []
    for (const element of elementsOf(macro, machine)) {
      machine.spend(weight, site)
      machine.locals[slot] = element
      if (truth(predicateSite, predicate(machine))) result.push(element)
    }
    return result
  }
}

type Keyed = (machine: Machine, site: Site, list: readonly Json[], keys: readonly Json[]) => Json

function keyed(arrange: Keyed): Build {
  return (macro) => {
    const { site, slot, weight } = macro
    const key = macro.bodies[0] as Code
    return (machine) => {
      const list = elementsOf(macro, machine)
      const keys: Json[] = []
      for (const element of list) {
        machine.spend(weight, site)
        machine.locals[slot] = element
        keys.push(key(machine))
      }
      return arrange(machine, site, list, keys)
    }
  }
}
