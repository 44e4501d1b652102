/**
 * When a run wants attention (R6): the rule for `runs.wake_at`, and the alarm that fires the near ones on time.
 *
 * `wake_at` is written when an earlier timer is set, when it fired, and when nothing is owed any more; never per append.
 * The alarm is only a sharper edge: whatever it forgets, the sweep over `wake_at` finds within about a second.
 */
import type { Clock } from '../clock.ts'

export interface WakeQuestion {
  /** What the database holds, as far as is known. */
  readonly current: number | null
  /** The run's earliest timer. */
  readonly next: number | null
  /** A worker or the engine owes the run something: the dead-man's switch must be set. */
  readonly owes: boolean
  readonly finished: boolean
  readonly now: number
  readonly deadmanMs: number
}

/** The new value of `wake_at`; `undefined` leaves what is there. */
export function planWake({
  current,
  next,
  owes,
  finished,
  now,
  deadmanMs,
}: WakeQuestion): number | null | undefined {
  if (finished) return current === null ? undefined : null
  const nothingOwed = !owes && next === null
  if (current !== null && current > now) {
    if (next !== null && next < current) return next
    // The write of the new status takes this along; left alone, the switch would fire once for nothing.
    return nothingOwed ? null : undefined
  }
  if (nothingOwed) return current === null ? undefined : null
  const deadman = owes ? now + deadmanMs : Number.POSITIVE_INFINITY
  return Math.min(next ?? Number.POSITIVE_INFINITY, deadman)
}

interface Alert {
  readonly runId: string
  readonly at: number
}

/** One timer for the earliest of many times. */
export class Alarm {
  readonly #clock: Clock
  readonly #ring: (runId: string) => void
  readonly #heap: Alert[] = []
  /** The time each run is set to; an alert in the heap that differs is void. */
  readonly #times = new Map<string, number>()
  #armedFor = Number.POSITIVE_INFINITY
  #disarm: (() => void) | null = null

  constructor(clock: Clock, ring: (runId: string) => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Rings for this run at `at`, or earlier when it was set to an earlier time that has not come. */
  set(runId: string, at: number): void {
    const known = this.#times.get(runId)
    if (known !== undefined && known <= at) return
    this.#times.set(runId, at)
    push(this.#heap, { runId, at })
    if (at < this.#armedFor) this.#arm(at)
  }

  clear(): void {
    this.#heap.length = 0
    this.#times.clear()
    this.#disarm?.()
    this.#disarm = null
    this.#armedFor = Number.POSITIVE_INFINITY
  }

  /** Rings for everything whose time has come. */
  fire(): void {
    this.#disarm?.()
    this.#disarm = null
    this.#armedFor = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    for (let first = this.#heap[0]; first && first.at <= now; first = this.#heap[0]) {
      pop(this.#heap)
      if (this.#times.get(first.runId) !== first.at) continue
      this.#times.delete(first.runId)
      this.#ring(first.runId)
    }
    const next = this.#heap[0]
    if (next) this.#arm(next.at)
  }

  #arm(at: number): void {
    this.#disarm?.()
    this.#armedFor = at
    this.#disarm = this.#clock.after(at - this.#clock.now(), () => this.fire())
  }
}

function push(heap: Alert[], alert: Alert): void {
  let index = heap.push(alert) - 1
  while (index > 0) {
    const parent = (index - 1) >> 1
    if ((heap[parent] as Alert).at <= alert.at) break
    heap[index] = heap[parent] as Alert
    index = parent
  }
  heap[index] = alert
}

function pop(heap: Alert[]): void {
  const last = heap.pop()
  if (!last || heap.length === 0) return
  let index = 0
  for (;;) {
    let child = 2 * index + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && (heap[child + 1] as Alert).at < (heap[child] as Alert).at) child++
    if ((heap[child] as Alert).at >= last.at) break
    heap[index] = heap[child] as Alert
    index = child
  }
  heap[index] = last
}
