/**
 * From a definition in normal form to a graph: structure checked, expressions compiled, everything that they read known.
 *
 * Owns: the order of the checks, and inline bodies, which are graphs of their own. Finds every problem at once.
 * Invariants: pure; about linear in the size of the definition (no recursion along edges, no pair of steps asked for by
 * itself); the graph follows from the definition's hash and the node types alone (R9).
 */
import { checkClaims } from './compile/ancestors.ts'
import { casesOf, checkControl, checkSchemaAt } from './compile/control.ts'
import { edgesOf } from './compile/edges.ts'
import {
  checkConfig,
  durationAt,
  effectOf,
  forEachOf,
  type NodeSettings,
  repeatOf,
  retryOf,
  settingsOf,
  timeoutOf,
} from './compile/node.ts'
import { Reader } from './compile/reader.ts'
import { Report } from './compile/report.ts'
import { schemaOfTemplate } from './compile/schema-path.ts'
import { type Link, type Topology, topologyOf } from './compile/topology.ts'
import type { Definition, NodeDefinition } from './definition.ts'
import type { Problem } from './errors.ts'
import type { FieldMode, Template } from './expression/index.ts'
import { DEFAULT_LIMITS, type Edge, type Graph, type GraphNode, type RunLimits } from './graph.ts'
import { definitionHash } from './hash.ts'
import { isObject, type Json, type JsonObject } from './json.ts'
import type { NodeTypes } from './node-type.ts'

export { compileMatch } from './compile/match.ts'

export interface CompileOptions {
  /** What an unknown node type is; the definition's own `unknownTypes` unless given. */
  readonly onUnknownType?: 'error' | 'skip'
  /**
   * The definition was valid when it was stored, and runs go on with it: what depends on node types, which may have
   * changed or vanished since, is not judged again.
   */
  readonly stored?: boolean
}

export type Compiled =
  | { readonly ok: true; readonly graph: Graph; readonly warnings: Problem[] }
  | { readonly ok: false; readonly problems: Problem[]; readonly warnings: Problem[] }

export function compile(definition: Definition, types: NodeTypes, options: CompileOptions = {}): Compiled {
  const report = new Report()
  const stored = options.stored ?? false
  const skipUnknown = stored || (options.onUnknownType ?? definition.unknownTypes ?? 'error') === 'skip'
  const limits = limitsOf(definition, report)
  const count = countNodes(definition.nodes)
  if (count > limits.nodes) {
    const message = `The workflow has ${count} nodes; \`limits.nodes\` allows ${limits.nodes}. Raise it, or split the workflow.`
    report.problem('too_many_nodes', message, '/nodes')
  }
  checkSchemaAt(definition.input, '/input', report)
  const graph = new GraphCompiler(definition, limits, {
    types,
    skipUnknown,
    stored,
    report,
    base: '',
    item: isBody(definition),
    inputSchema: definition.input,
  }).compile()
  const { problems, warnings } = report
  return problems.length > 0 || !graph ? { ok: false, problems, warnings } : { ok: true, graph, warnings }
}

/** An inline body's definition is named after its node, with a slash that no other name has. */
const isBody = ({ name }: Definition): boolean => name.includes('/')

/** What is given to a graph by what is around it. */
interface Surroundings {
  readonly types: NodeTypes
  readonly skipUnknown: boolean
  readonly stored: boolean
  readonly report: Report
  /** Pointer of what holds the graph's `nodes`. */
  readonly base: string
  readonly item: boolean
  readonly inputSchema: Json | undefined
}

class GraphCompiler {
  readonly #definition: Definition
  readonly #limits: RunLimits
  readonly #around: Surroundings
  readonly #nodes: Readonly<Record<string, NodeDefinition>>
  readonly #settings = new Map<string, NodeSettings>()
  readonly #reader: Reader

