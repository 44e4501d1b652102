/**
 * Reading from the scope and from values: `root`, `value.key`, `value[index]`.
 *
 * Invariants: only own keys are readable, so that nothing of JavaScript's prototypes shows through; selecting from
 * `null` is `null`; a missing key or index raises a message that names what is there, unless it is *probed* (inside
 * `has` and `default`), where it yields `undefined` without the cost of an exception.
 */
import { isObject, type Json } from '../json.ts'
import { FUNCTIONS, OTHER_NAMES } from './functions/index.ts'
import type { Machine, Scope } from './machine.ts'
import { listNames, nearestName, shorten } from './nearest.ts'
import { described, Raised, raise, raiseMissing, type Site } from './problem.ts'
import type { ScopeRoot } from './reference.ts'

export type Code = (machine: Machine) => Json
/** Yields `undefined` for what is missing. */
export type Probe = (machine: Machine) => Json | undefined

export const readRoot = (scope: Scope, root: ScopeRoot): Json | undefined => scope[root] as Json | undefined

export function rootCode(root: ScopeRoot, site: Site): Code {
  return (machine) => {
    const value = readRoot(machine.scope, root)
    return value === undefined ? missingRoot(root, site) : value
  }
}

function missingRoot(root: ScopeRoot, site: Site): never {
  return raiseMissing(site, () =>
    root === 'item' || root === 'index'
      ? `\`${root}\` exists only in a node with \`forEach\` and in the body of one.`
      : `\`${root}\` is not available here.`,
  )
}

export function keyCode(receiver: Code, key: string, site: Site, receiverSite: Site): Code {
  return (machine) => {
    const target = receiver(machine)
    if (target === null) return null
    if (typeof target === 'object' && !Array.isArray(target) && Object.hasOwn(target, key))
      return target[key] as Json
    return missingKey(target, key, site, receiverSite)
  }
}

export function keyProbe(receiver: Probe, key: string): Probe {
  return (machine) => {
    const target = receiver(machine)
    return isObject(target) && Object.hasOwn(target, key) ? target[key] : undefined
  }
}

export function indexCode(receiver: Code, index: Code, site: Site, receiverSite: Site): Code {
  return (machine) => {
    const target = receiver(machine)
    const selector = index(machine)
    if (target === null) return null
    if (Array.isArray(target) && typeof selector === 'number') {
      const element = target[selector]
      return element === undefined ? missingElement(target, selector, site) : element
    }
    if (isObject(target)) {
      const key = keyOf(selector)
      if (key !== undefined) {
        return Object.hasOwn(target, key)
          ? (target[key] as Json)
          : missingKey(target, key, site, receiverSite)
      }
    }
    return raise(
      site,
      Array.isArray(target)
        ? `A list is indexed by a number, but got ${described(selector)}.`
        : isObject(target)
          ? `A map is indexed by text, but got ${described(selector)}.`
          : `\`[…]\` needs a list or a map, but got ${described(target)}.`,
      [target, selector],
    )
  }
}

export function indexProbe(receiver: Probe, index: Probe): Probe {
  return (machine) => {
    const target = receiver(machine)
    const selector = index(machine)
    if (Array.isArray(target)) return typeof selector === 'number' ? target[selector] : undefined
    if (!isObject(target) || selector === undefined) return undefined
    const key = keyOf(selector)
    return key !== undefined && Object.hasOwn(target, key) ? target[key] : undefined
  }
}

/** For what is no selection itself: an absence raised deeper inside counts as well. */
export function anyProbe(code: Code): Probe {
  return (machine) => {
    try {
      return code(machine)
    } catch (raised) {
      if (raised instanceof Raised && raised.missing) return undefined
      throw raised
    }
  }
}

/** Keys of JSON maps are text; a number names the key with its digits. */
const keyOf = (selector: Json): string | undefined =>
  typeof selector === 'string' ? selector : typeof selector === 'number' ? String(selector) : undefined

function missingElement(target: Json[], index: number, site: Site): never {
  if (!Number.isInteger(index)) {
    raise(site, `A list is indexed by a whole number, but got ${index}.`, [target, index])
  }
  return raiseMissing(site, () => elementMessage(target.length, index), [target, index])
}

function elementMessage(length: number, index: number): string {
  const extent =
    length === 0
      ? 'the list is empty'
      : length === 1
        ? 'the list has one element, at 0'
        : `the list has ${length} elements, from 0 to ${length - 1}`
  const advice =
    index < 0 ? 'Its end is `x[size(x) - 1]`.' : 'If it may be shorter, write `default(x[0], …)`.'
  return `There is no element ${index}: ${extent}. ${advice}`
}

const missingKey = (target: Json, key: string, site: Site, receiverSite: Site): never =>
  raiseMissing(site, () => keyMessage(target, key, receiverSite), [target])

function keyMessage(target: Json, key: string, { source, start, end }: Site): string {
  const receiver = shorten(source.slice(start, end).replace(/\s+/g, ' '))
  const shownKey = shorten(key)
  const method = FUNCTIONS.get(OTHER_NAMES.get(key) ?? key)
  const call = method?.method ? ` To call the function, write \`${receiver}.${method.name}(…)\`.` : ''
  if (!isObject(target)) {
    const list = Array.isArray(target) ? ` Write \`${receiver}[0]\` for its first element.` : ''
    return `\`${receiver}\` is ${described(target)}, which has no keys, so there is no \`${shownKey}\`.${call || list}`
  }
  const keys = Object.keys(target)
  const nearest = nearestName(key, keys.slice(0, 1000))
  const guess = nearest === undefined ? '' : ` Did you mean \`${shorten(nearest)}\`?`
  const existing = keys.length === 0 ? 'It is empty.' : `Its keys are ${listNames(keys)}.`
  const path = /^[A-Za-z_]\w*$/.test(key)
    ? `${receiver}.${shownKey}`
    : `${receiver}[${JSON.stringify(shownKey)}]`
  return `\`${receiver}\` has no key \`${shownKey}\`.${guess} ${existing}${call} If it may be missing, ask with \`has(${path})\` or write \`default(${path}, 0)\`.`
}
