/**
 * What the engine knows of a node type: a plain description, the same for control types (which the engine performs
 * itself), for task types (which workers perform) and for types registered by external workers.
 */
import type { FieldMode } from './expression/index.ts'
import type { JsonObject } from './json.ts'

export type Effect = 'pure' | 'read' | 'write' | 'irreversible'

export interface RetryPolicy {
  readonly attempts: number
  readonly delayMs: number
  readonly factor: number
  readonly maxDelayMs: number
}

export const CONTROL_TYPES = [
  'branch',
  'set',
  'delay',
  'approval',
  'wait',
  'workflow',
  'fail',
  'stop',
] as const
export type ControlType = (typeof CONTROL_TYPES)[number]

export interface NodeTypeInfo {
  readonly type: string
  readonly title: string
  readonly description: string
  readonly icon?: string
  readonly kind: 'control' | 'task'
  /** Outcomes beside success and failure that an edge may name; empty for most types. */
  readonly labels: readonly string[]
  /** The labels that `on: success` means. Empty with labels present: success never happens by itself (`branch`). */
  readonly success: readonly string[]
  readonly effect: Effect
  readonly retry: RetryPolicy
  /** Timeout of one attempt; `null`: none. */
  readonly timeoutMs: number | null
  /** How expressions in the config's fields are read; a field that is not named interpolates. */
  readonly fields: Readonly<Record<string, FieldMode>>
  /** JSON Schema of `with`, before interpolation: any field may hold `${{ … }}` text instead of its own type. */
  readonly config: JsonObject
  /** JSON Schema of the output; paths that it excludes are validation errors. */
  readonly output?: JsonObject
}

export type NodeTypes = ReadonlyMap<string, NodeTypeInfo>

export const DEFAULT_RETRY: RetryPolicy = { attempts: 3, delayMs: 2000, factor: 2, maxDelayMs: 60_000 }
export const NO_RETRY: RetryPolicy = { attempts: 1, delayMs: 0, factor: 1, maxDelayMs: 0 }
