/** What the cases of the store's conformance suite share: how a store is opened, and rows to put into it. */
import { randomUUID } from 'node:crypto'
import type { Json, RunEvent } from '@weft/engine'
import type { NewRun, OwnerSession, RunAppend, RunStore, Store } from '../../src/store/store.ts'
import { PARTITIONS } from '../../src/transport/transport.ts'

/** A store that may lack what only people and keys need, as the simulator's twin does. */
export interface OpenedStore<Of = RunStore> {
  readonly store: Of
  /** Another process on the same data. */
  another(): Promise<Of & Pick<Store, 'close'>>
  /** Ends the session of the owner with this name from outside, as a peer does; resolves once it is gone. */
  sever(owner: string): Promise<void>
  close(): Promise<void>
}

export type Opened<Of = RunStore> = () => OpenedStore<Of>

export const EVERY_PARTITION: readonly number[] = Array.from({ length: PARTITIONS }, (_, number) => number)

export const GRAPH = `sha256:${'0'.repeat(64)}`

/** Where every run of the suite begins in time; far from the clock, so that nothing is due by accident. */
export const START_MS = 4_000_000_000_000

type Started = NewRun['started']

export function runStarted(changes: Partial<Started> = {}): Started {
  return {
    type: 'run.started',
    at: START_MS,
    graph: GRAPH,
    input: {},
    labels: {},
    workflow: { name: 'orders', version: null },
    vars: {},
    actor: 'test',
    ...changes,
  }
}

export interface RunChanges {
  readonly id?: string
  readonly workflow?: string
  readonly workspace?: string
  readonly started?: Partial<Started>
  readonly idempotency?: NewRun['idempotency']
}

export function newRun({ started, ...changes }: RunChanges = {}): NewRun {
  const run = { id: randomUUID(), workspace: 'default', workflow: 'orders', version: null, graph: GRAPH }
  return { ...run, ...changes, started: runStarted(started) }
}

/** An id in the same partition, as a child's is. */
export const idBeside = (runId: string): string => `${randomUUID().slice(0, -1)}${runId.slice(-1)}`

export const paused = (at = START_MS + 1): RunEvent => ({ type: 'run.paused', at, actor: 'test' })

export const stepCompleted = (output: Json, at = START_MS + 1): RunEvent => ({
  type: 'step.completed',
  at,
  key: 'fetch',
  round: 1,
  attempt: 1,
  output,
})

export const appendOf = (run: NewRun, changes: Partial<RunAppend> = {}): RunAppend => ({
  runId: run.id,
  workspace: run.workspace,
  firstSeq: 2,
  events: [paused()],
  status: 'running',
  waitingFor: ['worker'],
  verdicts: [],
  waitsOpened: [],
  waitsClosed: [],
  ...changes,
})

/** The append with which a run completes at this time. */
export const ending = (run: NewRun, at = START_MS + 5, changes: Partial<RunAppend> = {}): RunAppend =>
  appendOf(run, {
    events: [{ type: 'run.completed', at, output: { ok: true } }],
    status: 'completed',
    waitingFor: [],
    wakeAt: null,
    finished: { at, output: { ok: true }, error: null },
    ...changes,
  })

let owners = 0

/** Opens a session that owns every partition for as long as `work` takes. */
export async function whileOwning<Result>(
  store: Pick<RunStore, 'openOwner'>,
  work: (session: OwnerSession, name: string) => Promise<Result>,
): Promise<Result> {
  const name = `owner-${++owners}`
  const session = await store.openOwner(name)
  try {
    const claimed = await session.claim(EVERY_PARTITION)
    if (claimed.length < PARTITIONS)
      throw new Error(`only partitions ${claimed} were free: a test kept the others`)
    return await work(session, name)
  } finally {
    await session.close()
  }
}

/** Begins the run and completes it. */
export async function finishedRun(
  store: Pick<RunStore, 'runs' | 'openOwner'>,
  changes: RunChanges = {},
  at?: number,
): Promise<NewRun> {
  const run = newRun(changes)
  await store.runs.begin(run)
  await whileOwning(store, (session) => session.append([ending(run, at)]))
  return run
}

/** The rejection of a promise. */
export async function failureOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new Error('it resolved')
}
