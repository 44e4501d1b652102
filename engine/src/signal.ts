/**
 * What arrived: the input of `decide`. Signals repeat, come late and out of order (R2); `decide` judges each against the
 * state and ignores what it already knows.
 *
 * Results of attempts may travel by the transport alone, since re-dispatch reproduces them. Everything that only the
 * outside knows is a command: a row of the run's inbox first (R15), settled in the statement that writes its events.
 */
import type { StepError, Warning } from './errors.ts'
import type { Proposer } from './event.ts'
import type { Json, JsonObject } from './json.ts'

/** One attempt: `(step key, round, attempt)` of the run that the signal is for (R7). */
export interface AttemptName {
  readonly key: string
  readonly round: number
  readonly attempt: number
}

export type Signal =
  /** Look: the run has begun, or was loaded. Nothing else is known. */
  | { readonly kind: 'look' }
  /** Some timer of the run may be due. */
  | { readonly kind: 'tick' }
  | (AttemptName & {
      readonly kind: 'completed'
      /** Normalised; over 32 KiB a blob reference. */
      readonly output: Json
      readonly label?: string
      readonly startedAt: number
      readonly worker: string
      readonly warnings?: readonly Warning[]
    })
  | (AttemptName & {
      readonly kind: 'failed'
      readonly error: StepError
      readonly startedAt: number
      readonly worker: string
    })
  /** The attempt was taken and its worker is gone. */
  | (AttemptName & { readonly kind: 'lost' })
  /** The attempt was never started: its run was halted while the task was queued. */
  | (AttemptName & { readonly kind: 'dropped' })
  | { readonly kind: 'command'; readonly id: string; readonly actor: string; readonly command: Command }

export type Command =
  | { readonly kind: 'cancel'; readonly reason?: string }
  | { readonly kind: 'pause' }
  | { readonly kind: 'resume' }
  | { readonly kind: 'retry' }
  | {
      readonly kind: 'decide'
      /** Id of the wait or of the review, which is the approval's id. */
      readonly waitId: string
      readonly decision: 'approve' | 'reject'
      readonly comment?: string
      readonly data?: Json
    }
  | {
      readonly kind: 'message'
      readonly messageId: string
      readonly name: string
      readonly correlationKey?: string
      readonly data: Json
      /** How long it is kept when no wait is open, in milliseconds. */
      readonly ttlMs: number
      /**
       * Of a message sent by correlation: the waits of this run that it fits. Those that are still open take it; a run in
       * which none is refuses it and keeps nothing, since another run may be waiting for it.
       */
      readonly waitIds?: readonly string[]
    }
  | {
      readonly kind: 'patch'
      /** Whose policy judges it; without it, by the API. */
      readonly by?: Proposer
      /** The step whose agent proposes it. */
      readonly stepKey?: string
      readonly operations: Json
      readonly reason: string
      /** Values of the variables that the patched graph reads and the run has not captured. */
      readonly vars?: JsonObject
      /** Hash of the run's definition that the patch was written against; without it, the one in force. */
      readonly baseVersion?: string
    }
  | {
      readonly kind: 'child_finished'
      readonly childId: string
      readonly key: string
      readonly round: number
      readonly outcome: 'completed' | 'failed' | 'cancelled'
      readonly output?: Json
      readonly error?: StepError
    }
  /** A person says what became of an `irreversible` attempt whose outcome is unknown. */
  | {
      readonly kind: 'resolve'
      readonly key: string
      readonly outcome: 'done' | 'not_done'
      readonly output?: Json
    }

/** The answer to a command: what the API tells the caller. */
export type Verdict =
  | { readonly accepted: true; readonly detail?: Json }
  | { readonly accepted: false; readonly code: string; readonly message: string; readonly detail?: Json }
