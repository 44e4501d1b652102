/**
 * What keeps the coordinator from its work at the moment: one log line when it begins, one when it is over, and a
 * sentence for `/readyz` in between, however often the work is tried meanwhile.
 */
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'

export type TroubleKind = 'beat' | 'commit' | 'partitions' | 'read' | 'session' | 'sweep' | 'transport'

export class Trouble {
  readonly #log: Log
  readonly #clock: Clock
  readonly #open = new Map<TroubleKind, { readonly reason: string; readonly since: number }>()

  constructor(log: Log, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  began(kind: TroubleKind, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    const known = this.#open.get(kind)
    this.#open.set(kind, { reason, since: known?.since ?? this.#clock.monotonic() })
    if (known) return
    const code = (error as { code?: unknown } | null)?.code
    this.#log.error(
      { trouble: kind, ...(typeof code === 'string' ? { code } : {}) },
      `runs do not move on: ${reason}`,
    )
  }

  over(kind: TroubleKind): void {
    const known = this.#open.get(kind)
    if (!known) return
    this.#open.delete(kind)
    const seconds = ((this.#clock.monotonic() - known.since) / 1000).toFixed(1)
    this.#log.info({ trouble: kind }, `runs move on again, after ${seconds} s`)
  }

  /** What is wrong, or `null`. */
  sentence(): string | null {
    for (const { reason } of this.#open.values()) return reason
    return null
  }
}
