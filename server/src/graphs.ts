/**
 * Compiled graphs by hash (R9): the definition is what the store keeps, the compiled form is a cache of it.
 *
 * A stored definition was valid when it was stored, and runs go on with it: a node type that has vanished since is skipped
 * with a warning when its turn comes, and one whose schema has changed refuses nothing.
 */
import { compile, type Definition, type Graph, InvalidError, type Json, type NodeTypes } from '@weft/engine'
import { LRUCache } from 'lru-cache'
import type { Store } from './store/store.ts'

/** A compiled node weighs about 2 KiB; the bound is on nodes, not on graphs, since graphs differ a thousandfold. */
const MAX_CACHED_NODES = 50_000
const MAX_REMEMBERED_HASHES = 20_000

export interface GraphCatalog {
  /** The compiled graph, from memory or from the store. Throws `GraphNotStored` when nothing has that hash. */
  get(hash: string): Promise<Graph>
  /** The compiled graph if it is in memory. */
  peek(hash: string): Graph | undefined
  /**
   * Puts a graph that was just compiled into memory, and answers the one to use: runs of the same definition share one,
   * unless the known one was compiled when a type of it was unknown.
   */
  add(graph: Graph): Graph
  /** Makes sure that the definition is in the store, which a run that names its hash relies on. */
  ensureStored(graph: Graph): Promise<void>
}

export class GraphNotStored extends Error {
  override readonly name = 'GraphNotStored'
  readonly code = 'graph_not_stored'
  constructor(hash: string) {
    super(
      `no definition with the hash ${hash} is stored, although a run names it: restore the table \`graphs\` from a backup`,
    )
  }
}

/**
 * @param types those that this process knows; the same map until there is another
 * @param refresh asks the database for types that another process has registered
 */
export function createGraphCatalog(
  store: Pick<Store, 'graphs'>,
  types: () => NodeTypes,
  refresh: () => Promise<void> = async () => {},
): GraphCatalog {
  const compiled = new LRUCache<string, Graph>({
    maxSize: MAX_CACHED_NODES,
    sizeCalculation: (graph) => graph.nodes.size + 1,
  })
  // By size: a cache with `max` sets all its places aside when it is made.
  const stored = new LRUCache<string, true>({ maxSize: MAX_REMEMBERED_HASHES, sizeCalculation: () => 1 })
  /** Graphs with a type that nobody knew, and what was known then. */
  const ignorant = new WeakMap<Graph, NodeTypes>()
  /** Loads and stores under way, so that a burst of runs of one workflow costs one. */
  const loading = new Map<string, Promise<Graph>>()
  const storing = new Map<string, Promise<void>>()

  async function load(hash: string): Promise<Graph> {
    const definition = await store.graphs.get(hash)
    if (definition === null) throw new GraphNotStored(hash)
    stored.set(hash, true)
    let graph = compileStored(definition)
    if (hasUnknownType(graph)) {
      // Who accepted it knew the type: it came a moment ago, or its worker is gone for good.
      await refresh()
      graph = compileStored(definition)
    }
    keep(graph)
    return graph
  }

  function compileStored(definition: Json): Graph {
    const result = compile(definition as unknown as Definition, types(), { stored: true })
    if (!result.ok) throw new InvalidError(result.problems)
    return result.graph
  }

  function keep(graph: Graph): void {
    if (hasUnknownType(graph)) ignorant.set(graph, types())
    compiled.set(graph.hash, graph)
  }

  /** The compiled graph, unless a type that was unknown then may be known now. */
  function peek(hash: string): Graph | undefined {
    const graph = compiled.get(hash)
    if (graph === undefined) return undefined
    const known = ignorant.get(graph)
    return known === undefined || known === types() ? graph : undefined
  }

  return {
    peek,
    async get(hash) {
      const known = peek(hash)
      if (known) return known
      return shared(loading, hash, () => load(hash))
    },
    add(graph) {
      const known = compiled.get(graph.hash)
      if (known && !hasUnknownType(known)) return known
      keep(graph)
      return graph
    },
    async ensureStored(graph) {
      if (stored.has(graph.hash)) return
      await shared(storing, graph.hash, async () => {
        await store.graphs.put({ hash: graph.hash, definition: graph.definition as unknown as Json })
        stored.set(graph.hash, true)
      })
    },
  }
}

function hasUnknownType(graph: Graph): boolean {
  for (const node of graph.nodes.values()) if (node.kind === 'unknown') return true
  return false
}

/** One call of `work` at a time per key; those who ask meanwhile get its result. */
function shared<T>(running: Map<string, Promise<T>>, key: string, work: () => Promise<T>): Promise<T> {
  const current = running.get(key)
  if (current) return current
  const promise = work().finally(() => running.delete(key))
  running.set(key, promise)
  return promise
}
