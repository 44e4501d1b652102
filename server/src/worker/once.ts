/**
 * `once`: an act inside an attempt whose value is recorded, so that the next attempt of the round does not repeat it
 * (R7). First commit wins, and the loser uses what is recorded. It narrows the window in which an act repeats; it does
 * not close it: a crash between the act and its record repeats the act.
 */
import { type Json, normalise, type Task } from '@weft/engine'
import type { Clock } from '../clock.ts'
import { nodeError } from '../nodes/errors.ts'
import type { Store } from '../store/store.ts'
import { persistently } from './blobs.ts'

export class OnceRecords {
  readonly #task: Task
  readonly #store: Pick<Store, 'records'>
  readonly #clock: Clock
  readonly #redact: (value: Json) => Json
  /** Within one attempt the second call of a name shares the first one's work. */
  readonly #known = new Map<string, Promise<Json>>()

  constructor(task: Task, store: Pick<Store, 'records'>, clock: Clock, redact: (value: Json) => Json) {
    this.#task = task
    this.#store = store
    this.#clock = clock
    this.#redact = redact
  }

  perform(name: string, work: () => Promise<Json>): Promise<Json> {
    let value = this.#known.get(name)
    if (value === undefined) {
      value = this.#perform(name, work)
      this.#known.set(name, value)
      // What failed is not known: the node may try again.
      value.catch(() => this.#known.delete(name))
    }
    return value
  }

  async #perform(name: string, work: () => Promise<Json>): Promise<Json> {
    const { runId, key, round, attempt } = this.#task
    const { records } = this.#store
    const recorded = await persistently(this.#clock, () => records.get({ runId, key, round, name }))
    if (recorded !== null) return recorded.value
    const value = normalise(await work())
    if (!value.ok) {
      throw nodeError(
        'invalid_output',
        `\`once\` cannot record the value of \`${name}\`: at ${value.pointer || 'its root'}, ${value.message}.`,
      )
    }
    const kept = this.#redact(value.value)
    const at = this.#clock.now()
    const written = await persistently(this.#clock, () =>
      records.once({ runId, key, round, attempt, name, value: kept, at }),
    )
    if ('value' in written) return written.value
    throw nodeError(
      'superseded',
      `Attempt ${attempt} of \`${key}\` is over: a newer one has recorded \`${name}\`. This one stops.`,
    )
  }
}
