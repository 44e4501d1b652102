/**
 * What goes wrong in a world, how often, and how often it did. Each world draws which kinds it has, so that rare mixtures
 * occur and calm worlds do, too.
 */
import type { Random } from '../../engine/test/world/random.ts'

export const FAULT_KINDS = [
  // Of the process that calls, on the way there or on the way back.
  'killed before',
  'killed after',
  'paused',
  // Of a call.
  'error before',
  'error after',
  'delayed',
  // Of a message.
  'dropped',
  'repeated',
  // Of the session on which a coordinator owns partitions.
  'refused',
  'session lost before',
  'session lost after',
  // Of the world.
  'session ended',
  'wiped',
  'clock jump',
] as const

export type FaultKind = (typeof FAULT_KINDS)[number]

export type FaultCounts = Record<FaultKind, number>

export const noFaults = (): FaultCounts =>
  Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as FaultCounts

export class Faults {
  readonly counts = noFaults()
  readonly isCalm: boolean
  readonly #random: Random
  readonly #enabled: ReadonlySet<FaultKind>
  /** Chance of a fault at a call. */
  readonly #rate: number
  #isOver = false

  constructor(random: Random) {
    this.#random = random
    this.isCalm = random.chance(0.08)
    this.#enabled = new Set(FAULT_KINDS.filter(() => !this.isCalm && random.chance(0.6)))
    this.#rate = random.pick([0.002, 0.01, 0.03])
  }

  /** From now on everything works. */
  end(): void {
    this.#isOver = true
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** One of these, or none. */
  draw(kinds: readonly FaultKind[]): FaultKind | null {
    if (this.#isOver || kinds.length === 0 || !this.#random.chance(this.#rate)) return null
    const kind = this.#random.pick(kinds)
    return this.strike(kind) ? kind : null
  }

  /** Whether this fault of the world happens, now that its time has come. */
  strike(kind: FaultKind): boolean {
    if (this.#isOver || !this.#enabled.has(kind)) return false
    this.counts[kind]++
    return true
  }
}
