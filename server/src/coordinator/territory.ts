/**
 * The partitions that this coordinator owns now, and since when. What is not in here is not accepted, whoever it comes
 * from (R4).
 */
import { partitionOf } from '../transport/transport.ts'

export class Territory {
  readonly #since = new Map<number, number>()

  get size(): number {
    return this.#since.size
  }

  get partitions(): ReadonlySet<number> {
    return new Set(this.#since.keys())
  }

  add(partitions: Iterable<number>, now: number): void {
    for (const partition of partitions) this.#since.set(partition, now)
  }

  remove(partitions: Iterable<number>): void {
    for (const partition of partitions) this.#since.delete(partition)
  }

  has(runId: string): boolean {
    return this.#since.has(partitionOf(runId))
  }

  /** When the run's partition was taken; infinitely late when it is not owned. */
  since(runId: string): number {
    return this.#since.get(partitionOf(runId)) ?? Number.POSITIVE_INFINITY
  }

  clear(): void {
    this.#since.clear()
  }
}
