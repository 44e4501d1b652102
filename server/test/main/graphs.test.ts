import { CONTROL_NODE_TYPES, compile, type Graph, type Json, normaliseDefinition } from '@weft/engine'
import { expect, test } from 'vitest'
import { createGraphCatalog } from '../../src/graphs.ts'
import { logNode } from '../../src/nodes/log.ts'

const TYPES = new Map([...CONTROL_NODE_TYPES, logNode.info].map((info) => [info.type, info]))
const CONTROL_ONLY = new Map(CONTROL_NODE_TYPES.map((info) => [info.type, info]))

function graphOf(message: string): Graph {
  const normal = normaliseDefinition({ weft: 1, name: 'g', nodes: { a: { type: 'log', with: { message } } } })
  if (!normal.ok) throw new Error(JSON.stringify(normal.problems))
  const result = compile(normal.definition, TYPES)
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.graph
}

function memoryStore() {
  const definitions = new Map<string, Json>()
  const calls = { put: 0, get: 0 }
  const graphs = {
    put: async ({ hash, definition }: { hash: string; definition: Json }) => {
      calls.put++
      definitions.set(hash, definition)
    },
    get: async (hash: string) => {
      calls.get++
      return definitions.get(hash) ?? null
    },
  }
  return { graphs, calls }
}

test('a graph is stored once, however many runs begin with it', async () => {
  const { graphs, calls } = memoryStore()
  const catalog = createGraphCatalog({ graphs }, () => TYPES)
  const graph = graphOf('x')
  await Promise.all([catalog.ensureStored(graph), catalog.ensureStored(graph)])
  await catalog.ensureStored(graph)
  expect(calls.put).toBe(1)
})

test('a burst of runs of a graph that is not in memory reads and compiles it once', async () => {
  const { graphs, calls } = memoryStore()
  const graph = graphOf('x')
  await createGraphCatalog({ graphs }, () => TYPES).ensureStored(graph)
  const catalog = createGraphCatalog({ graphs }, () => TYPES)
  const [first, second] = await Promise.all([catalog.get(graph.hash), catalog.get(graph.hash)])
  expect(first).toBe(second)
  expect(first.hash).toBe(graph.hash)
  expect(calls.get).toBe(1)
  expect(catalog.peek(graph.hash)).toBe(first)
})

test('a stored graph whose node type has vanished still compiles; when the type is back, the better one is used', async () => {
  const { graphs } = memoryStore()
  const graph = graphOf('x')
  await createGraphCatalog({ graphs }, () => TYPES).ensureStored(graph)
  const catalog = createGraphCatalog({ graphs }, () => CONTROL_ONLY)
  expect((await catalog.get(graph.hash)).nodes.get('a')?.kind).toBe('unknown')
  expect(catalog.add(graph)).toBe(graph)
  expect(catalog.peek(graph.hash)?.nodes.get('a')?.kind).toBe('task')
  expect(catalog.add(graphOf('x'))).toBe(graph)
})

test('a hash that nothing is stored under is an error that says what to restore', async () => {
  const { graphs } = memoryStore()
  const catalog = createGraphCatalog({ graphs }, () => TYPES)
  await expect(catalog.get('sha256:none')).rejects.toThrow(/graphs/)
})
