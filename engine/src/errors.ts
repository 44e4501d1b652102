/**
 * What went wrong, as data: the shape every error takes in events, signals, API answers and logs. Whether a failure may
 * be tried again is part of the error itself, never a list of codes somewhere else.
 */
import type { Json } from './json.ts'

export interface StepError {
  /** Stable, documented: `http_status`, `timeout`, `expression_failed` … */
  readonly code: string
  /** What happened, where, why, what to do now. */
  readonly message: string
  readonly retryable: boolean
  /** The other side asked for this pause before the next attempt (Retry-After), in milliseconds. */
  readonly retryAfterMs?: number
  /** JSON Pointer into the definition, where one part of it is to blame. */
  readonly pointer?: string
  /** 1-based column in the expression at `pointer`. */
  readonly column?: number
  readonly details?: Json
}

export interface Warning {
  readonly code: string
  readonly message: string
  readonly step?: string
  readonly details?: Json
}

/** One thing that is wrong with what a person or program wrote. */
export interface Problem {
  readonly code: string
  readonly message: string
  /** JSON Pointer into the document; empty for the whole. */
  readonly pointer: string
  /** Where in the text at `pointer` the offending part starts, from 0: known without the author's text. */
  readonly offset?: number
  /** 1-based, in the author's text, where there is one. */
  readonly line?: number
  readonly column?: number
  /** Length of the offending text, in characters. */
  readonly length?: number
  /** The nearest valid name, where a name is wrong. */
  readonly suggestion?: string
}

/** Thrown where a caller handed over something invalid; carries every problem at once. */
export class InvalidError extends Error {
  readonly problems: readonly Problem[]
  constructor(problems: readonly Problem[]) {
    super(
      problems.map((problem) => `${problem.pointer || '/'}: ${problem.code}: ${problem.message}`).join('\n'),
    )
    this.name = 'InvalidError'
    this.problems = problems
  }
}
