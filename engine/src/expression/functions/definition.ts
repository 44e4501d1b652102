/**
 * What a function of the expression language is, and how one reads its arguments. The descriptions are what the
 * documentation is generated from, and the tests evaluate every example.
 */
import { isObject, type Json, type JsonObject } from '../../json.ts'
import type { Machine } from '../machine.ts'
import { described, raise, type Site } from '../problem.ts'

export interface FunctionDescription {
  readonly name: string
  readonly kind: 'function' | 'macro'
  /** How it is called; a receiver before the point means that the method form exists. */
  readonly signature: string
  readonly description: string
  readonly example: string
  /** What the example yields; absent where it depends on the time. */
  readonly result?: Json
}

export interface FunctionDefinition extends FunctionDescription {
  readonly kind: 'function'
  /** Least and most arguments, the receiver of the method form included. */
  readonly arity: readonly [least: number, most: number]
  /** May be written `x.name(…)` as well as `name(x, …)`. */
  readonly method: boolean
  readonly call: (machine: Machine, site: Site, values: readonly Json[]) => Json
}

const ORDINALS = ['first', 'second', 'third', 'fourth']

export function refuse(
  site: Site,
  name: string,
  values: readonly Json[],
  index: number,
  expected: string,
): never {
  const value = values[index] as Json
  const advice = value === null ? ' Where it may be null, write `default(x, …)`.' : ''
  return raise(
    site,
    `\`${name}\` needs ${expected} as its ${ORDINALS[index] ?? 'next'} argument, but got ${described(value)}.${advice}`,
    values,
  )
}

export function textArgument(site: Site, name: string, values: readonly Json[], index: number): string {
  const value = values[index]
  return typeof value === 'string' ? value : refuse(site, name, values, index, 'text')
}

export function numberArgument(site: Site, name: string, values: readonly Json[], index: number): number {
  const value = values[index]
  return typeof value === 'number' ? value : refuse(site, name, values, index, 'a number')
}

export function integerArgument(site: Site, name: string, values: readonly Json[], index: number): number {
  const value = values[index]
  return Number.isInteger(value) ? (value as number) : refuse(site, name, values, index, 'a whole number')
}

export function listArgument(site: Site, name: string, values: readonly Json[], index: number): Json[] {
  const value = values[index]
  return Array.isArray(value) ? value : refuse(site, name, values, index, 'a list')
}

export function mapArgument(site: Site, name: string, values: readonly Json[], index: number): JsonObject {
  const value = values[index]
  return isObject(value) ? value : refuse(site, name, values, index, 'a map')
}
