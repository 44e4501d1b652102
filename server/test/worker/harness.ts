/**
 * A worker over the real memory transport, with a store on maps behind it: everything between a task and its signal is
 * the product's own.
 */
import { type BlobRef, hashBytes, type Json, type Signal, type Task } from '@weft/engine'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import { z } from 'zod'
import { type Clock, systemClock } from '../../src/clock.ts'
import { createEgress } from '../../src/egress/egress.ts'
import { defineNode } from '../../src/nodes/define-node.ts'
import type { NodeContext, NodeDefinitionInput, NodeType } from '../../src/nodes/node-type.ts'
import { createRegistry, type NodeRegistry } from '../../src/nodes/registry.ts'
import type { Store } from '../../src/store/store.ts'
import { type LiveMessage, PARTITIONS, type Transport } from '../../src/transport/transport.ts'
import { environmentCredentials } from '../../src/worker/credentials.ts'
import { createWorker, type Worker, type WorkerParts } from '../../src/worker/worker.ts'
import { stackTransport } from '../stack.ts'

export type Completed = Extract<Signal, { kind: 'completed' }>
export type Failed = Extract<Signal, { kind: 'failed' }>

export const RUN = '01990000-0000-7000-8000-000000000003'

export interface Bench {
  readonly worker: Worker
  readonly transport: Transport
  readonly registry: NodeRegistry
  readonly store: MapStore
  readonly clock: Clock
  readonly live: LiveMessage[]
  readonly lines: string[]
  /** Publishes a task and waits for its signal. */
  perform(changes: Partial<Task> & { type: string }): Promise<Signal>
  completed(changes: Partial<Task> & { type: string }): Promise<Completed>
  failed(changes: Partial<Task> & { type: string }): Promise<Failed>
  /** The next signal of any run. */
  nextSignal(): Promise<Signal>
}

export interface BenchSettings {
  readonly types?: readonly NodeType[]
  readonly credentials?: Record<string, string>
  readonly allow?: readonly string[]
  readonly concurrency?: Record<string, number>
  readonly clock?: Clock
  readonly transport?: Transport
  readonly graceMs?: number
  readonly store?: MapStore
}

export function taskOf(changes: Partial<Task> & { type: string }): Task {
  const { runId = RUN, key = 'step', round = 1, attempt = 1 } = changes
  return {
    id: `${runId}/${key}/${round}/${attempt}`,
    runId,
    workspace: 'default',
    key,
    node: key.split('[')[0] as string,
    round,
    attempt,
    workflow: 'test',
    // Templates are cached by graph and node: each config here is another graph.
    graph: `graph of ${JSON.stringify(changes.config ?? {})}`,
    config: {},
    credentials: {},
    timeoutMs: null,
    scope: {},
    ...changes,
  }
}

const anything = z.looseObject({})

/** A node type whose work is the given function. */
export const nodeOf = (
  type: string,
  run: NodeDefinitionInput['run'],
  more: Partial<NodeDefinitionInput> = {},
): NodeType =>
  defineNode({
    type,
    title: type,
    description: `The test's ${type}.`,
    config: anything,
    effect: 'pure',
    ...more,
    run: (config, context) => run(config, context as NodeContext),
  })

export async function openWorker(settings: BenchSettings = {}): Promise<Bench> {
  const clock = settings.clock ?? systemClock()
  const transport = settings.transport ?? (await stackTransport({ clock }))
  const registry = createRegistry({ builtIn: settings.types ?? [] })
  const store = settings.store ?? mapStore()
  const egress = createEgress({ allow: [...(settings.allow ?? [])] })
  const lines: string[] = []
  const live: LiveMessage[] = []
  transport.live.subscribe((message) => live.push(message))
  const parts: WorkerParts = {
    name: 'w1',
    transport,
    store,
    registry,
    credentials: environmentCredentials(settings.credentials ?? {}),
    egress,
    clock,
    log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }),
    concurrency: new Map(Object.entries(settings.concurrency ?? { '*': 16 })),
    graceMs: settings.graceMs ?? 1_000,
  }
  const worker = createWorker(parts)
  await worker.start()
  onTestFinished(async () => {
    await worker.stop()
    await egress.close()
    await transport.close()
  })

  const everywhere: ReadonlySet<number> = new Set(Array.from({ length: PARTITIONS }, (_, number) => number))
  const forever = new AbortController().signal
  const nextSignal = async (): Promise<Signal> => {
    const [message] = await transport.signals.receive(everywhere, 1, forever)
    await transport.signals.delete([message!.receipt])
    return message!.signal as Signal
  }
  const perform = async (changes: Partial<Task> & { type: string }): Promise<Signal> => {
    await transport.tasks.publish([taskOf(changes)])
    return nextSignal()
  }
  const expectKind =
    <Kind extends Signal['kind']>(kind: Kind) =>
    async (changes: Partial<Task> & { type: string }): Promise<Extract<Signal, { kind: Kind }>> => {
      const signal = await perform(changes)
      if (signal.kind !== kind) throw new Error(`${kind} was expected: ${JSON.stringify(signal)}`)
      return signal as Extract<Signal, { kind: Kind }>
    }
  return {
    worker,
    transport,
    registry,
    store,
    clock,
    live,
    lines,
    perform,
    nextSignal,
    completed: expectKind('completed'),
    failed: expectKind('failed'),
  }
}

export interface MapStore extends Pick<Store, 'blobs' | 'records'> {
  readonly blobTexts: ReadonlyMap<string, Uint8Array>
  readonly recorded: ReadonlyMap<string, { attempt: number; value: Json }>
  /** Steps whose completion is in the log: `<run>/<key>/<round>`. */
  readonly completed: Set<string>
}

export function mapStore(): MapStore {
  const blobs = new Map<string, Uint8Array>()
  const types = new Map<string, string>()
  const recorded = new Map<string, { attempt: number; value: Json }>()
  const completed = new Set<string>()
  const nameOf = (record: { runId: string; key: string; round: number; name: string }): string =>
    `${record.runId}/${record.key}/${record.round}/${record.name}`
  return {
    blobTexts: blobs,
    recorded,
    completed,
    blobs: {
      async put({ workspace, bytes, contentType }): Promise<BlobRef> {
        const hash = hashBytes(bytes)
        blobs.set(`${workspace} ${hash}`, bytes)
        types.set(`${workspace} ${hash}`, contentType)
        return { $blob: hash, bytes: bytes.length, contentType }
      },
      async get({ workspace, hash }) {
        const bytes = blobs.get(`${workspace} ${hash}`)
        return bytes === undefined
          ? null
          : { bytes, contentType: types.get(`${workspace} ${hash}`) as string }
      },
      collect: async () => 0,
    },
    records: {
      async once(record) {
        const name = nameOf(record)
        const known = recorded.get(name)
        if (known !== undefined && known.attempt > record.attempt) return { refused: true }
        if (known === undefined) recorded.set(name, { attempt: record.attempt, value: record.value })
        return { value: known?.value ?? record.value }
      },
      async get(record) {
        const known = recorded.get(nameOf(record))
        return known === undefined ? null : { value: known.value }
      },
      completion: async ({ runId, key, round }) =>
        completed.has(`${runId}/${key}/${round}`) ? { attempt: 1, worker: null } : null,
    },
  }
}
