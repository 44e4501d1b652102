/** A run as a picture's data: nodes in layers with their status, edges with what became of them. */
import { type Edge, type Graph, type RunState, viewRun } from '@weft/engine'

/** `graph`: one of the run's definitions; steps that it does not have are left out. */
export function drawRun(state: RunState, graph: Graph, taken: (key: string) => boolean) {
  const view = viewRun(state, taken)
  const steps = new Map(view.steps.map((step) => [step.id, step]))
  const layers = layersOf(graph)
  return {
    runId: state.id,
    hash: graph.hash,
    versions: view.versions,
    definition: graph.definition,
    nodes: graph.order.map((id) => {
      const node = graph.nodes.get(id)
      const step = steps.get(id)
      return {
        id,
        type: node?.type ?? '',
        kind: node?.kind ?? 'unknown',
        name: graph.definition.nodes[id]?.name ?? null,
        layer: layers.get(id) ?? 0,
        forEach: node?.forEach != null,
        status: step?.status ?? 'pending',
        label: step?.label ?? null,
        attempts: step?.attempts ?? 0,
        items: step?.items ?? null,
        startedAt: step?.startedAt ?? null,
        settledAt: step?.settledAt ?? null,
      }
    }),
    edges: [...graph.nodes.values()].flatMap((node) =>
      node.outgoing.map((edge) => ({
        from: edge.from,
        to: edge.to,
        on: edge.on,
        when: whenOf(graph, edge),
        state: edgeState(state, edge),
      })),
    ),
  }
}

/** Length of the longest way from a root, per node. */
function layersOf(graph: Graph): Map<string, number> {
  const layers = new Map<string, number>()
  for (const id of graph.order) {
    const sources = graph.nodes.get(id)?.incoming ?? []
    layers.set(id, Math.max(0, ...sources.map((edge) => (layers.get(edge.from) ?? 0) + 1)))
  }
  return layers
}

function whenOf(graph: Graph, edge: Edge): string | null {
  if (edge.otherwise) return 'else'
  return graph.definition.nodes[edge.to]?.needs?.[edge.from]?.when ?? null
}

function edgeState(state: RunState, edge: Edge): 'open' | 'taken' | 'dead' {
  const routed = state.steps.get(edge.from)?.routed
  if (!routed) return 'open'
  return routed.includes(edge.to) ? 'taken' : 'dead'
}
