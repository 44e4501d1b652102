/**
 * The store as one process sees it: the twin behind a connection on which calls fail, outcomes stay unknown and sessions
 * end.
 */
import type { Clock } from '../../server/src/clock.ts'
import {
  AppendConflict,
  type OwnerSession,
  RowRefused,
  type RunAppend,
  type RunStore,
  SessionLost,
  StoreError,
} from '../../server/src/store/store.ts'
import type { Checks } from './checks.ts'
import type { FaultKind } from './faults.ts'
import type { SimProcess } from './process.ts'
import { Line, type Seam } from './seam.ts'
import type { TwinSession } from './store/owner.ts'
import type { Tables } from './store/tables.ts'
import { twinStore } from './store.ts'
import type { VirtualTime } from './time.ts'

const POOL_FAULTS: readonly FaultKind[] = ['error before', 'error after', 'delayed']
const SESSION_FAULTS: readonly FaultKind[] = [
  'refused',
  'session lost before',
  'session lost after',
  'delayed',
]
/** A killed process’s session ends when the database notices. */
const LONGEST_AFTERLIFE_MS = 3_000

export interface DatabaseParts {
  readonly tables: Tables
  readonly time: VirtualTime
  readonly seam: Seam
  readonly checks: Checks
  /** How long a killed process's session lives on, at most that long. */
  readonly afterlife: (longestMs: number) => number
  /** Told of what was committed before whoever did it knows. */
  readonly committed?: (process: SimProcess, batch: readonly RunAppend[]) => void
  /** The same of a run that has begun. */
  readonly began?: (process: SimProcess) => void
  /** The same of a message by correlation. */
  readonly kept?: (process: SimProcess) => void
}

/** What the store says in the ordinary course of things. */
export const isStoreAnswer = (error: unknown): boolean =>
  error instanceof SessionLost ||
  error instanceof AppendConflict ||
  error instanceof RowRefused ||
  error instanceof StoreError

const unavailable = (kind: FaultKind): Error =>
  new StoreError('database_unavailable', `the connection broke (${kind})`)

export function connectStore(parts: DatabaseParts, process: SimProcess): RunStore {
  const { tables, time, seam, checks } = parts
  const clock: Pick<Clock, 'now'> = process.clock
  const twin = twinStore(tables, clock, { now: () => time.now })

  /** Every verb of a noun as a call. */
  function connected<Noun extends object>(name: string, noun: Noun): Noun {
    return Object.fromEntries(
      Object.entries(noun).map(([verb, perform]: [string, (...given: unknown[]) => Promise<unknown>]) => [
        verb,
        (...given: unknown[]) => {
          const sent = copy(given)
          return seam.call({
            name: `${name}.${verb}`,
            process,
            faults: POOL_FAULTS,
            failure: unavailable,
            perform: () => perform(...sent),
          })
        },
      ]),
    ) as Noun
  }

  return {
    runs: connected('runs', {
      ...twin.runs,
      begin: async (run) => {
        const outcome = await twin.runs.begin(run)
        if (outcome.kind === 'begun') {
          checks.begun(run, process.name)
          parts.began?.(process)
        }
        return outcome
      },
    } satisfies RunStore['runs']),
    inbox: connected('inbox', twin.inbox),
    messages: connected('messages', watchMessages(twin.messages, parts, process)),
    graphs: connected('graphs', twin.graphs),
    workflows: connected('workflows', twin.workflows),
    approvals: connected('approvals', twin.approvals),
    blobs: connected('blobs', twin.blobs),
    records: connected('records', twin.records),
    variables: connected('variables', twin.variables),
    coordinators: connected('coordinators', twin.coordinators),
    idempotency: connected('idempotency', twin.idempotency),
    openOwner: (name) =>
      seam.call({
        name: 'openOwner',
        process,
        faults: ['error before'],
        failure: unavailable,
        async perform() {
          const session = await twin.openOwner(name)
          process.onDeath(() => {
            const delayMs = parts.afterlife(LONGEST_AFTERLIFE_MS)
            time.after(delayMs, `the session of ${name} ends`, () => session.session.end())
          })
          return connectSession(parts, process, session)
        },
      }),
  }
}

const isSender = ({ name }: SimProcess): boolean => name.startsWith('api')

/** Counts how messages find their waits. */
function watchMessages(
  messages: RunStore['messages'],
  { checks: { occurrences }, kept }: DatabaseParts,
  process: SimProcess,
): RunStore['messages'] {
  return {
    ...messages,
    async keep(message) {
      const outcome = await messages.keep(message)
      if (outcome.kind === 'kept') kept?.(process)
      return outcome
    },
    async give(request) {
      const outcome = await messages.give(request)
      if (outcome.kind === 'given' && outcome.runs.length > 0)
        occurrences.add(isSender(process) ? 'message given by its sender' : 'message given by a coordinator')
      return outcome
    },
    async unannounced(request) {
      const found = await messages.unannounced(request)
      occurrences.add('message found by a sweep', found.length)
      return found
    },
    async expectant(request) {
      const found = await messages.expectant(request)
      occurrences.add('message looked for after a takeover', found.length)
      return found
    },
  }
}

function connectSession(parts: DatabaseParts, process: SimProcess, twin: TwinSession): OwnerSession {
  const { time, seam, checks } = parts
  const line = new Line()
  const ended = new Promise<void>((resolve) => {
    void twin.ended.then(() =>
      time.after(0, `${process.name} hears of its end`, () => process.deliver(resolve)),
    )
  })

  const failure = (kind: FaultKind): Error => {
    if (kind === 'refused') return new StoreError('database_busy', 'nothing was written')
    twin.session.end()
    return new SessionLost(`the session broke (${kind})`)
  }

  function on<Result>(name: string, perform: () => Promise<Result>): Promise<Result> {
    return seam.call({ name: `session.${name}`, process, faults: SESSION_FAULTS, failure, line, perform })
  }

  /** Reads go by the pool. */
  function read<Result>(name: string, perform: () => Promise<Result>): Promise<Result> {
    return seam.call({ name: `session.${name}`, process, faults: POOL_FAULTS, failure: unavailable, perform })
  }

  return {
    id: twin.id,
    ended,
    claim: (partitions) => on('claim', () => twin.claim(partitions)),
    release: (partitions) => on('release', () => twin.release(partitions)),
    append(batch) {
      const sent = copy(batch) as readonly RunAppend[]
      return on('append', async () => {
        await twin.append(sent)
        checks.appended(sent, process.name)
        parts.committed?.(process, sent)
      })
    },
    load: (runIds) => read('load', () => twin.load(runIds)),
    inbox: (runIds) => read('inbox', () => twin.inbox(runIds)),
    due: (request) => on('due', () => twin.due(request)),
    postpone: (runs) =>
      on('postpone', async () => {
        await twin.postpone(runs)
        for (const { runId } of runs) checks.wakes(runId)
      }),
    quarantine: (request) =>
      on('quarantine', async () => {
        await twin.quarantine(request)
        checks.quarantined(request)
      }),
    async close() {
      twin.session.end()
    },
  }
}

/** What leaves a process is text: nobody shares an object with it. Bytes and signals of waiting stay what they are. */
function copy<Value>(value: Value): Value {
  if (value instanceof Uint8Array) return Uint8Array.from(value) as Value
  if (Array.isArray(value)) return value.map(copy) as Value
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copy(item)])) as Value
}
