/**
 * The ledger: every call that reached the service, in order, with who called and when.
 *
 * It is what the outside world saw, kept in a process of its own, so that it tells the truth about an engine that was
 * killed. With a file, each call is also a line of JSON there, written when the call has ended.
 */
import { createWriteStream, type WriteStream } from 'node:fs'
import { type Caller, type Route, route } from './call.ts'

export interface LedgerEntry extends Caller {
  /** Counts from 1 over the life of the ledger. */
  n: number
  method: string
  path: string
  /** With its `?`, or empty. */
  query: string
  /** Milliseconds since 1970: the call's headers had arrived. */
  startedAt: number
  /** Milliseconds since 1970: the answer was out. Null while the call is open, and for ever if the caller hung up. */
  answeredAt: number | null
  status: number | null
}

export interface LedgerSummary {
  run: string | null
  step: string | null
  round: number | null
  calls: number
  answered: number
  attempts: number[]
  firstStartedAt: number
  lastStartedAt: number
}

export class Ledger {
  readonly #file: WriteStream | undefined
  readonly #waiting = new Set<() => boolean>()
  #entries: LedgerEntry[] = []
  #count = 0

  constructor(file?: string) {
    this.#file = file === undefined ? undefined : createWriteStream(file, { flags: 'a' })
  }

  open(method: string, path: string, query: string, caller: Caller): LedgerEntry {
    const { run, step, round, attempt, idempotencyKey } = caller
    const entry: LedgerEntry = {
      n: ++this.#count,
      method,
      path,
      query,
      run,
      step,
      round,
      attempt,
      idempotencyKey,
      startedAt: Date.now(),
      answeredAt: null,
      status: null,
    }
    this.#entries.push(entry)
    for (const look of this.#waiting) if (look()) this.#waiting.delete(look)
    return entry
  }

  /** The call has ended: answered with a status, or without one when the caller hung up first. */
  close(entry: LedgerEntry, status: number | null): void {
    if (status !== null) {
      entry.answeredAt = Date.now()
      entry.status = status
    }
    this.#file?.write(`${JSON.stringify(shown(entry))}\n`)
  }

  entries(): readonly LedgerEntry[] {
    return this.#entries
  }

  /** Resolves as soon as `count` matching calls have arrived, those of the past included. */
  called(match: (entry: LedgerEntry) => boolean, count = 1): Promise<LedgerEntry[]> {
    return new Promise((resolve) => {
      const look = (): boolean => {
        const found = this.#entries.filter(match)
        if (found.length < count) return false
        resolve(found)
        return true
      }
      if (!look()) this.#waiting.add(look)
    })
  }

  summary(): LedgerSummary[] {
    const groups = new Map<string, LedgerSummary>()
    for (const { run, step, round, attempt, startedAt, answeredAt } of this.#entries) {
      const key = JSON.stringify([run, step, round])
      let group = groups.get(key)
      if (group === undefined) {
        group = {
          run,
          step,
          round,
          calls: 0,
          answered: 0,
          attempts: [],
          firstStartedAt: startedAt,
          lastStartedAt: startedAt,
        }
        groups.set(key, group)
      }
      group.calls++
      if (answeredAt !== null) group.answered++
      if (attempt !== null && !group.attempts.includes(attempt)) group.attempts.push(attempt)
      group.lastStartedAt = startedAt
    }
    return [...groups.values()]
  }

  clear(): void {
    this.#entries = []
  }

  /** Resolves when every line is in the file. */
  end(): Promise<void> {
    return new Promise((resolve) => (this.#file === undefined ? resolve() : this.#file.end(() => resolve())))
  }
}

/** `at` is for people; it is made when someone looks. */
const shown = (entry: LedgerEntry): LedgerEntry & { at: string } => ({
  ...entry,
  at: new Date(entry.startedAt).toISOString(),
})

export const ledgerRoutes = (ledger: Ledger): Route[] => [
  route('GET', '/ledger', ({ query }) => {
    const run = query.get('run')
    const entries = run === null ? ledger.entries() : ledger.entries().filter((entry) => entry.run === run)
    return { body: entries.map(shown) }
  }),
  route('GET', '/ledger/summary', () => ({ body: ledger.summary() })),
  route('DELETE', '/ledger', () => {
    ledger.clear()
    return { status: 204 }
  }),
]
