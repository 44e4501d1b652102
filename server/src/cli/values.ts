/** Values from the command line: `-i name=value`, JSON, `@file`, `-` for stdin. */
import { readFile } from 'node:fs/promises'
import { isObject, type Json, type JsonObject } from '@weft/engine'
import type { Terminal } from './context.ts'
import { CliError, EXIT } from './exit.ts'

export async function readText(from: string, terminal: Terminal): Promise<string> {
  if (from === '-') return terminal.readInput()
  try {
    return await readFile(from, 'utf8')
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new CliError(
      EXIT.invalid,
      isMissing
        ? `There is no file ${from}. Check the path; it is looked for from the current folder.`
        : `${from} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

/** JSON written out, in `@file`, or on stdin (`-`). */
export async function readJson(given: string, option: string, terminal: Terminal): Promise<Json> {
  const text =
    given === '-' || given.startsWith('@')
      ? await readText(given === '-' ? '-' : given.slice(1), terminal)
      : given
  try {
    return JSON.parse(text) as Json
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CliError(
      EXIT.invalid,
      `${option} is not JSON (${reason}). In a shell, write it in single quotes: ${option} '{"name": "value"}'`,
    )
  }
}

/** How many items a list shows at most. */
export function readLimit(given: string): number {
  const most = Number(given)
  if (Number.isInteger(most) && most > 0) return most
  throw new CliError(EXIT.invalid, `--limit ${given} is not a whole number above 0.`)
}

/** `name=value` pairs: what reads as JSON is that value, everything else is text. `a.b=1` makes `{ "a": { "b": 1 } }`. */
export function readPairs(pairs: readonly string[], option: string): JsonObject {
  const result: JsonObject = {}
  for (const pair of pairs) {
    const equals = pair.indexOf('=')
    if (equals <= 0) throw new CliError(EXIT.invalid, `${option} ${pair} is not of the form name=value.`)
    const path = pair.slice(0, equals).split('.')
    const last = path.pop() as string
    let target = result
    for (const name of path) {
      const next = Object.hasOwn(target, name) ? target[name] : undefined
      const inner: JsonObject = isObject(next) ? next : {}
      define(target, name, inner)
      target = inner
    }
    define(target, last, looseValue(pair.slice(equals + 1)))
  }
  return result
}

/** An own key whatever its name: assigning `__proto__` would set the prototype. */
const define = (target: JsonObject, name: string, value: Json): void =>
  void Object.defineProperty(target, name, { value, enumerable: true, writable: true, configurable: true })

/** What reads as JSON is that value, everything else is text. */
export function looseValue(text: string): Json {
  try {
    const value = JSON.parse(text) as Json
    // A long number is an id far more often than a quantity, and must not lose digits.
    return typeof value === 'number' && String(value) !== text ? text : value
  } catch {
    return text
  }
}

export function readLabels(pairs: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {}
  for (const pair of pairs) {
    const at = pair.search(/[=:]/)
    if (at <= 0) throw new CliError(EXIT.invalid, `--label ${pair} is not of the form name=value.`)
    labels[pair.slice(0, at)] = pair.slice(at + 1)
  }
  return labels
}

/** For options that may be repeated. */
export const gather = (value: string, before: string[]): string[] => [...before, value]
