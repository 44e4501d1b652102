/**
 * The state of one evaluation: what is in scope, and how much may still be spent.
 *
 * Owns: the budget. An expression always ends, and soon: everything whose cost grows with data is charged here, and the
 * evaluation stops when nothing is left. Costs are counted, never timed, so that the same expression over the same
 * values ends the same way on every machine.
 */
import type { Json, JsonObject } from '../json.ts'
import { abort, type Site } from './problem.ts'

export interface Scope {
  readonly input?: Json
  readonly steps?: Readonly<
    Record<string, { readonly output: Json; readonly status: string; readonly error: Json }>
  >
  readonly item?: Json
  readonly index?: number
  readonly run?: { readonly id: string; readonly startedAt: string; readonly labels: JsonObject }
  readonly workflow?: { readonly name: string }
  readonly vars?: Readonly<Record<string, Json>>
}

export interface EvaluationLimits {
  /** Milliseconds since the epoch: what `now()` says. */
  readonly now: number
  /** Iterations that one evaluation may take; 100,000 unless given. */
  readonly iterations?: number
}

const DEFAULT_ITERATIONS = 100_000

/** As many characters of text cost one iteration. */
const TEXT_PER_ITERATION = 256

/** The longest text, and the largest JSON, that an expression may make, in characters. */
export const MAX_RESULT_CHARACTERS = 16 * 1024 * 1024

export class Machine {
  readonly scope: Scope
  readonly now: number
  readonly iterations: number
  /** Values of macro variables, by slot. */
  readonly locals: Json[] = []
  #remaining: number

  constructor(scope: Scope, limits: EvaluationLimits) {
    this.scope = scope
    this.now = limits.now
    this.iterations = limits.iterations ?? DEFAULT_ITERATIONS
    this.#remaining = this.iterations
  }

  /** A full budget again: each expression of a template has its own. */
  refill(): void {
    this.#remaining = this.iterations
  }

  spend(iterations: number, site: Site): void {
    this.#remaining -= iterations
    if (this.#remaining < 0) this.#tooExpensive(site)
  }

  /** Charges for work in proportion to a text; short texts are free. */
  spendText(characters: number, site: Site): void {
    if (characters >= TEXT_PER_ITERATION) this.spend(Math.floor(characters / TEXT_PER_ITERATION), site)
  }

  /** Refuses a text or JSON that would be longer than {@link MAX_RESULT_CHARACTERS}, before it is made. */
  allow(characters: number, site: Site): void {
    if (characters > MAX_RESULT_CHARACTERS) tooLarge(site)
  }

  #tooExpensive(site: Site): never {
    abort(
      site,
      'expression_too_expensive',
      `The expression took more than ${this.iterations.toLocaleString('en-US')} iterations, the most that one evaluation may take (every element that a macro or function visits counts, and so do long texts). Filter before you nest, or do this in a \`code\` step.`,
    )
  }
}

export function tooLarge(site: Site): never {
  abort(
    site,
    'expression_too_expensive',
    `The expression makes a value of more than ${MAX_RESULT_CHARACTERS / 1024 / 1024} MiB, the most that an expression may make. Select only what is needed, or do this in a \`code\` step.`,
  )
}
