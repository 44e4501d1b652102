/**
 * The contract of a task node type: one declarative object. `defineNode` is what users call in the modules that
 * `WEFT_NODES` names; Weft's own types are made with it too.
 */
import type { FieldMode, Json, JsonObject, NodeEffect, NodeTypeInfo, RetryPolicy } from '@weft/engine'
import type { z } from 'zod'
import type { EgressRequest, EgressResponse } from '../egress/egress.ts'

export interface NodeBlobs {
  put(
    bytes: Uint8Array | string,
    contentType: string,
  ): Promise<{ $blob: string; bytes: number; contentType: string }>
  get(reference: { $blob: string }): Promise<Uint8Array>
}

export type LogLineLevel = 'debug' | 'info' | 'warn' | 'error'

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
  /** A line of the attempt: live to whoever watches, and in the server's log (`debug`, or as `warn` and `error`). */
  log(message: string, data?: Json, level?: LogLineLevel): void
  /** Live, not durable. */
  progress(percent: number, text?: string): void
  /** The guarded client: the only way out. */
  readonly fetch: typeof fetch
  /** The same client without the streams of `fetch`: one request, the whole answer. Ends with the attempt's signal. */
  request(request: Omit<EgressRequest, 'signal'>): Promise<EgressResponse>
  /** The value of the credential that the node names; `role` is `default` for `credential:`. `null`: none named. */
  credential(role?: string): Promise<Record<string, string> | null>
  readonly blobs: NodeBlobs
  /** Runs `work` at most once per round as far as the log can tell, and answers the recorded value (R7). */
  once<T extends Json>(key: string, work: () => Promise<T>): Promise<T>
}

export interface TimeoutError {
  readonly code: string
  readonly retryable: boolean
  /** A sentence: what to do about it. */
  readonly advice: string
}

/** A declared type, checked and ready to be performed. */
export interface NodeType {
  readonly info: NodeTypeInfo
  readonly timedOut: TimeoutError
  /** Checks a config whose expressions have their values, and applies the defaults. */
  parse(config: JsonObject): ParsedConfig
  run(config: unknown, context: NodeContext): NodeResult | Promise<NodeResult>
}

export type ParsedConfig =
  | { readonly ok: true; readonly config: unknown }
  | {
      readonly ok: false
      readonly problems: readonly { readonly pointer: string; readonly message: string }[]
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
  /** What the error of an attempt says that ran out of time; `timeout`, retryable, unless given. */
  readonly timedOut?: TimeoutError
  readonly fields?: Readonly<Record<string, FieldMode>>
  /** Answers the output; `result(output, label)` adds a label. Throw `NodeError` to say what went wrong. */
  run(config: z.output<Config>, context: NodeContext): Promise<unknown>
}
