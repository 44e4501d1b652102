/**
 * What must hold of messages: whoever takes one was meant, what was sent by correlation is taken in one offer or in none,
 * and no message lies beside a wait that takes it.
 */
import { isDeepStrictEqual } from 'node:util'
import {
  type Command,
  parseKey,
  type RunEvent,
  type RunState,
  type StepState,
  type Verdict,
  type WaitSpec,
} from '@weft/engine'
import { Violation } from '../../engine/test/world/violation.ts'
import type { Shadow } from './checks.ts'
import type { Occurrences } from './occurrences.ts'
import { type MessageRecord, parse, type Tables } from './store/tables.ts'
import { passes } from './ties.ts'
import type { VirtualTime } from './time.ts'

/** Once nothing goes wrong any more: so long a message may lie beside a wait. Owners change, and clocks were wrong. */
const NOTICED_AFTER_MS = 60_000

type MessageWait = Extract<WaitSpec, { kind: 'message' }>

/** As its sender wrote it. */
export interface Letter {
  readonly id: string
  readonly name: string
  readonly correlationKey?: string
  readonly data: { readonly v: number }
}

export interface DeliveryParts {
  readonly tables: Tables
  readonly runs: ReadonlyMap<string, Shadow>
  readonly time: VirtualTime
  readonly occurrences: Occurrences
}

export class Delivery {
  readonly #parts: DeliveryParts
  readonly #letters = new Map<string, Letter>()
  /** When a wait was first seen beside a message that it takes. */
  readonly #beside = new Map<string, number>()

  constructor(parts: DeliveryParts) {
    this.#parts = parts
  }

  /** Somebody wrote it; whether it arrives is another matter. */
  written(letter: Letter): void {
    this.#letters.set(letter.id, letter)
  }

  /** Before the event is folded. */
  happens({ id, state }: Shadow, event: RunEvent): void {
    if ((event.type !== 'step.completed' && event.type !== 'step.repeated') || event.messageId === undefined)
      return
    const letter = this.#letters.get(event.messageId)
    if (!letter)
      throw new Violation(`${event.key} of run ${id} took message ${event.messageId}, which nobody sent`)
    if (!fits(waitOf(state, event.key), letter))
      throw new Violation(`${event.key} of run ${id} took message ${letter.id}, which was not meant for it`)
    if (!isDeepStrictEqual(event.output, { ...letter.data }))
      throw new Violation(`${event.key} of run ${id} took other data than message ${letter.id} had`)
    this.#parts.occurrences.add('message taken')
  }

  /**
   * Whether a message lies beside this open wait: it takes it by itself, so nobody needs to send another. It must soon.
   */
  isBeside({ waitId, wait }: { waitId: string; wait: MessageWait }): boolean {
    const { tables, time } = this.#parts
    const kept = [...tables.messages.values()].find(
      (message) => message.runs.length === 0 && message.expiresAt > time.now && fits(wait, letterOf(message)),
    )
    if (!kept) return false
    const since = this.#beside.get(waitId) ?? time.elapsedMs
    this.#beside.set(waitId, since)
    if (time.elapsedMs - since > NOTICED_AFTER_MS)
      throw new Violation(`message ${kept.id} lies beside wait ${waitId}, which is open and does not take it`)
    return true
  }

  /** Whether the store has it. */
  isKnown(id: string): boolean {
    return [...this.#parts.tables.messages.values()].some((message) => message.id === id)
  }

  finally(): void {
    const given = this.#given()
    for (const message of this.#parts.tables.messages.values())
      this.#counted(message, given.get(message.id) ?? [])
  }

  #counted(message: MessageRecord, given: readonly Given[]): void {
    const { tables, occurrences, time } = this.#parts
    const takers = given.filter(({ verdict }) => verdict.accepted)
    if (new Set(takers.map(({ offer }) => offer)).size > 1)
      throw new Violation(`R15: message ${message.id} was taken, and given to others later`)
    const runs = takers.map(({ runId }) => runId).sort()
    if (!isDeepStrictEqual([...message.runs].sort(), runs))
      throw new Violation(`R15: message ${message.id} is shown with ${message.runs}, and ${runs} took it`)
    const letter = letterOf(message)
    for (const waitId of message.missed) {
      const match = tables.waits.get(waitId)?.match ?? null
      if (match === null || passes(match, letter.data.v))
        throw new Violation(
          `message ${message.id} went to others, past wait ${waitId} that was open when it came`,
        )
    }
    if (takers.length > 1) occurrences.add('message to several runs')
    occurrences.add('message refused', given.length - takers.length)
    if (takers.length === 0 && message.expiresAt <= time.now) occurrences.add('message expired')
  }

  /** What came into inboxes by correlation, by the message's id. */
  #given(): Map<string, Given[]> {
    const given = new Map<string, Given[]>()
    for (const { id, runId, command: text, verdict } of this.#parts.tables.inbox.values()) {
      const command = JSON.parse(text) as Command
      if (command.kind !== 'message' || command.waitIds === undefined || verdict === null) continue
      const offer = id.slice(0, -command.messageId.length)
      const known = given.get(command.messageId) ?? []
      known.push({ runId, offer: offer.slice(runId.length), verdict: parse(verdict) as unknown as Verdict })
      given.set(command.messageId, known)
    }
    return given
  }
}

type Activity = NonNullable<StepState['unit']>['activity']

interface Given {
  readonly runId: string
  readonly offer: string
  readonly verdict: Verdict
}

export function activityOf(state: RunState, key: string): Activity | undefined {
  const { id, index } = parseKey(key)
  const step = state.steps.get(id)
  return (index === null ? step?.unit : step?.items?.live.get(index))?.activity
}

/** What the step waits for, or would have: one that finds a message takes it without waiting. */
function waitOf(state: RunState, key: string): MessageWait {
  const { message, key: correlationKey, match } = state.graph.definition.nodes[parseKey(key).id]?.with ?? {}
  return {
    kind: 'message',
    name: String(message),
    ...(correlationKey === undefined ? {} : { correlationKey: String(correlationKey) }),
    ...(match === undefined ? {} : { match: String(match) }),
  }
}

/** What the run waits for at the moment. */
export const messageWaits = (state: RunState): MessageWait[] =>
  [...state.waits.values()].flatMap((key) => messageWaitOf(state, key)?.wait ?? [])

function fits({ name, correlationKey, match }: MessageWait, letter: Omit<Letter, 'id'>): boolean {
  return (
    name === letter.name &&
    (correlationKey === undefined || correlationKey === letter.correlationKey) &&
    (match === undefined || passes(match, letter.data.v))
  )
}

const letterOf = ({ name, correlationKey, data }: MessageRecord): Omit<Letter, 'id'> => ({
  name,
  ...(correlationKey === null ? {} : { correlationKey }),
  data: parse(data) as { v: number },
})

/** The open wait of this step for a message. */
export function messageWaitOf(state: RunState, key: string): { waitId: string; wait: MessageWait } | null {
  const activity = activityOf(state, key)
  if (activity?.phase !== 'waiting' || activity.wait.kind !== 'message') return null
  return { waitId: activity.waitId, wait: activity.wait }
}
