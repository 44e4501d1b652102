/**
 * The normal form of a workflow definition: what every accepted spelling becomes, what patches address, what the hash
 * is taken of. The zod schema of the accepted spellings is in `workflow.ts`; meaning is given by `graph.ts`.
 */
import type { Json, JsonObject } from './json.ts'

/** Text such as `30s`, `24h`, `1h30m`, or a number of milliseconds. Kept as written; parsed when compiled. */
export type DurationText = string | number

/** `success`, `failure`, `skipped`, `always`, or a label that the source's node type emits. */
export type Outcome = string

export interface Need {
  /** At least one; `['success']` when nothing was written. */
  on: Outcome[]
  /** A bare expression, or `else`. */
  when?: string
}

export interface RetryDefinition {
  /** Attempts in all, the first included. */
  attempts: number
  /** Delay before the second attempt; doubles (by `factor`) from there. */
  delay?: DurationText
  factor?: number
  maxDelay?: DurationText
}

export interface ForEachDefinition {
  /** A bare expression that yields a list, or the list itself. */
  items: Json
  maxConcurrency?: number
  onItemError?: 'fail' | 'collect'
}

export interface RepeatDefinition {
  until?: string
  maxIterations?: number
  delay?: DurationText
}

export interface NodeDefinition {
  type: string
  name?: string
  notes?: string
  needs?: Record<string, Need>
  with?: JsonObject
  /** Role to credential name; `credential: x` is written `{ default: x }`. */
  credentials?: Record<string, string>
  when?: string
  retry?: 'off' | number | RetryDefinition
  timeout?: DurationText
  forEach?: ForEachDefinition
  repeat?: RepeatDefinition
  onError?: 'fail' | 'continue'
  join?: 'all' | 'any'
  [extension: `x-${string}`]: Json
}

export interface LimitsDefinition {
  agents?: number
  steps?: number
  events?: number
  patches?: number
  nodes?: number
  tokens?: number
  cost?: number
  duration?: DurationText
}

export interface PatchPolicy {
  agent?: 'auto' | 'review' | 'deny'
  /** Who is neither agent nor reviewer: people and programs by the API. */
  api?: 'auto' | 'review' | 'deny'
  /** The only hosts that a patch may bring in; without it, any. */
  hosts?: string[]
  /** The only credentials that a patch may bring in; without it, any. */
  credentials?: string[]
}

export interface Definition {
  weft: 1
  name: string
  description?: string
  /** JSON Schema of the run's input. */
  input?: JsonObject
  nodes: Record<string, NodeDefinition>
  output?: Json
  limits?: LimitsDefinition
  patches?: PatchPolicy
  unknownTypes?: 'error' | 'skip'
  /** Workflow to start with the failed run's summary. */
  onFailure?: string
  labels?: Record<string, string>
  /** Positions, sticky notes: outside the hash, as `labels` is. */
  ui?: Json
  [extension: `x-${string}`]: Json
}
