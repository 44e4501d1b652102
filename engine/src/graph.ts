/**
 * A compiled definition: validated, indexed, content-addressed, immutable (R9). Made by `compile.ts`.
 *
 * The hash is of the definition's normal form; everything else here is a cache of what follows from it and from the
 * node types known when it was compiled.
 */
import type { Definition } from './definition.ts'
import type { Expression, Template } from './expression/index.ts'
import type { Json, JsonObject } from './json.ts'
import type { ControlType, Effect, RetryPolicy } from './node-type.ts'

export interface Edge {
  readonly from: string
  readonly to: string
  readonly on: readonly string[]
  /** `null`: unconditional. */
  readonly when: Expression | null
  /** Taken when no other conditional edge of the same source was. */
  readonly otherwise: boolean
}

export interface ForEach {
  /** A constant list, or the expression that yields one. */
  readonly items: { readonly constant: Json } | { readonly expression: Expression }
  readonly maxConcurrency: number
  readonly onItemError: 'fail' | 'collect'
}

export interface Repeat {
  readonly until: Expression | null
  readonly maxIterations: number
  readonly delayMs: number
}

/** What performs a node: the engine (a control type), a worker (`task`), or nobody (`unknown`). */
export type NodeKind = ControlType | 'task' | 'unknown'

export interface GraphNode {
  readonly id: string
  readonly type: string
  readonly kind: NodeKind
  readonly incoming: readonly Edge[]
  readonly outgoing: readonly Edge[]
  readonly join: 'all' | 'any'
  readonly when: Expression | null
  /** The config; for `workflow` with an inline body, without the body. */
  readonly template: Template
  /** The config as written, which travels with the task. */
  readonly config: JsonObject
  /** Bare expressions of `branch`, in order: label and condition. */
  readonly cases: readonly { readonly label: string; readonly when: Expression }[]
  /** Compiled inline body of a `workflow` node. */
  readonly body: Graph | null
  readonly forEach: ForEach | null
  readonly repeat: Repeat | null
  readonly retry: RetryPolicy
  readonly timeoutMs: number | null
  readonly onError: 'fail' | 'continue'
  readonly effect: Effect
  readonly credentials: Readonly<Record<string, string>>
  readonly labels: readonly string[]
  readonly success: readonly string[]
  /** Steps whose outputs travel with the task: those that the config reads. */
  readonly reads: readonly string[]
  /** Which other roots of the scope the config reads. */
  readonly readsInput: boolean
  readonly readsVars: readonly string[]
}

export interface RunLimits {
  readonly agents: number
  readonly steps: number
  readonly events: number
  readonly patches: number
  readonly nodes: number
  readonly durationMs: number | null
}

export const DEFAULT_LIMITS: RunLimits = {
  agents: 5,
  steps: 10_000,
  events: 50_000,
  patches: 100,
  nodes: 10_000,
  durationMs: null,
}

export const DEFAULT_FOR_EACH_CONCURRENCY = 50

/** Rounds of a `repeat` that names no `maxIterations`. */
export const DEFAULT_MAX_ITERATIONS = 1000

export interface Graph {
  /** `sha256:…` of the normal form without `ui` and `labels`. */
  readonly hash: string
  readonly definition: Definition
  readonly nodes: ReadonlyMap<string, GraphNode>
  /** Topological. */
  readonly order: readonly string[]
  readonly roots: readonly string[]
  readonly output: Template | null
  readonly limits: RunLimits
  /** Names read as `vars.<name>` anywhere: captured when the run starts. */
  readonly variables: readonly string[]
}
