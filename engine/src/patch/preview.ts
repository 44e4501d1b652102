/** What a patch changes, for whoever decides about it: never the operations alone. */
import type { Definition, NodeDefinition } from '../definition.ts'
import { isObject, type Json, jsonEquals } from '../json.ts'
import type { NodeTypes } from '../node-type.ts'

export interface EdgeName {
  readonly from: string
  readonly to: string
}

export interface Preview {
  readonly nodes: { readonly added: string[]; readonly removed: string[]; readonly changed: string[] }
  readonly edges: { readonly added: EdgeName[]; readonly removed: EdgeName[]; readonly changed: EdgeName[] }
  /** Whether the run's output is another. */
  readonly output: boolean
  /** Of the following: what there was not before. */
  readonly types: string[]
  /** Added or changed nodes whose type writes or cannot be undone. */
  readonly writes: string[]
  /** Hosts of `http` nodes; `*` where the host is computed. */
  readonly hosts: string[]
  readonly credentials: string[]
  /** Added nodes that are agents. */
  readonly agents: string[]
  /** Nodes that no edge can reach any more, as far as the run has gone. */
  readonly unreachable: string[]
  /** Nodes that lost every edge into them and so will start at once. */
  readonly detached: string[]
}

export interface Progress {
  /** Settled steps, with the targets of the edges that they took. */
  readonly routed: ReadonlyMap<string, readonly string[]>
}

type Nodes = Readonly<Record<string, NodeDefinition>>

export function preview(
  before: Definition,
  after: Definition,
  types: NodeTypes,
  progress?: Progress,
): Preview {
  const old = before.nodes
  const now = after.nodes
  const added = Object.keys(now).filter((id) => !Object.hasOwn(old, id))
  const removed = Object.keys(old).filter((id) => !Object.hasOwn(now, id))
  const changed = Object.keys(now).filter((id) => Object.hasOwn(old, id) && !sameNode(old[id], now[id]))
  const fresh = (names: (nodes: Nodes) => Set<string>): string[] => {
    const known = names(old)
    return [...names(now)].filter((name) => !known.has(name)).sort()
  }
  const touched = [...added, ...changed]
  return {
    nodes: { added, removed, changed },
    edges: edgeChanges(old, now),
    output: !jsonEquals(before.output ?? null, after.output ?? null),
    types: fresh((nodes) => collect(nodes, (node) => [node.type])),
    writes: touched.filter((id) => writes(now[id] as NodeDefinition, types)),
    hosts: fresh((nodes) => collect(nodes, hostsOf)),
    credentials: fresh((nodes) => collect(nodes, (node) => Object.values(node.credentials ?? {}))),
    agents: added.filter((id) => within(now[id] as NodeDefinition, ({ type }) => type === 'agent')),
    unreachable: progress ? unreachable(old, now, progress) : [],
    detached: Object.keys(now).filter((id) => Object.hasOwn(old, id) && old[id]?.needs && !now[id]?.needs),
  }
}

/** Edges are judged apart from the node on which they stand. */
function sameNode(a: NodeDefinition | undefined, b: NodeDefinition | undefined): boolean {
  const { needs: _a, ...left } = a ?? ({} as NodeDefinition)
  const { needs: _b, ...right } = b ?? ({} as NodeDefinition)
  return jsonEquals(left as unknown as Json, right as unknown as Json)
}

function edgeChanges(old: Nodes, now: Nodes): Preview['edges'] {
  const before = edges(old)
  const after = edges(now)
  const names = (list: Iterable<[string, { edge: EdgeName; need: Json }]>): EdgeName[] =>
    [...list].map(([, { edge }]) => edge)
  return {
    added: names([...after].filter(([key]) => !before.has(key))),
    removed: names([...before].filter(([key]) => !after.has(key))),
    changed: names(
      [...after].filter(
        ([key, { need }]) => before.has(key) && !jsonEquals(before.get(key)?.need ?? null, need),
      ),
    ),
  }
}

function edges(nodes: Nodes): Map<string, { edge: EdgeName; need: Json }> {
  const result = new Map<string, { edge: EdgeName; need: Json }>()
  for (const [to, node] of Object.entries(nodes)) {
    for (const [from, need] of Object.entries(node.needs ?? {})) {
      result.set(`${from} ${to}`, { edge: { from, to }, need: need as unknown as Json })
    }
  }
  return result
}

/** Something of every node, those of inline bodies included. */
export function collect(nodes: Nodes, pick: (node: NodeDefinition) => readonly string[]): Set<string> {
  const result = new Set<string>()
  for (const node of Object.values(nodes)) {
    for (const name of pick(node)) result.add(name)
    for (const name of collect(bodyOf(node), pick)) result.add(name)
  }
  return result
}

export const within = (node: NodeDefinition, test: (node: NodeDefinition) => boolean): boolean =>
  test(node) || Object.values(bodyOf(node)).some((inner) => within(inner, test))

function bodyOf(node: NodeDefinition): Nodes {
  const nodes = node.type === 'workflow' ? node.with?.nodes : undefined
  return isObject(nodes) ? (nodes as unknown as Nodes) : {}
}

export function writes(node: NodeDefinition, types: NodeTypes): boolean {
  return within(node, ({ type, with: config }) => {
    if (type === 'http') return !/^(get|head)$/i.test(String(config?.method ?? 'GET'))
    const effect = types.get(type)?.effect
    return effect === 'write' || effect === 'irreversible'
  })
}

export function hostsOf(node: NodeDefinition): string[] {
  const url = node.type === 'http' ? node.with?.url : undefined
  if (typeof url !== 'string') return []
  const host = /^https?:\/\/(?:[^/?#@]*@)?([^/?#]+)/i.exec(url.trim())?.[1]
  return [host === undefined || host.includes('${{') ? '*' : host.toLowerCase()]
}

/** Follows what can still start, in an order in which sources come first. */
function unreachable(old: Nodes, now: Nodes, { routed }: Progress): string[] {
  const dead = new Set<string>()
  const visited = new Set<string>()
  const stack = Object.keys(now)
  while (stack.length > 0) {
    const id = stack.at(-1) as string
    const sources = Object.keys(now[id]?.needs ?? {}).filter((from) => Object.hasOwn(now, from))
    const waiting = visited.has(id) ? [] : sources.filter((from) => !visited.has(from))
    visited.add(id)
    if (waiting.length > 0) {
      stack.push(...waiting)
      continue
    }
    stack.pop()
    if (sources.length > 0 && !routed.has(id) && sources.every((from) => isDead(from, id, old, routed, dead)))
      dead.add(id)
  }
  return Object.keys(now).filter((id) => dead.has(id))
}

/** An edge that the patch adds behind a settled step is decided only when the patch is applied. */
function isDead(
  from: string,
  to: string,
  old: Nodes,
  routed: Progress['routed'],
  dead: ReadonlySet<string>,
): boolean {
  const taken = routed.get(from)
  if (taken === undefined) return dead.has(from)
  return Object.hasOwn(old[to]?.needs ?? {}, from) && !taken.includes(to)
}
