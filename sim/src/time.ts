/**
 * Virtual time, and the one line in which everything stands that will happen.
 *
 * 1. What is due at the same millisecond happens in an order that the seed draws.
 * 2. One thing happens at a time: every promise that follows from it has settled before the next does.
 * 3. The line is the world's only source of time. Nothing waits for a real timer, so that the same seed makes the same
 *    world; `trace` is the hash of all that happened, and tells whether it did.
 */
import type { Random } from '../../engine/test/world/random.ts'

interface Scheduled {
  readonly at: number
  readonly tie: number
  readonly label: string
  run: (() => void) | null
}

/** Something in the past of this machine, so that times look like times. */
const EPOCH_MS = 1_750_000_000_000

export class VirtualTime {
  elapsedMs = 0
  steps = 0
  readonly #random: Random
  readonly #heap: Scheduled[] = []
  #trace = 2166136261
  /** Told of everything that happens. */
  readonly watch: ((at: number, label: string) => void) | null

  constructor(random: Random, watch: ((at: number, label: string) => void) | null) {
    this.#random = random
    this.watch = watch
  }

  get now(): number {
    return EPOCH_MS + this.elapsedMs
  }

  get trace(): string {
    return (this.#trace >>> 0).toString(16).padStart(8, '0')
  }

  /** Lets this happen after the delay; the returned function withdraws it. */
  after(delayMs: number, label: string, run: () => void): () => void {
    const at = this.elapsedMs + Math.max(0, Math.floor(delayMs))
    const scheduled: Scheduled = { at, tie: this.#random.int(2 ** 30), label, run }
    push(this.#heap, scheduled)
    return () => {
      scheduled.run = null
    }
  }

  /** The next thing happens; `false` when there is none. */
  async step(): Promise<boolean> {
    for (let next = pop(this.#heap); next; next = pop(this.#heap)) {
      if (next.run === null) continue
      this.elapsedMs = next.at
      this.steps++
      this.note(next.label)
      next.run()
      await settled()
      return true
    }
    return false
  }

  /** Writes a line of the trace. */
  note(label: string): void {
    this.watch?.(this.elapsedMs, label)
    let hash = this.#trace ^ this.elapsedMs
    for (let index = 0; index < label.length; index++)
      hash = Math.imul(hash ^ label.charCodeAt(index), 16777619)
    this.#trace = hash
  }
}

/** Resolves when every promise that could settle has. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const isBefore = (a: Scheduled, b: Scheduled): boolean => a.at < b.at || (a.at === b.at && a.tie < b.tie)

function push(heap: Scheduled[], item: Scheduled): void {
  let index = heap.push(item) - 1
  while (index > 0) {
    const parent = (index - 1) >> 1
    if (!isBefore(item, heap[parent] as Scheduled)) break
    heap[index] = heap[parent] as Scheduled
    index = parent
  }
  heap[index] = item
}

function pop(heap: Scheduled[]): Scheduled | undefined {
  const first = heap[0]
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return first
  let index = 0
  for (;;) {
    let child = 2 * index + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && isBefore(heap[child + 1] as Scheduled, heap[child] as Scheduled)) child++
    if (!isBefore(heap[child] as Scheduled, last)) break
    heap[index] = heap[child] as Scheduled
    index = child
  }
  heap[index] = last
  return first
}
