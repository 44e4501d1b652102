/**
 * Messages by correlation: which waits a message fits, and which message a wait takes.
 *
 * Both sides write, commit, then look: a sender at the open waits (`announce`), a run whose wait opened at the messages
 * that are kept (`listen`). Whichever commits second sees the other; when both do, the message goes once (`give`). What a
 * crash leaves between the commit and the look is made up for: the coordinator announces messages that nobody has, and
 * a run that is loaded listens again (R5).
 *
 * Judging a message against `match` happens here alone; the run that gets it sees only whether its wait is still open.
 */
import { CONTROL_READ_LIMIT, isBlobRef, type Json, matchHolds } from '@weft/engine'
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { MessageRow, OpenWait } from './store/message-store.ts'
import type { Store } from './store/store.ts'
import type { Transport } from './transport/transport.ts'

/** Kept messages read at a time: one is enough for a wait without a condition, unless another wait is quicker. */
const PAGE = 20
/** Looks of one `announce`; what is left then, the sweep announces again. */
const MOST_LOOKS = 3

export interface CorrelationParts {
  readonly store: Pick<Store, 'messages' | 'blobs'>
  readonly transport: Pick<Transport, 'signals'>
  readonly clock: Clock
  readonly log: Log
}

export interface Listener {
  readonly waitId: string
  readonly runId: string
  readonly workspace: string
  readonly name: string
  readonly correlationKey?: string
  readonly match?: string
}

/** Gives the message to every open wait that it fits. Answers which runs have it now; none: it stays kept. */
export async function announce(parts: CorrelationParts, message: MessageRow): Promise<readonly string[]> {
  const { workspace, id } = message
  const given = await offer(parts, message)
  if (given === 'not_kept') return (await parts.store.messages.get({ workspace, id }))?.runs ?? []
  return given.map(({ runId }) => runId)
}

interface Target {
  readonly runId: string
  readonly waitIds: readonly string[]
}

async function offer(parts: CorrelationParts, message: MessageRow): Promise<readonly Target[] | 'not_kept'> {
  const { messages } = parts.store
  const { workspace, id, offers } = message
  for (let look = 0; look < MOST_LOOKS; look++) {
    const waits = await messages.waits(message)
    const fits = conditionsOn(parts, message)
    const found = new Map<string, string[]>()
    for (const wait of waits) {
      if (await fits(wait.match)) found.set(wait.runId, [...(found.get(wait.runId) ?? []), wait.waitId])
    }
    if (found.size === 0) return (await messages.announced({ workspace, id, offers })) ? [] : 'not_kept'
    const to = [...found].map(([runId, waitIds]): Target => ({ runId, waitIds }))
    const given = await give(parts, message, to)
    // Where all of them were deleted since, and their waits with them, another look finds others, or nobody.
    if (given === 'not_kept' || given.length > 0) return given
  }
  return []
}

async function give(
  parts: CorrelationParts,
  { workspace, id }: MessageRow,
  to: readonly Target[],
): Promise<readonly Target[] | 'not_kept'> {
  const outcome = await parts.store.messages.give({ workspace, id, to })
  if (outcome.kind === 'not_kept') return 'not_kept'
  if (outcome.runs.length > 0) wake(parts, outcome.runs)
  const given = new Set(outcome.runs)
  return to.filter(({ runId }) => given.has(runId))
}

/**
 * Gives each wait that has opened the oldest kept message that it takes. One that nobody has held against the open waits
 * yet is not for this wait alone: whoever waited when it was sent is to have it too.
 */
export async function listen(parts: CorrelationParts, listeners: readonly Listener[]): Promise<void> {
  for (const listener of listeners) await listenFor(parts, listener)
}

async function listenFor(parts: CorrelationParts, listener: Listener): Promise<void> {
  const { messages } = parts.store
  const { workspace, name, correlationKey, runId, waitId, match = null } = listener
  const wanted = { workspace, name, limit: PAGE, ...(correlationKey === undefined ? {} : { correlationKey }) }
  for (let after: MessageRow | undefined; ; ) {
    const page = await messages.keptFor(after ? { ...wanted, after } : wanted)
    for (const message of page) {
      if (!(await conditionsOn(parts, message)(match))) continue
      const given = message.isAnnounced
        ? await give(parts, message, [{ runId, waitIds: [waitId] }])
        : await offer(parts, message)
      if (given !== 'not_kept' && given.some(({ waitIds }) => waitIds.includes(waitId))) return
    }
    if (page.length < PAGE) return
    after = page.at(-1)
  }
}

/** Says of a wait's `match` whether the message fits it; each condition is evaluated once. */
function conditionsOn(
  parts: CorrelationParts,
  message: MessageRow,
): (match: OpenWait['match']) => Promise<boolean> {
  const known = new Map<string, boolean>()
  let data: Json | undefined
  return async (match) => {
    if (match === null) return true
    const before = known.get(match)
    if (before !== undefined) return before
    data ??= await readable(parts, message)
    const holds = matchHolds(match, data, parts.clock.now())
    known.set(match, holds)
    return holds
  }
}

/** The data behind a blob; what is too large for an expression to read stays a reference, which no condition fits. */
async function readable({ store }: CorrelationParts, { workspace, data }: MessageRow): Promise<Json> {
  if (!isBlobRef(data) || data.bytes > CONTROL_READ_LIMIT) return data
  const blob = await store.blobs.get({ workspace, hash: data.$blob })
  return blob ? (JSON.parse(new TextDecoder().decode(blob.bytes)) as Json) : data
}

function wake({ transport, log }: CorrelationParts, runIds: readonly string[]): void {
  transport.signals
    .send(runIds.map((runId) => ({ runId, signal: { kind: 'look' } })))
    .catch((error: unknown) => {
      log.warn(
        { error },
        'a message could not be announced to its runs; their owners find it by their wake time',
      )
    })
}
