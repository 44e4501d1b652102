/**
 * `?wait=`: holds an answer until a run has ended. A bounded number of callers may wait; whoever comes beyond that gets
 * the answer that the others get when their time is over.
 */
import type { Clock } from '../clock.ts'
import type { RunRow, Store } from '../store/store.ts'
import type { Watch } from './watch.ts'

const MAX_WAITERS = 2_000
/** The live lane may lose a message; the row does not. */
const LOOK_AGAIN_MS = 2_000

const FINISHED = new Set(['completed', 'failed', 'cancelled'])
const FINAL_EVENTS = new Set(['run.completed', 'run.failed', 'run.cancelled'])

export const isFinishedRow = (row: RunRow): boolean => FINISHED.has(row.status)
export const isFinalEvent = (event: unknown): boolean =>
  FINAL_EVENTS.has((event as { type?: string } | null)?.type ?? '')

export class OutcomeWaits {
  readonly #parts: { readonly store: Store; readonly clock: Clock; readonly watch: Watch }
  readonly #stopping: AbortSignal
  #waiting = 0

  constructor(parts: { store: Store; clock: Clock; watch: Watch; stopping: AbortSignal }) {
    this.#parts = parts
    this.#stopping = parts.stopping
  }

  /**
   * Begins to listen, performs `work` (which begins the run), then waits until the run `id` has ended. `null`: not yet.
   */
  async after<Result extends { readonly id: string }>(
    request: {
      readonly workspace: string
      readonly id: string
      readonly waitMs: number
      readonly gone: AbortSignal
    },
    work: () => Promise<Result>,
  ): Promise<{ result: Result; row: RunRow | null }> {
    let ended = false
    let wake: () => void = () => {}
    const listen = (id: string) =>
      this.#parts.watch.run(id, (message) => {
        if (message.kind !== 'event' || !isFinalEvent(message.event)) return
        ended = true
        wake()
      })
    let unsubscribe = listen(request.id)
    try {
      const result = await work()
      if (this.#waiting >= MAX_WAITERS) return { result, row: null }
      if (result.id !== request.id) {
        // An idempotency key led to an older run: it may have ended long ago.
        unsubscribe()
        unsubscribe = listen(result.id)
        ended = true
      }
      this.#waiting++
      try {
        const deadline = this.#parts.clock.monotonic() + request.waitMs
        for (;;) {
          if (ended) {
            ended = false
            const row = await this.#parts.store.runs.get({ workspace: request.workspace, id: result.id })
            if (row && isFinishedRow(row)) return { result, row }
          }
          const left = deadline - this.#parts.clock.monotonic()
          if (left <= 0 || request.gone.aborted || this.#stopping.aborted) return { result, row: null }
          if (!ended) {
            await this.#pause(Math.min(left, LOOK_AGAIN_MS), request.gone, (resolve) => {
              wake = resolve
            })
            ended = true
          }
        }
      } finally {
        this.#waiting--
      }
    } finally {
      unsubscribe()
    }
  }

  #pause(ms: number, gone: AbortSignal, onStart: (resolve: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        withdraw()
        gone.removeEventListener('abort', finish)
        this.#stopping.removeEventListener('abort', finish)
        resolve()
      }
      const withdraw = this.#parts.clock.after(ms, finish)
      gone.addEventListener('abort', finish)
      this.#stopping.addEventListener('abort', finish)
      onStart(finish)
    })
  }
}
