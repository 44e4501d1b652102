/** The verbs of messages by correlation, a part of the store's contract (store.ts). */
import type { Json } from '@weft/engine'

/** Sent by correlation: to whoever waits for it, or kept for the first who will. */
export interface MessageRow {
  /** The sender's. */
  readonly id: string
  readonly workspace: string
  readonly name: string
  readonly correlationKey: string | null
  readonly data: Json
  readonly actor: string
  readonly createdAt: number
  readonly expiresAt: number
  /** Whom it was given to, without those who refused it; while there is nobody, it is kept. */
  readonly runs: readonly string[]
  /** How often it was given; tells a look at the waits of today from an earlier one. */
  readonly offers: number
  /** Since it was given last, or sent, it was held against the open waits, and none fitted: it is for the next that opens. */
  readonly isAnnounced: boolean
}

/** A wait for a message that is open. */
export interface OpenWait {
  readonly waitId: string
  readonly runId: string
  readonly match: string | null
}

export type GiveOutcome =
  /** These runs have it in their inbox; empty when they are all gone. */
  | { readonly kind: 'given'; readonly runs: readonly string[] }
  /** Somebody else has it, or its time is over. */
  | { readonly kind: 'not_kept' }

/** Both sides write, commit, then look: whoever comes second sees the other (correlation.ts). */
export interface MessageStore {
  /** Keeps it for whoever waits; a second one of its id changes nothing. */
  keep(message: Omit<MessageRow, 'runs' | 'offers' | 'isAnnounced'>): Promise<{
    readonly kind: 'kept' | 'exists'
    readonly message: MessageRow
  }>
  /** Open waits that name and key fit, the oldest first. `match` is for the caller to judge. */
  waits(request: { workspace: string; name: string; correlationKey: string | null }): Promise<OpenWait[]>
  /** Moves a kept message into the inboxes of these runs, all at once: it counts once in each, or in none (R15). */
  give(request: {
    workspace: string
    id: string
    to: readonly { readonly runId: string; readonly waitIds: readonly string[] }[]
  }): Promise<GiveOutcome>
  /**
   * Nobody waited for the message when it had been given `offers` times: who opens a wait from here on finds it. `false`
   * when it was given or deleted meanwhile.
   */
  announced(request: { workspace: string; id: string; offers: number }): Promise<boolean>
  /** Kept messages that were not held against the open waits although they are older than `before`. */
  unannounced(request: { before: number; limit: number }): Promise<MessageRow[]>
  /** Kept messages that fit a wait by name and key, the oldest first, those behind `after`. */
  keptFor(request: {
    workspace: string
    name: string
    /** Without one the wait takes any key. */
    correlationKey?: string
    after?: MessageRow
    limit: number
  }): Promise<MessageRow[]>
  /** Runs of these partitions with an open wait that a kept message fits by name and key. */
  expectant(request: { partitions: readonly number[]; limit: number }): Promise<string[]>
  /** Kept ones, the newest first. */
  list(request: {
    workspace: string
    name?: string
    correlationKey?: string
    limit: number
    cursor?: string
  }): Promise<{ items: MessageRow[]; nextCursor: string | null }>
  get(request: { workspace: string; id: string }): Promise<MessageRow | null>
  /** Only a kept one goes. */
  delete(request: { workspace: string; id: string }): Promise<'deleted' | 'not_found' | 'given'>
  /** Forgets messages whose time is over and that were sent before `before`; answers how many. */
  expire(request: { before: number; limit: number }): Promise<number>
}
