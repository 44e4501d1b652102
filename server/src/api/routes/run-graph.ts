/** A run as a picture's data: nodes in layers with their status, edges with what became of them. */
import { type Edge, type Graph, type RunState, viewRun } from '@weft/engine'

export function drawRun(state: RunState, taken: (key: string) => boolean) {
  const { graph } = state
  const view = viewRun(state, taken)
  const layers = layersOf(graph)
  return {
    runId: state.id,
    hash: graph.hash,
    versions: view.versions,
    definition: graph.definition,
    nodes: view.steps.map((step) => ({
      id: step.id,
      type: step.type,
      kind: graph.nodes.get(step.id)?.kind ?? 'unknown',
      name: step.name,
      layer: layers.get(step.id) ?? 0,
      status: step.status,
      label: step.label,
      attempts: step.attempts,
      items: step.items,
      forEach: graph.nodes.get(step.id)?.forEach != null,
      startedAt: step.startedAt,
      settledAt: step.settledAt,
    })),
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
export function layersOf(graph: Graph): Map<string, number> {
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
