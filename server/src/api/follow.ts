/**
 * What both live transports stand on: a run's log and what follows, and the news of a workspace.
 *
 * A run is followed in order and without a gap: subscribe first, then read the log, then drop what is at or below the
 * last number; on a jump, or every 5 s without news, compare with the log. Ends after the final event. A database that
 * does not answer is asked again: whoever follows need not know.
 *
 * What carries no number (progress, log lines of an attempt, news of a workspace) is passed on as it comes and may be
 * lost. While the reader is behind nothing is gathered for it: it is told from which number on the log is read.
 */
import type { RunEvent } from '@weft/engine'
import type { Clock } from '../clock.ts'
import { type Store, StoreError } from '../store/store.ts'
import type { LiveMessage } from '../transport/transport.ts'
import { isFinalEvent, isFinishedRow } from './outcome.ts'
import type { Pace } from './outlet.ts'
import type { Watch } from './watch.ts'

const EVENTS_PER_PAGE = 200
const COMPARE_AFTER_MS = 5_000
const ASK_AGAIN_AFTER_MS = 500
/** For a reader who keeps up while its log is read; beyond this, too, what was gathered is read from the log instead. */
const MAX_GATHERED = 1_000

export type AttemptMessage = Extract<LiveMessage, { kind: 'attempt' }>
type RunMessage = Extract<LiveMessage, { kind: 'event' }> | AttemptMessage

/** Nothing happened for a while; the connection is alive. */
interface Quiet {
  readonly kind: 'quiet'
}

export type Followed =
  | { readonly kind: 'event'; readonly seq: number; readonly event: RunEvent }
  | { readonly kind: 'attempt'; readonly message: AttemptMessage }
  /** Messages were dropped; events from this number on come from the log. */
  | { readonly kind: 'missed'; readonly fromSeq: number }
  | Quiet

export type WorkspaceNews =
  /** A run has one more event; what stands in it is for the run's own stream. */
  | { readonly kind: 'hint'; readonly runId: string; readonly seq: number; readonly event: RunEvent }
  /** Hints were dropped, and nobody knows which: look at what is shown again. */
  | { readonly kind: 'missed' }
  | Quiet

interface FollowParts {
  readonly store: Store
  readonly watch: Watch
  readonly clock: Clock
}

export interface FollowRequest {
  readonly workspace: string
  readonly runId: string
  readonly afterSeq: number
  readonly pace: Pace
  /** The caller has gone, or the server stops. */
  readonly signal: AbortSignal
}

export async function* followRun(parts: FollowParts, request: FollowRequest): AsyncGenerator<Followed> {
  const { runId, workspace, pace, signal } = request
  const { store, clock } = parts
  let lastSeq = request.afterSeq
  let mustRead = true
  const inbox = new Inbox<RunMessage>(pace)
  const unsubscribe = parts.watch.run(runId, (message) => inbox.add(message))
  const persistently = <Result>(ask: () => Promise<Result>): Promise<Result | null> =>
    askUntilAnswered(clock, signal, ask)
  const rowNow = () => persistently(() => store.runs.get({ workspace, id: runId }))
  try {
    while (!signal.aborted) {
      if (inbox.takeMissed()) {
        mustRead = true
        yield { kind: 'missed', fromSeq: lastSeq + 1 }
      }
      if (mustRead) {
        mustRead = false
        let final = false
        const release = await pace.turn()
        try {
          for (;;) {
            const page = await persistently(() =>
              store.runs.events({ runId, afterSeq: lastSeq, limit: EVENTS_PER_PAGE }),
            )
            for (const { seq, event } of page ?? []) {
              if (signal.aborted) return
              lastSeq = seq
              final = isFinalEvent(event)
              yield { kind: 'event', seq, event }
            }
            if (page === null || page.length < EVENTS_PER_PAGE) break
          }
        } finally {
          release()
        }
        if (final) return
        // A reader that came back after the end has nothing to read: only the row tells that there is no more.
        const row = await rowNow()
        if (!row || (isFinishedRow(row) && row.seq <= lastSeq)) return
      }
      for (const message of inbox.take()) {
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
      if (mustRead || inbox.hasNews || signal.aborted) continue
      if (await inbox.quiet(clock, COMPARE_AFTER_MS, signal)) {
        yield { kind: 'quiet' }
        const row = await rowNow()
        if (!row) return
        if (row.seq > lastSeq) mustRead = true
        else if (isFinishedRow(row)) return
      }
    }
  } finally {
    unsubscribe()
  }
}

/** News of every run of a workspace, as they come: hints at what to look at, without a past. Ends with `signal`. */
export async function* followWorkspace(
  parts: Pick<FollowParts, 'watch' | 'clock'>,
  request: Pick<FollowRequest, 'workspace' | 'pace' | 'signal'>,
): AsyncGenerator<WorkspaceNews> {
  const { workspace, pace, signal } = request
  const inbox = new Inbox<Extract<LiveMessage, { kind: 'event' }>>(pace)
  const unsubscribe = parts.watch.workspace(workspace, (message) => inbox.add(message))
  try {
    while (!signal.aborted) {
      if (inbox.takeMissed()) yield { kind: 'missed' }
      for (const { runId, seq, event } of inbox.take())
        yield { kind: 'hint', runId, seq, event: event as RunEvent }
      if (inbox.hasNews) continue
      if (await inbox.quiet(parts.clock, COMPARE_AFTER_MS, signal)) yield { kind: 'quiet' }
    }
  } finally {
    unsubscribe()
  }
}

/** What came while the follower was busy, within a bound. */
class Inbox<Message> {
  readonly #pace: Pace
  #messages: Message[] = []
  #hasMissed = false
  #wake: () => void = () => {}

  constructor(pace: Pace) {
    this.#pace = pace
  }

  add(message: Message): void {
    if (this.#pace.isBehind || this.#messages.length >= MAX_GATHERED) {
      this.#messages = []
      this.#hasMissed = true
    } else if (!this.#hasMissed) this.#messages.push(message)
    this.#wake()
  }

  get hasNews(): boolean {
    return this.#messages.length > 0 || this.#hasMissed
  }

  take(): readonly Message[] {
    const messages = this.#messages
    this.#messages = []
    return messages
  }

  /** True once after messages were dropped. */
  takeMissed(): boolean {
    const hasMissed = this.#hasMissed
    this.#hasMissed = false
    return hasMissed
  }

  /** Waits for news; true when the time passed without any. */
  quiet(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
    return pause(clock, ms, signal, (wake) => {
      this.#wake = wake
    })
  }
}

/** The answer; `null` when the caller has gone before the database gave one. */
async function askUntilAnswered<Result>(
  clock: Clock,
  signal: AbortSignal,
  ask: () => Promise<Result>,
): Promise<Result | null> {
  while (!signal.aborted) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof StoreError && error.retryable)) throw error
      await pause(clock, ASK_AGAIN_AFTER_MS, signal)
    }
  }
  return null
}

/** True when the time passed; false when it was ended by `signal` or by the function that `onStart` is given. */
function pause(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  onStart?: (wake: () => void) => void,
): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false)
  return new Promise((resolve) => {
    const finish = (isOver: boolean) => {
      withdraw()
      signal.removeEventListener('abort', abort)
      resolve(isOver)
    }
    const abort = () => finish(false)
    const withdraw = clock.after(ms, () => finish(true))
    signal.addEventListener('abort', abort)
    onStart?.(abort)
  })
}
