/**
 * How attempts fail: the error that nodes throw, and the one table of the codes that Weft's own nodes and the worker
 * use. Whether a failure may be tried again is part of the error itself.
 */
import type { Json, StepError } from '@weft/engine'

export interface NodeErrorDetails {
  readonly retryable?: boolean
  /** The other side asked for this pause before the next attempt. */
  readonly retryAfterMs?: number
  readonly details?: Json
  readonly cause?: unknown
}

/** What a node throws to say what went wrong. Anything else that it throws becomes `node_failed`, retryable. */
export class NodeError extends Error {
  override readonly name = 'NodeError'
  readonly code: string
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined
  readonly details: Json | undefined

  constructor(code: string, message: string, more: NodeErrorDetails = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.code = code
    this.retryable = more.retryable ?? false
    this.retryAfterMs = more.retryAfterMs
    this.details = more.details
  }
}

interface CodeDescription {
  /** `depends`: each error of this code says it itself. */
  readonly retryable: boolean | 'depends'
  readonly meaning: string
}

/** Every code that an attempt can fail with, the guard's and a user's own aside. */
export const NODE_ERRORS = {
  aborted: { retryable: false, meaning: 'The run was stopping, and the attempt ended without a result.' },
  blob_missing: {
    retryable: false,
    meaning: 'A value that the step reads was moved to the blob store and is not there.',
  },
  code_crashed: { retryable: false, meaning: 'The sandbox itself broke down under the code.' },
  code_failed: {
    retryable: false,
    meaning: 'The code of a `code` step threw, does not parse, or waits for what never comes.',
  },
  code_out_of_memory: {
    retryable: false,
    meaning: 'The code of a `code` step asked for more memory than the sandbox has.',
  },
  code_timeout: { retryable: false, meaning: 'The code of a `code` step did not end in time.' },
  credential_invalid: { retryable: false, meaning: 'The credential lacks what the node type needs of it.' },
  credential_missing: { retryable: false, meaning: 'The credential that the step names does not exist.' },
  credential_unreadable: {
    retryable: false,
    meaning: 'This server does not have the master key of the credential that the step names.',
  },
  expression_failed: {
    retryable: false,
    meaning: 'An expression in the config of the step could not be evaluated.',
  },
  http_invalid_json: { retryable: false, meaning: 'The answer calls itself JSON and is not.' },
  http_status: {
    retryable: 'depends',
    meaning: 'The service answered with a status that the step does not expect.',
  },
  invalid_config: {
    retryable: false,
    meaning: 'The config, its expressions evaluated, is not what the node type accepts.',
  },
  invalid_output: {
    retryable: false,
    meaning: 'The node answered what cannot be kept: a cycle, too deep nesting, an unknown label.',
  },
  node_failed: { retryable: true, meaning: 'The node threw something that says nothing about itself.' },
  outcome_unknown: {
    retryable: false,
    meaning:
      'An act that cannot be undone had begun when its worker died; a person says whether it happened.',
  },
  output_too_large: { retryable: false, meaning: 'The output of the step exceeds 16 MiB.' },
  slack_refused: { retryable: false, meaning: 'Slack understood the message and refused it.' },
  slack_rate_limited: { retryable: true, meaning: 'Slack asks to be called less often.' },
  slack_unavailable: {
    retryable: true,
    meaning: 'Slack did not do its part: an error of its own, or no sensible answer.',
  },
  store_unavailable: {
    retryable: true,
    meaning: 'The database could not keep or give what the attempt needs.',
  },
  superseded: { retryable: false, meaning: 'A newer attempt of the same step has taken over.' },
  timeout: { retryable: true, meaning: 'The attempt did not end within the `timeout` of the step.' },
} as const satisfies Record<string, CodeDescription>

export type NodeErrorCode = keyof typeof NODE_ERRORS

/** An error of the table; `retryable` comes from there unless the code leaves it open. */
export function nodeError(code: NodeErrorCode, message: string, more: NodeErrorDetails = {}): NodeError {
  const { retryable } = NODE_ERRORS[code]
  return new NodeError(code, message, { ...(retryable !== 'depends' && { retryable }), ...more })
}

/**
 * What was thrown, as the log keeps it. Errors are told by their shape, not their class: a user's module may carry a
 * copy of this one, and the guard's errors have the same shape.
 */
export function stepErrorOf(thrown: unknown): StepError {
  if (!(thrown instanceof Error)) {
    return {
      code: 'node_failed',
      message: `The node threw a value that is no Error: ${preview(thrown)}. Throw a NodeError to say what went wrong and whether it may be tried again.`,
      retryable: true,
    }
  }
  const { code, retryable, retryAfterMs, details } = thrown as Partial<NodeError>
  if (typeof code !== 'string' || typeof retryable !== 'boolean') {
    return { code: 'node_failed', message: `${thrown.name}: ${thrown.message}`, retryable: true }
  }
  return {
    code,
    message: thrown.message,
    retryable,
    ...(typeof retryAfterMs === 'number' && retryAfterMs >= 0 && { retryAfterMs: Math.ceil(retryAfterMs) }),
    ...(details !== undefined && { details }),
  }
}

function preview(value: unknown): string {
  try {
    return (JSON.stringify(value) ?? String(value)).slice(0, 200)
  } catch {
    return Object.prototype.toString.call(value)
  }
}
