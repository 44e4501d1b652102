/**
 * Several coordinators over one PostgreSQL and one transport in memory, as processes would be over Redis, with real time.
 * The worker is the test: whatever is dispatched is completed at once, and each call of a step is written down.
 */
import { randomUUID } from 'node:crypto'
import type { JsonObject, RunEvent, Task } from '@weft/engine'
import pg from 'pg'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { type Coordinator, createCoordinator } from '../../src/coordinator/coordinator.ts'
import { createGraphCatalog } from '../../src/graphs.ts'
import { createMetrics } from '../../src/metrics.ts'
import { openStore } from '../../src/store/postgres.ts'
import type { Store } from '../../src/store/store.ts'
import type { Transport } from '../../src/transport/transport.ts'
import { testDatabase } from '../postgres.ts'
import { stackTransport } from '../stack.ts'
import { CHAIN, compiled, TYPES } from './world.ts'

const LOOK_EVERY_MS = 10

export interface Member {
  readonly name: string
  readonly coordinator: Coordinator
  /** Its beats do not leave as long as this holds. */
  isMute: boolean
}

export class Fleet {
  readonly clock = systemClock()
  readonly transport: Transport
  readonly store: Store
  readonly members: Member[] = []
  /** Steps that were called, and calls that came when the completion of the step was in the log already. */
  readonly calls: Task[] = []
  readonly lateCalls: Task[] = []
  readonly #completed = new Set<string>()
  readonly #ended = new Set<string>()
  readonly #peer: pg.Client
  readonly url: string
  readonly #stop = new AbortController()

  constructor(url: string, store: Store, peer: pg.Client, transport: Transport) {
    this.url = url
    this.store = store
    this.#peer = peer
    this.transport = transport
    this.transport.live.subscribe((message) => {
      if (message.kind !== 'event') return
      const event = message.event as RunEvent
      if (event.type === 'step.completed') this.#completed.add(`${message.runId}/${event.key}`)
      if (event.type === 'run.completed') this.#ended.add(message.runId)
    })
    void this.#work()
  }

  /** A coordinator with a store of its own; started unless told otherwise. */
  async add(settings: { readonly isSharing?: boolean; readonly url?: string } = {}): Promise<Member> {
    const store = await openStore({
      url: settings.url ?? this.url,
      clock: this.clock,
      applicationName: 'weft fleet',
      poolSize: 2,
      statementTimeoutMs: 5_000,
    })
    const name = `member-${this.members.length + 1}`
    const member: { -readonly [Key in keyof Member]: Member[Key] } = {
      name,
      isMute: false,
      coordinator: undefined as unknown as Coordinator,
    }
    const graphs = createGraphCatalog(store, () => TYPES)
    member.coordinator = createCoordinator({
      store: {
        ...store,
        coordinators: {
          ...store.coordinators,
          beat: (request) => until(() => !member.isMute).then(() => store.coordinators.beat(request)),
        },
      },
      transport: this.transport,
      graphs,
      types: () => TYPES,
      clock: this.clock,
      log: pino({ level: 'silent' }),
      metrics: createMetrics().coordinator,
      name,
      isSharing: settings.isSharing ?? true,
    })
    this.members.push(member)
    onTestFinished(async () => {
      member.isMute = false
      await member.coordinator.stop()
      await store.close()
    })
    await member.coordinator.start()
    return member
  }

  async begin(count: number, definition: JsonObject = CHAIN): Promise<string[]> {
    const graph = compiled(definition)
    await this.store.graphs.put({ hash: graph.hash, definition: { ...graph.definition } as never })
    const runIds = Array.from({ length: count }, () => randomUUID())
    await Promise.all(
      runIds.map(async (id) => {
        const started: Extract<RunEvent, { type: 'run.started' }> = {
          type: 'run.started',
          at: this.clock.now(),
          graph: graph.hash,
          input: {},
          labels: {},
          workflow: { name: 'test', version: null },
          vars: {},
          actor: 'test',
        }
        await this.store.runs.begin({
          id,
          workspace: 'default',
          workflow: 'test',
          version: null,
          graph: graph.hash,
          started,
        })
        await this.transport.signals.send([
          { runId: id, signal: { kind: 'begun', workspace: 'default', started } },
        ])
      }),
    )
    return runIds
  }

  /** Resolves once all of these runs have completed, and checks that no step of theirs did so twice. */
  async completed(runIds: readonly string[]): Promise<void> {
    await until(async () => {
      const missing = runIds.filter((id) => !this.#ended.has(id))
      // A live message may be lost with a session: the log knows.
      const rows = await Promise.all(missing.map((id) => this.store.runs.get({ workspace: 'default', id })))
      for (const row of rows) if (row?.status === 'completed') this.#ended.add(row.id)
      return runIds.every((id) => this.#ended.has(id))
    })
    const { rows } = await this.#peer.query<{ run_id: string }>(
      `select run_id, data->>'key' from run_events where type = 'step.completed' and run_id = any($1)
       group by 1, 2 having count(*) > 1`,
      [runIds],
    )
    if (rows.length > 0) throw new Error(`steps of ${rows.length} runs completed twice`)
  }

  /** Resolves once the partitions are divided like this, in the order of the members. */
  async divided(...sizes: readonly number[]): Promise<void> {
    await until(() =>
      sizes.every((size, index) => this.members[index]?.coordinator.partitions().length === size),
    )
    const all = this.members.flatMap(({ coordinator }) => coordinator.partitions())
    if (new Set(all).size !== all.length) throw new Error('a partition has two owners')
  }

  /** As seen by the peers, the member showed its last sign of life so long ago. */
  async age({ name }: Member, ms: number): Promise<void> {
    await this.#peer.query('update coordinators set beat_at = beat_at - $2::bigint where name = $1', [
      name,
      ms,
    ])
  }

  /** Ends the member's session, as a peer or an administrator does. */
  async sever({ name }: Member): Promise<void> {
    await this.#peer.query(
      `select pg_terminate_backend(pid, 10000) from pg_stat_activity
       where datname = current_database() and application_name like '% ' || $1`,
      [name],
    )
  }

  async #work(): Promise<void> {
    const capacity = new Map([['log', 50]])
    while (!this.#stop.signal.aborted) {
      const taken = await this.transport.tasks.take('hands', capacity, this.#stop.signal)
      for (const { task } of taken) {
        this.calls.push(task)
        if (this.#completed.has(`${task.runId}/${task.key}`)) this.lateCalls.push(task)
      }
      await this.transport.tasks.report(
        'hands',
        taken.map(({ task: { id, runId, key, round, attempt } }) => ({
          taskId: id,
          runId,
          signal: {
            kind: 'completed',
            key,
            round,
            attempt,
            output: {},
            startedAt: this.clock.now(),
            worker: 'hands',
          },
        })),
      )
    }
  }

  async end(): Promise<void> {
    this.#stop.abort()
    await this.transport.close()
    await this.#peer.end()
    await this.store.close()
  }
}

/** An empty database and nobody on it; everything is stopped when the test ends. */
export async function fleet(): Promise<Fleet> {
  const database = await testDatabase()
  const store = await openStore({
    url: database.url,
    clock: systemClock(),
    applicationName: 'weft test',
    poolSize: 4,
  })
  const peer = new pg.Client({ connectionString: database.url })
  await peer.connect()
  const created = new Fleet(database.url, store, peer, await stackTransport({ clock: systemClock() }))
  onTestFinished(async () => {
    await created.end()
    await database.drop()
  })
  return created
}

/** Looks again and again; the hang guard of the test ends what never comes true. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
}
