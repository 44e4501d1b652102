/**
 * The contract of a task node type: one declarative object. `defineNode` is what users call in the modules that
 * `WEFT_NODES` names; Weft's own types are made with it too.
 */
import type { FieldMode, Json, NodeEffect, RetryPolicy } from '@weft/engine'
import type { z } from 'zod'

export interface NodeBlobs {
  put(bytes: Uint8Array | string, contentType: string): Promise<{ $blob: string; bytes: number; contentType: string }>
  get(reference: { $blob: string }): Promise<Uint8Array>
}

/** What a node's `run` gets beside its config. */
export interface NodeContext {
  readonly runId: string
  readonly workflow: string
  readonly stepKey: string
  readonly round: number
  readonly attempt: number
  /** Stable over all attempts of a round: `<runId>/<stepKey>/<round>`. */
  readonly idempotencyKey: string
  /** Fires on cancel, on timeout and when the worker shuts down. */
  readonly abortSignal: AbortSignal
  log(message: string, data?: Json): void
  /** Live, not durable. */
  progress(percent: number, text?: string): void
  /** The guarded client: the only way out. */
  readonly fetch: typeof fetch
  /** The value of the credential that the node names; `role` is `default` for `credential:`. `null`: none named. */
  credential(role?: string): Promise<Record<string, string> | null>
  readonly blobs: NodeBlobs
  /** Runs `work` at most once per round as far as the log can tell, and answers the recorded value (R7). */
  once<T extends Json>(key: string, work: () => Promise<T>): Promise<T>
}

export interface NodeResult {
  readonly output: unknown
  /** One of the type's labels. */
  readonly label?: string
}

export interface NodeDefinitionInput<Config extends z.ZodType = z.ZodType> {
  readonly type: string
  readonly title: string
  readonly description: string
  readonly icon?: string
  readonly config: Config
  readonly output?: z.ZodType
  readonly labels?: readonly string[]
  readonly success?: readonly string[]
  readonly effect: NodeEffect
  readonly retry?: Partial<RetryPolicy> | 'off'
  readonly timeoutMs?: number | null
  readonly fields?: Readonly<Record<string, FieldMode>>
  /** Answers the output; `result(output, label)` adds a label. Throw `NodeError` to say what went wrong. */
  run(config: z.output<Config>, context: NodeContext): Promise<unknown>
}
