/**
 * The order of a graph: which edges there are, a topological order, and what stands on a cycle.
 *
 * Invariants: linear in nodes and edges, without recursion; everything is in an order that follows from the ids alone, so
 * that two definitions with one hash make one graph (R9).
 */
import type { Need, NodeDefinition } from '../definition.ts'
import { nearestName } from '../expression/index.ts'
import { listNames } from '../expression/nearest.ts'
import type { Report } from './report.ts'

export interface Link {
  readonly from: string
  readonly to: string
  readonly need: Need
}

export interface Topology {
  /** Ids, sources before targets; what stands on or behind a cycle is missing. */
  readonly order: readonly string[]
  readonly incoming: ReadonlyMap<string, readonly Link[]>
  readonly outgoing: ReadonlyMap<string, readonly Link[]>
}

type Nodes = Readonly<Record<string, NodeDefinition>>

const MAX_CYCLES = 10
const NO_LINKS: readonly Link[] = []

/** @param base pointer of what holds `nodes` */
export function topologyOf(nodes: Nodes, report: Report, base: string): Topology {
  const ids = Object.keys(nodes).sort()
  const incoming = new Map<string, Link[]>()
  const outgoing = new Map<string, Link[]>()
  for (const id of ids) {
    incoming.set(id, [])
    outgoing.set(id, [])
  }
  for (const to of ids) {
    const { needs } = nodes[to] as NodeDefinition
    if (!needs) continue
    for (const named of Object.keys(needs).sort()) {
      const from = incoming.has(named) ? named : unknownSource(named, to, ids, report, base)
      if (from === undefined) continue
      const link = { from, to, need: needs[named] as Need }
      incoming.get(to)?.push(link)
      outgoing.get(from)?.push(link)
    }
  }
  const order = sort(ids, incoming, outgoing)
  if (order.length < ids.length) reportCycles(ids, order, incoming, report, base)
  return { order, incoming, outgoing }
}

/** Goes on with the nearest name, so that one wrong letter is not reported again by everything behind it. */
function unknownSource(
  named: string,
  to: string,
  ids: readonly string[],
  report: Report,
  base: string,
): string | undefined {
  const suggestion = nearestName(
    named,
    ids.filter((id) => id !== to),
  )
  const advice = suggestion ? `Did you mean \`${suggestion}\`?` : `Nodes are ${listNames(ids)}.`
  report.problem(
    'unknown_step',
    `\`${to}\` needs \`${named.slice(0, 80)}\`, which is not a node. ${advice}`,
    `${base}/nodes/${to}/needs/${named.replaceAll('~', '~0').replaceAll('/', '~1')}`,
    suggestion ? { suggestion } : {},
  )
  return suggestion
}

function sort(
  ids: readonly string[],
  incoming: ReadonlyMap<string, readonly Link[]>,
  outgoing: ReadonlyMap<string, readonly Link[]>,
): string[] {
  const unmet = new Map<string, number>()
  const order: string[] = []
  for (const id of ids) {
    const count = incoming.get(id)?.length ?? 0
    unmet.set(id, count)
    if (count === 0) order.push(id)
  }
  // `order` is the queue as well: what stands behind `next` waits for its turn.
  for (let next = 0; next < order.length; next++) {
    for (const { to } of outgoing.get(order[next] as string) ?? NO_LINKS) {
      const left = (unmet.get(to) as number) - 1
      unmet.set(to, left)
      if (left === 0) order.push(to)
    }
  }
  return order
}

/** Names each cycle once: walks backwards among what is left until a node repeats. */
function reportCycles(
  ids: readonly string[],
  order: readonly string[],
  incoming: ReadonlyMap<string, readonly Link[]>,
  report: Report,
  base: string,
): void {
  const settled = new Set(order)
  const reported = new Set<string>()
  for (const id of ids) {
    if (reported.size >= MAX_CYCLES) return
    if (settled.has(id)) continue
    const path: string[] = []
    const at = new Map<string, number>()
    let current: string | undefined = id
    while (current !== undefined && !at.has(current) && !settled.has(current)) {
      at.set(current, path.length)
      path.push(current)
      const links: readonly Link[] = incoming.get(current) ?? NO_LINKS
      current = links.find(({ from }) => !settled.has(from))?.from
    }
    for (const seen of path) settled.add(seen)
    if (current === undefined || !at.has(current)) continue
    reportCycle(path.slice(at.get(current)).reverse(), reported, report, base)
  }
}

function reportCycle(cycle: readonly string[], reported: Set<string>, report: Report, base: string): void {
  const first = cycle.indexOf([...cycle].sort()[0] as string)
  const path = [...cycle.slice(first), ...cycle.slice(0, first)]
  const key = path.join()
  if (reported.has(key)) return
  reported.add(key)
  const [start, last] = [path[0] as string, path.at(-1) as string]
  const names =
    path.length > 12 ? [...path.slice(0, 6), `(${path.length - 11} more)`, ...path.slice(-5)] : path
  const written = [...names, start].join(' → ')
  const message =
    path.length === 1
      ? `\`${start}\` needs itself. To perform a node again use \`repeat\`.`
      : `These nodes wait for each other: ${written}. Remove one of the edges; to loop, use \`forEach\`, \`repeat\`, or a \`workflow\` node with a body.`
  report.problem('cycle', message, `${base}/nodes/${start}/needs/${last}`)
}
