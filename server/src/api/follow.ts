/**
 * A run's log and what follows, in order and without a gap: subscribe first, then read the log, then drop what is at or
 * below the last number; on a jump, or every 5 s without news, compare with the log. Ends after the final event.
 *
 * What carries no number (progress, log lines of an attempt) is passed on as it comes and may be lost.
 */
import type { RunEvent } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { Store } from '../store/store.ts'
import type { LiveMessage } from '../transport/transport.ts'
import { isFinalEvent, isFinishedRow } from './outcome.ts'
import type { Watch } from './watch.ts'

const EVENTS_PER_PAGE = 500
const COMPARE_AFTER_MS = 5_000
/** Beyond this a reader is too slow for the live lane: what was gathered is dropped and read from the log instead. */
const MAX_GATHERED = 2_000

type AttemptMessage = Extract<LiveMessage, { kind: 'attempt' }>

export type Followed =
  | { readonly kind: 'event'; readonly seq: number; readonly event: RunEvent }
  | { readonly kind: 'attempt'; readonly message: AttemptMessage }
  /** Nothing happened for a while; the connection is alive. */
  | { readonly kind: 'quiet' }

export interface FollowRequest {
  readonly workspace: string
  readonly runId: string
  readonly afterSeq: number
  /** The caller has gone, or the server stops. */
  readonly signal: AbortSignal
}

export async function* followRun(
  parts: { readonly store: Store; readonly watch: Watch; readonly clock: Clock },
  request: FollowRequest,
): AsyncGenerator<Followed> {
  const { runId, signal } = request
  let lastSeq = request.afterSeq
  let gathered: (Extract<LiveMessage, { kind: 'event' }> | AttemptMessage)[] = []
  let mustRead = true
  let wake: () => void = () => {}
  const unsubscribe = parts.watch.run(runId, (message) => {
    if (gathered.length >= MAX_GATHERED) {
      gathered = []
      mustRead = true
    }
    gathered.push(message)
    wake()
  })
  try {
    while (!signal.aborted) {
      if (mustRead) {
        mustRead = false
        let final = false
        for (;;) {
          const page = await parts.store.runs.events({ runId, afterSeq: lastSeq, limit: EVENTS_PER_PAGE })
          for (const { seq, event } of page) {
            if (signal.aborted) return
            yield { kind: 'event', seq, event }
            lastSeq = seq
            final = isFinalEvent(event)
          }
          if (page.length < EVENTS_PER_PAGE) break
        }
        if (final) return
        // A reader that came back after the end has nothing to read: only the row tells that there is no more.
        const row = await parts.store.runs.get({ workspace: request.workspace, id: runId })
        if (!row || (isFinishedRow(row) && row.seq <= lastSeq)) return
      }
      const batch = gathered
      gathered = []
      for (const message of batch) {
        if (message.kind === 'attempt') {
          yield { kind: 'attempt', message }
          continue
        }
        if (message.seq <= lastSeq) continue
        if (message.seq !== lastSeq + 1) {
          mustRead = true
          break
        }
        lastSeq = message.seq
        yield { kind: 'event', seq: message.seq, event: message.event as RunEvent }
        if (isFinalEvent(message.event)) return
      }
      if (mustRead || gathered.length > 0 || signal.aborted) continue
      const isQuiet = await pause(parts.clock, COMPARE_AFTER_MS, signal, (resolve) => {
        wake = resolve
      })
      if (isQuiet) {
        mustRead = true
        yield { kind: 'quiet' }
      }
    }
  } finally {
    unsubscribe()
  }
}

/** True when the time passed without news. */
function pause(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  onStart: (wake: () => void) => void,
): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (isQuiet: boolean) => {
      withdraw()
      signal.removeEventListener('abort', abort)
      resolve(isQuiet)
    }
    const abort = () => finish(false)
    const withdraw = clock.after(ms, () => finish(true))
    signal.addEventListener('abort', abort)
    onStart(abort)
  })
}
