/**
 * A decision being made: the state, the events so far (each folded as soon as it is emitted), and what the coordinator
 * has to know beside them. Discarded, with the state, when anything throws.
 */

import type { StepError } from '../errors.ts'
import { type BlobRef, isBlobRef, type RunEvent, type WaitSpec } from '../event.ts'
import { evolve } from '../evolve.ts'
import type { Graph } from '../graph.ts'
import { hashText } from '../hash.ts'
import type { Json, JsonObject } from '../json.ts'
import type { NodeTypes } from '../node-type.ts'
import { type Touched, untouched } from '../routing.ts'
import type { RunState } from '../run.ts'
import type { Verdict } from '../signal.ts'

/** Values above this leave the log (as JSON text, UTF-16 units: a cheap, safe lower bound of the bytes). */
export const INLINE_LIMIT = 32 * 1024
/** Control expressions may read at most this much of one value (R1). */
export const CONTROL_READ_LIMIT = 1024 * 1024

export interface DecideContext {
  readonly now: number
  /** Blobs at hand, parsed, by `sha256:…`. */
  readonly blobs: ReadonlyMap<string, Json>
  readonly types: NodeTypes
}

export interface OpenedWait {
  readonly waitId: string
  /** `null`: the run as a whole is asked about, not a step. */
  readonly key: string | null
  readonly wait: WaitSpec
  readonly wakeAt: number | null
  readonly at: number
  /** The patch that is to be reviewed, for whoever decides. */
  readonly patch?: JsonObject
}

export interface ClosedWait {
  readonly waitId: string
  readonly outcome: string
  readonly actor: string | null
  readonly at: number
}

/** Thrown inside a decision that reads blobs which are not at hand. */
export class MissingBlobs extends Error {
  readonly hashes: string[]
  constructor(hashes: string[]) {
    super(`blobs are missing: ${hashes.join(', ')}`)
    this.hashes = hashes
  }
}

/** Thrown inside a decision when a step cannot go on; caught where the step is known. */
export class StepFault extends Error {
  readonly error: StepError
  constructor(error: StepError) {
    super(error.message)
    this.error = error
  }
}

/** A step as conditions on its edges see it. */
export interface Settling {
  readonly id: string
  readonly output: Json
  readonly status: string
  readonly error: StepError | null
}

export interface Draft {
  readonly state: RunState
  readonly context: DecideContext
  readonly now: number
  readonly events: RunEvent[]
  readonly touched: Touched
  readonly blobs: Map<string, string>
  readonly opened: OpenedWait[]
  /** The step whose edges are being decided: its event, with the route, is not folded yet. */
  settling: Settling | null
  /** Children whose parent no longer waits for them. */
  readonly cancelledChildren: string[]
  /** The run goes on after a pause or an end: everything that it owes is to be published again. */
  resumed: boolean
  /** A parent asks again for the result of a child that has long ended. */
  reportAgain: boolean
  verdict: Verdict | undefined
  /** The graph that a patch made, for the fold of `run.patched` and for the coordinator's catalog. */
  patched: Graph | undefined
}

export function draft(state: RunState, context: DecideContext): Draft {
  return {
    state,
    context,
    // R12: in a run, time never goes back.
    now: Math.max(context.now, state.at),
    events: [],
    touched: untouched(),
    blobs: new Map(),
    opened: [],
    settling: null,
    cancelledChildren: [],
    resumed: false,
    reportAgain: false,
    verdict: undefined,
    patched: undefined,
  }
}

type WithoutAt<E> = E extends RunEvent ? Omit<E, 'at'> : never

/** Records an event and folds it. */
export function emit(draft: Draft, event: WithoutAt<RunEvent>): void {
  const dated = { ...event, at: draft.now } as RunEvent
  draft.events.push(dated)
  evolve(
    draft.state,
    dated,
    (hash) => {
      if (draft.patched?.hash === hash) return draft.patched
      throw new Error(`graph ${hash} is not at hand`)
    },
    draft.touched,
  )
}

/** The value itself, or the blob that holds it when it is too large for the log. */
export function offload(draft: Draft, value: Json): Json {
  if (isSmall(value)) return value
  const text = JSON.stringify(value)
  if (text.length <= INLINE_LIMIT) return value
  const hash = hashText(text)
  draft.blobs.set(hash, text)
  const reference: BlobRef = { $blob: hash, bytes: utf8Length(text), contentType: 'application/json' }
  return reference as unknown as Json
}

/** The value behind a blob reference; anything else is itself. */
export function resolve(draft: Draft, value: Json): Json {
  if (!isBlobRef(value)) return value
  const known = draft.context.blobs.get(value.$blob)
  if (known !== undefined) return known
  const own = draft.blobs.get(value.$blob)
  if (own !== undefined) return JSON.parse(own) as Json
  if (value.bytes > CONTROL_READ_LIMIT) {
    throw new StepFault({
      code: 'expression_input_too_large',
      message: `A control expression would have to read ${value.bytes} bytes; at most ${CONTROL_READ_LIMIT} are allowed. Shape the data in a \`code\` step first and read its small result.`,
      retryable: false,
    })
  }
  throw new MissingBlobs([value.$blob])
}

function isSmall(value: Json): boolean {
  if (typeof value === 'string') return value.length < INLINE_LIMIT / 8
  return typeof value !== 'object' || value === null
}

function utf8Length(text: string): number {
  let bytes = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) bytes++
    else if (unit < 0x800) bytes += 2
    else if (unit >= 0xd800 && unit < 0xdc00) {
      bytes += 4
      i++
    } else bytes += 3
  }
  return bytes
}

/** Evaluates what depends on the outcome of a step whose event is not folded yet. */
export function whileSettling<T>(draft: Draft, settling: Settling, work: () => T): T {
  const before = draft.settling
  draft.settling = settling
  try {
    return work()
  } finally {
    draft.settling = before
  }
}
