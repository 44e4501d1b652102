/**
 * Regular expressions with RE2 semantics: no backtracking, hence time linear in the text for every pattern.
 *
 * Owns: the bounded cache of compiled patterns. It only saves time: what a call costs in iterations does not depend on
 * whether the pattern was in it.
 */
import { RE2JS } from 're2js'
import type { Machine } from '../machine.ts'
import { raise, type Site } from '../problem.ts'

const MAX_PATTERN_LENGTH = 1000
const CACHED_PATTERNS = 256

interface Pattern {
  readonly size: number
  readonly test: (text: string) => boolean
}

const cache = new Map<string, Pattern>()

/** The compiled pattern, or a sentence that says what is wrong with it. */
export function compilePattern(source: string): Pattern | string {
  const cached = cache.get(source)
  if (cached) return cached
  if (source.length > MAX_PATTERN_LENGTH) {
    return `The pattern has ${source.length} characters; at most ${MAX_PATTERN_LENGTH} are allowed.`
  }
  let pattern: Pattern
  try {
    const compiled = RE2JS.compile(source)
    pattern = { size: compiled.programSize(), test: (text) => compiled.test(text) }
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).replace(
      /^error parsing regexp: /,
      '',
    )
    return `The pattern is not a valid regular expression (RE2 syntax, without look-around and back-references): ${reason}.`
  }
  if (cache.size >= CACHED_PATTERNS) cache.delete(cache.keys().next().value as string)
  cache.set(source, pattern)
  return pattern
}

/** Measured: compiling costs a few microseconds per instruction, a search in the worst case tens of nanoseconds each. */
const COMPILE_ITERATIONS_PER_INSTRUCTION = 4
const INSTRUCTION_STEPS_PER_ITERATION = 128

export function matches(machine: Machine, site: Site, text: string, pattern: Pattern): boolean {
  machine.spend(1 + Math.floor((text.length * pattern.size) / INSTRUCTION_STEPS_PER_ITERATION), site)
  return pattern.test(text)
}

/** For a pattern that is computed at run time, and so has to be compiled then. */
export function matchesComputed(machine: Machine, site: Site, text: string, source: string): boolean {
  const pattern = compilePattern(source)
  if (typeof pattern === 'string') raise(site, pattern, [text, source])
  machine.spend(100 + COMPILE_ITERATIONS_PER_INSTRUCTION * pattern.size, site)
  return matches(machine, site, text, pattern)
}
