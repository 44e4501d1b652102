/**
 * What is to be done outside: computed from the state alone by `outstanding` (R5), so that a crash loses none of it and
 * publishing twice is harmless.
 */
import type { Json, JsonObject } from './json.ts'
import type { AttemptName } from './signal.ts'

/** A value, or one element of a list that lies in a blob: the coordinator resolves it when it publishes (R8). */
export type ItemValue = { readonly value: Json } | { readonly blob: string; readonly index: number }

/** The scope that travels with a task: only what the node's config reads. */
export interface TaskScope {
  readonly input?: Json
  readonly steps?: Readonly<
    Record<string, { readonly output: Json; readonly status: string; readonly error: Json }>
  >
  readonly vars?: JsonObject
  readonly item?: Json
  readonly index?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly startedAt?: number
}

/** The message that asks a worker to perform an attempt. */
export interface Task {
  /** `<runId>/<key>/<round>/<attempt>`: publish is idempotent by it. */
  readonly id: string
  readonly runId: string
  readonly workspace: string
  readonly key: string
  readonly node: string
  readonly round: number
  readonly attempt: number
  readonly type: string
  readonly workflow: string
  /** Hash of the graph: workers cache compiled configs by graph and node. */
  readonly graph: string
  /** The node's `with`, as written. Credentials by name only (R14). */
  readonly config: JsonObject
  readonly credentials: Readonly<Record<string, string>>
  readonly timeoutMs: number | null
  readonly scope: TaskScope
  /** It may have been published before: whoever takes it looks first whether its completion is in the log. */
  readonly again?: true
}

export type Effect =
  | { readonly kind: 'dispatch'; readonly task: Omit<Task, 'workspace'>; readonly item?: ItemValue }
  /** Begin the child, or send it `retry` when it exists and `attempt` is above the one that began it. */
  | {
      readonly kind: 'child'
      readonly childId: string
      readonly key: string
      readonly node: string
      readonly round: number
      readonly attempt: number
      readonly workflow?: string
      readonly input: Json
      readonly item?: ItemValue
      readonly index?: number
    }
  /** A wait for a message is open: the messages that are kept for whoever comes are to be held against it. */
  | {
      readonly kind: 'listen'
      readonly waitId: string
      readonly name: string
      readonly correlationKey?: string
      readonly match?: string
    }
  /** Begin the run that the workflow names for its failures. */
  | {
      readonly kind: 'on_failure'
      /** Derived from the failed run and the end that failed it: the same end begins one run, whoever publishes it. */
      readonly runId: string
      readonly workflow: string
      readonly input: JsonObject
    }
  /** Tell a child that the parent is stopping. */
  | { readonly kind: 'cancel_child'; readonly childId: string }
  /**
   * Queued tasks of the run are to be skipped; with `abort`, taken ones get their abort (R11). Of the attempts named
   * here, those that the lane does not hold (never published, or forgotten) will not report: each is a signal `dropped`.
   */
  | { readonly kind: 'halt'; readonly abort: boolean; readonly attempts: readonly AttemptName[] }
  /** Take the halt back: the run goes on. */
  | { readonly kind: 'unhalt' }

export const taskId = (runId: string, key: string, round: number, attempt: number): string =>
  `${runId}/${key}/${round}/${attempt}`

/** The run and the attempt that a task's id names; `null`: it is none. */
export function attemptOfTask(id: string): (AttemptName & { readonly runId: string }) | null {
  const parts = /^([^/]+)\/(.+)\/(\d+)\/(\d+)$/.exec(id)
  if (parts === null) return null
  const [, runId, key, round, attempt] = parts as unknown as [string, string, string, string, string]
  return { runId, key, round: Number(round), attempt: Number(attempt) }
}
