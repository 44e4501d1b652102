/**
 * From what a caller names or sends to a compiled graph.
 *
 * Owns: the cache of compiled definitions by their text, and of stored workflows by reference. Both only spare work:
 * the first is emptied when the node types change, the second is kept while this is the only process (memory transport)
 * and forgets a workflow whenever one of its routes changes it.
 */
import {
  type Definition,
  type Graph,
  type Json,
  type NodeTypes,
  type Problem,
  validateDefinition,
  validateSource,
  type Warning,
} from '@weft/engine'
import { LRUCache } from 'lru-cache'
import type { GraphCatalog } from '../graphs.ts'
import type { Store } from '../store/store.ts'
import { ApiError, summarise } from './errors.ts'
import type { NodeTypeSource } from './parts.ts'
import { problemsOfLabels } from './request.ts'

const CACHED_TEXT_CHARACTERS = 32 * 1024 * 1024
const CACHED_REFERENCES = 5_000

/** What a caller sent: YAML or JSON text, or JSON already parsed. */
export type Document = { readonly source: string } | { readonly definition: Json }

type Labels = Readonly<Record<string, string>>

export type Checked =
  | {
      readonly ok: true
      readonly graph: Graph
      /** The graph is shared by its hash; what stands outside of the hash, labels above all, is each definition's own. */
      readonly definition: Definition
      readonly warnings: readonly Warning[]
    }
  | { readonly ok: false; readonly problems: readonly Problem[] }

export interface ResolvedWorkflow {
  readonly name: string
  readonly version: number
  readonly graph: Graph
  readonly labels: Labels
}

export class Definitions {
  readonly #store: Pick<Store, 'workflows'>
  readonly #graphs: GraphCatalog
  readonly #nodeTypes: NodeTypeSource
  readonly #onlyProcess: boolean
  readonly #compiled = new LRUCache<string, Extract<Checked, { ok: true }>>({
    maxSize: CACHED_TEXT_CHARACTERS,
  })
  readonly #stored = new LRUCache<string, ResolvedWorkflow>({ max: CACHED_REFERENCES })
  #compiledWith: NodeTypes | null = null

  constructor(parts: {
    store: Pick<Store, 'workflows'>
    graphs: GraphCatalog
    nodeTypes: NodeTypeSource
    onlyProcess: boolean
  }) {
    this.#store = parts.store
    this.#graphs = parts.graphs
    this.#nodeTypes = parts.nodeTypes
    this.#onlyProcess = parts.onlyProcess
  }

  check(document: Document): Checked {
    const types = this.#nodeTypes.current()
    if (types !== this.#compiledWith) {
      this.#compiled.clear()
      this.#compiledWith = types
    }
    const isText = 'source' in document
    const text = isText ? document.source : JSON.stringify(document.definition)
    const key = `${isText ? 'text' : 'json'}:${text}`
    const known = this.#compiled.get(key)
    if (known) return known
    const result = isText ? checkText(document.source, types) : checkJson(document.definition, types)
    if (!result.ok) return result
    // Runs of one definition share one graph, whatever text it came as.
    const checked = { ...result, graph: this.#graphs.add(result.graph) }
    this.#compiled.set(key, checked, { size: key.length })
    return checked
  }

  /** As `check`; throws `invalid_definition` with every problem. */
  compile(document: Document): Extract<Checked, { ok: true }> {
    const checked = this.check(document)
    if (checked.ok) return checked
    throw ApiError.of(
      'invalid_definition',
      `${summarise(checked.problems, 'The definition')} Nothing was stored; correct it and send it again.`,
      { problems: checked.problems },
    )
  }

  async stored(workspace: string, reference: string): Promise<ResolvedWorkflow> {
    const key = `${workspace}\n${reference}`
    const known = this.#stored.get(key)
    if (known) return known
    const workflow = await this.#store.workflows.get({ workspace, reference })
    if (!workflow) {
      throw ApiError.of(
        'workflow_not_found',
        `This workspace has no workflow \`${reference}\`. List what there is with GET /workflows (weft workflows list), or store it with POST /workflows.`,
      )
    }
    const resolved = {
      name: workflow.name,
      version: workflow.version,
      graph: await this.#graphs.get(workflow.graph),
      labels: (workflow.definition as { labels?: Labels }).labels ?? {},
    }
    if (this.#onlyProcess) this.#stored.set(key, resolved)
    return resolved
  }

  /** A version, a tag or the workflow itself has changed. */
  forget(workspace: string, name: string): void {
    const exact = `${workspace}\n${name}`
    for (const key of this.#stored.keys())
      if (key === exact || key.startsWith(`${exact}@`)) this.#stored.delete(key)
  }
}

function checkedOf(graph: Graph, warnings: readonly Warning[]): Checked {
  const { definition } = graph
  const problems = problemsOfLabels(definition.labels ?? {})
  return problems.length > 0 ? { ok: false, problems } : { ok: true, graph, definition, warnings }
}

function checkText(source: string, types: NodeTypes): Checked {
  const result = validateSource(source, types)
  return result.ok ? checkedOf(result.graph, result.warnings) : result
}

function checkJson(definition: Json, types: NodeTypes): Checked {
  const result = validateDefinition(definition, types)
  return result.ok ? checkedOf(result.graph, result.warnings) : result
}
