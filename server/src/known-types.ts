/**
 * The node types that definitions may use: those of this process, and those that workers and programs anywhere have left
 * in the database. Their steps wait for a worker, they do not fail.
 *
 * Every process hears of a new type at once, by the live lane, and within seconds should that message be lost; whoever
 * cannot wait asks with `refresh`.
 */
import { isDeepStrictEqual } from 'node:util'
import type { NodeTypeInfo, NodeTypes } from '@weft/engine'
import type { Clock } from './clock.ts'
import type { NodeRegistry } from './nodes/registry.ts'
import type { Service } from './service.ts'
import type { Store } from './store/store.ts'
import type { Transport } from './transport/transport.ts'

const LOOK_EVERY_MS = 10_000

export interface KnownTypesParts {
  readonly store: Pick<Store, 'nodeTypes'>
  readonly transport: Pick<Transport, 'live'>
  readonly registry: Pick<NodeRegistry, 'types' | 'onChange'>
  readonly clock: Clock
  readonly workspace: string
}

export interface KnownTypes extends Service {
  /** The same map until a type is added or changed. */
  current(): NodeTypes
  /** Makes types of a program outside known to everybody. */
  add(types: readonly NodeTypeInfo[]): Promise<void>
  /** Asks the database. */
  refresh(): Promise<void>
}

export function createKnownTypes(parts: KnownTypesParts): KnownTypes {
  const { store, transport, registry, clock, workspace } = parts
  /** What the database holds, as far as is known. */
  let left = new Map<string, NodeTypeInfo>()
  let current: NodeTypes = registry.types()
  let endings: (() => void)[] = []
  let withdraw: () => void = () => {}
  let isRunning = false

  function merge(): void {
    const types = new Map<string, NodeTypeInfo>(left)
    for (const [type, info] of registry.types()) types.set(type, info)
    if (!isDeepStrictEqual(types, current)) current = types
  }

  async function refresh(): Promise<void> {
    left = new Map((await store.nodeTypes.list({ workspace })).map((info) => [info.type, info]))
    merge()
  }

  /** Writes only what is new: it is also a reason for every other process to look. */
  async function add(types: readonly NodeTypeInfo[]): Promise<void> {
    const changed = types.filter((info) => !isDeepStrictEqual(left.get(info.type), info))
    if (changed.length === 0) return
    await store.nodeTypes.register({ workspace, types: changed, at: clock.now() })
    for (const info of changed) left.set(info.type, info)
    merge()
    transport.live.publish([{ kind: 'node_types' }])
  }

  const addOwn = (wanted: (info: NodeTypeInfo) => boolean = () => true): Promise<void> =>
    add([...registry.types().values()].filter((info) => info.kind === 'task' && wanted(info)))

  function schedule(): void {
    withdraw = clock.after(LOOK_EVERY_MS, () => {
      // What fails is tried again at the next look; this process knows its own types in any case.
      refresh()
        // Not what another version has described otherwise: the two would take turns for ever.
        .then(() => addOwn(({ type }) => !left.has(type)))
        .catch(() => {})
        .then(() => {
          if (isRunning) schedule()
        })
    })
  }

  return {
    name: 'known types',
    current: () => current,
    add,
    refresh,
    async start() {
      if (isRunning) return
      isRunning = true
      endings = [
        transport.live.subscribe(({ kind }) => {
          if (kind === 'node_types') refresh().catch(() => {})
        }),
        registry.onChange(() => {
          merge()
          addOwn().catch(() => {})
        }),
      ]
      await refresh()
      await addOwn()
      schedule()
    },
    async stop() {
      isRunning = false
      withdraw()
      for (const end of endings) end()
      endings = []
    },
  }
}