  constructor(definition: Definition, limits: RunLimits, around: Surroundings) {
    this.#definition = definition
    this.#limits = limits
    this.#around = around
    this.#nodes = definition.nodes
    const declared = {
      hasStep: (id: string) => Object.hasOwn(this.#nodes, id),
      steps: () => Object.keys(this.#nodes),
      outputSchema: (id: string) => this.#outputSchema(id),
      inputSchema: around.inputSchema,
    }
    this.#reader = new Reader(declared, around.report)
  }

  /** `null` when the graph has no order. */
  compile(): Graph | null {
    const { report, base, item, stored } = this.#around
    const ids = Object.keys(this.#nodes)
    if (ids.length === 0) report.problem('no_nodes', 'The workflow has no nodes.', `${base}/nodes`)
    for (const id of ids)
      this.#settings.set(id, settingsOf(id, this.#nodes[id] as NodeDefinition, this.#around))
    const topology = topologyOf(this.#nodes, report, base)
    const edges = edgesOf(topology, this.#settings, { reader: this.#reader, report, base, item, stored })
    const nodes = new Map<string, GraphNode>()
    const ordered = topology.order.length === ids.length
    for (const id of ordered ? topology.order : ids) nodes.set(id, this.#node(id, topology, edges))
    const { output } = this.#definition
    const reading = { pointer: `${base}/output`, before: null, item }
    const template = output === undefined ? null : this.#reader.template(output, {}, reading)
    checkClaims(this.#reader.claims, topology)
    if (!ordered) return null
    return {
      hash: definitionHash(this.#definition),
      definition: this.#definition,
      nodes,
      order: topology.order,
      roots: topology.order.filter((id) => topology.incoming.get(id)?.length === 0),
      output: template,
      limits: this.#limits,
      variables: [...this.#reader.variables].sort(),
    }
  }

  #node(id: string, topology: Topology, edges: ReadonlyMap<Link, Edge>): GraphNode {
    const { report, item } = this.#around
    const node = this.#nodes[id] as NodeDefinition
    const settings = this.#settings.get(id) as NodeSettings
    const pointer = `${this.#around.base}/nodes/${id}`
    const inItem = item || node.forEach !== undefined
    const body = this.#body(id, node, settings, pointer)
    const config = body ? withoutBody(node.with ?? {}) : (node.with ?? {})
    const template = this.#config(id, config, settings, pointer, inItem)
    const loop = { id, pointer, reader: this.#reader, report, item }
    return {
      id,
      type: node.type,
      kind: settings.kind,
      incoming: compiled(topology.incoming.get(id), edges),
      outgoing: compiled(topology.outgoing.get(id), edges),
      join: node.join ?? 'all',
      when:
        node.when === undefined
          ? null
          : this.#reader.bare(node.when, { pointer: `${pointer}/when`, before: id, item }),
      template,
      config,
      cases:
        settings.kind === 'branch' ? casesOf(node, { id, pointer, item: inItem }, this.#reader, report) : [],
      body,
      forEach: forEachOf(node, loop),
      repeat: repeatOf(node, loop),
      retry: retryOf(node, settings, pointer, report),
      timeoutMs: timeoutOf(node, settings, pointer, report),
      onError: node.onError ?? 'fail',
      effect: effectOf(node, settings),
      credentials: node.credentials ?? {},
      labels: settings.labels,
      success: settings.success,
      ...readsOf(template),
    }
  }

  #config(id: string, config: JsonObject, settings: NodeSettings, pointer: string, item: boolean): Template {
    const { report } = this.#around
    const at = `${pointer}/with`
    const { info, kind } = settings
    // Nobody knows how an unknown type reads its config, and the step never looks at it.
    if (!info) return this.#reader.template({}, {}, { pointer: at, before: id, item })
    if (!this.#around.stored) checkConfig(this.#nodes[id]?.with ?? {}, info, at, report)
    checkControl(kind, config, at, report)
    if (info.type === 'agent' && isObject(config.output)) checkSchemaAt(config.output, `${at}/output`, report)
    // The cases of a branch are compiled by themselves: they are conditions, not values.
    const fields: Readonly<Record<string, FieldMode>> = kind === 'branch' ? { '/cases': 'raw' } : info.fields
    return this.#reader.template(config, fields, { pointer: at, before: id, item })
  }

  #body(id: string, node: NodeDefinition, settings: NodeSettings, pointer: string): Graph | null {
    const config = node.with
    if (settings.kind !== 'workflow' || !config || !isObject(config.nodes) || 'workflow' in config)
      return null
    const { item, inputSchema } = this.#around
    const definition: Definition = {
      weft: 1,
      name: `${this.#definition.name}/${id}`,
      nodes: config.nodes as unknown as Record<string, NodeDefinition>,
      ...(config.output === undefined ? {} : { output: config.output }),
      ...(this.#definition.limits ? { limits: this.#definition.limits } : {}),
      // What the workflow says of patches holds for the runs of its bodies, too.
      ...(this.#definition.patches ? { patches: this.#definition.patches } : {}),
      ...(this.#definition.unknownTypes ? { unknownTypes: this.#definition.unknownTypes } : {}),
    }
    return new GraphCompiler(definition, this.#limits, {
      ...this.#around,
      base: `${pointer}/with`,
      item: item || node.forEach !== undefined,
      inputSchema: config.input === undefined ? inputSchema : schemaOfTemplate(config.input),
    }).compile()
  }

  /** What is known of a step's output without running it. */
  #outputSchema(id: string): Json | undefined {
    const node = this.#nodes[id]
    const info = this.#settings.get(id)?.info
    if (!node || !info || this.#around.stored) return undefined
    const one = outputOfOne(node) ?? info.output
    return one === undefined || !node.forEach ? one : { type: 'array', items: one }
  }
}

function outputOfOne(node: NodeDefinition): Json | undefined {
  const config = node.with ?? {}
  switch (node.type) {
    case 'set':
      return schemaOfTemplate(config)
    case 'workflow':
      return 'nodes' in config && 'output' in config ? schemaOfTemplate(config.output) : undefined
    case 'agent':
      return isObject(config.output) ? config.output : undefined
    case 'approval':
      return isObject(config.form) ? config.form : undefined
    default:
      return undefined
  }
}

function withoutBody(config: JsonObject): JsonObject {
  const { nodes: _nodes, output: _output, ...rest } = config
  return rest
}

const compiled = (links: readonly Link[] | undefined, edges: ReadonlyMap<Link, Edge>): readonly Edge[] =>
  (links ?? []).flatMap((link) => edges.get(link) ?? [])

function readsOf(template: Template): Pick<GraphNode, 'reads' | 'readsInput' | 'readsVars'> {
  const steps = new Set<string>()
  const variables = new Set<string>()
  let readsInput = false
  for (const { root, path } of template.references) {
    if (root === 'input') readsInput = true
    else if (root === 'steps' && path[0] !== undefined) steps.add(path[0])
    else if (root === 'vars' && path[0] !== undefined) variables.add(path[0])
  }
  return { reads: [...steps], readsInput, readsVars: [...variables] }
}

function limitsOf({ limits = {}, nodes }: Definition, report: Report): RunLimits {
  const spends = Object.values(nodes).some(({ type }) => type === 'agent')
  for (const name of ['tokens', 'cost'] as const) {
    if (limits[name] === undefined || spends) continue
    const message = `\`limits.${name}\` bounds nothing here: only agents spend, and this workflow has none.`
    report.warning('no_effect', message, `/limits/${name}`)
  }
  const { duration } = limits
  return {
    agents: limits.agents ?? DEFAULT_LIMITS.agents,
    steps: limits.steps ?? DEFAULT_LIMITS.steps,
    events: limits.events ?? DEFAULT_LIMITS.events,
    patches: limits.patches ?? DEFAULT_LIMITS.patches,
    nodes: limits.nodes ?? DEFAULT_LIMITS.nodes,
    durationMs:
      duration === undefined ? DEFAULT_LIMITS.durationMs : durationAt(duration, '/limits/duration', report),
  }
}

/** With those of inline bodies. */
function countNodes(nodes: Readonly<Record<string, NodeDefinition>>): number {
  let count = 0
  for (const node of Object.values(nodes)) {
    count++
    const body = node.type === 'workflow' ? node.with?.nodes : undefined
    if (isObject(body)) count += countNodes(body as unknown as Record<string, NodeDefinition>)
  }
  return count
}
