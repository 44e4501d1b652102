/**
 * The end of an attempt as a signal. The one place where a worker's values are normalised (R1), redacted (R14), bounded,
 * and moved to the blob store when the log should not hold them.
 */
import { type Json, type JsonObject, normalise, type Signal, type StepError, type Task } from '@weft/engine'
import { nodeError, stepErrorOf } from '../nodes/errors.ts'
import type { NodeResult, NodeType } from '../nodes/node-type.ts'
import type { WorkerBlobs } from './blobs.ts'
import { ConfigError } from './config.ts'
import { redactKnown, redactText, redactValue, type Secrets } from './redaction.ts'

/** Larger outputs stand in the log as a reference. */
const INLINE_BYTES = 32 * 1024
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024
const MAX_MESSAGE_CHARACTERS = 4_000
const MAX_DETAILS_BYTES = 16 * 1024

type Completed = Extract<Signal, { kind: 'completed' }>
type Failed = Extract<Signal, { kind: 'failed' }>

export interface Performed {
  readonly task: Task
  readonly startedAt: number
  readonly worker: string
}

const nameOf = ({ task, startedAt, worker }: Performed) => ({
  key: task.key,
  round: task.round,
  attempt: task.attempt,
  startedAt,
  worker,
})

/** Throws what {@link failed} understands. */
export function completed(
  performed: Performed,
  type: Pick<NodeType, 'info'>,
  { output, label }: NodeResult,
  secrets: Secrets,
  blobs: WorkerBlobs,
): Completed | Promise<Completed> {
  const value = outputOf(output, secrets)
  if (label !== undefined && !type.info.labels.includes(label)) {
    throw nodeError(
      'invalid_output',
      `\`${type.info.type}\` ended with the label \`${label}\`, which it does not declare. Add it to \`labels\`, or answer one of: ${type.info.labels.join(', ') || 'none'}.`,
    )
  }
  const signal = (kept: Json): Completed => ({
    kind: 'completed',
    ...nameOf(performed),
    output: kept,
    ...(label !== undefined && { label }),
  })
  if (isSmall(value)) return signal(value)
  const text = JSON.stringify(value)
  if (text.length <= INLINE_BYTES / 3) return signal(value)
  const bytes = Buffer.from(text)
  if (bytes.length <= INLINE_BYTES) return signal(value)
  if (bytes.length > MAX_OUTPUT_BYTES) {
    throw nodeError(
      'output_too_large',
      `The output of \`${performed.task.key}\` has ${bytes.length} bytes as JSON; a step may answer ${MAX_OUTPUT_BYTES}. Answer less, or put the bytes into a blob and answer the reference.`,
      { details: { bytes: bytes.length } },
    )
  }
  return blobs
    .put(performed.task.workspace, bytes, 'application/json')
    .then((reference) => signal({ ...reference }))
}

function outputOf(output: unknown, secrets: Secrets): Json {
  const normalised = normalise(output)
  if (!normalised.ok) {
    throw nodeError(
      'invalid_output',
      `The output cannot be kept: at ${normalised.pointer || 'its root'}, ${normalised.message}.`,
      { details: { pointer: normalised.pointer } },
    )
  }
  return secrets.length === 0
    ? normalised.value
    : redactValue(normalised.value, (text) => redactKnown(text, secrets))
}

/** Certainly below the limit: most outputs are, and need no second writing as JSON. */
function isSmall(value: Json): boolean {
  if (typeof value === 'string') return value.length < 1_000
  if (typeof value !== 'object' || value === null) return true
  let count = 0
  for (const key in value) {
    const item = (value as JsonObject)[key]
    if (++count > 8 || key.length > 100) return false
    if (typeof item === 'string' ? item.length >= 500 : typeof item === 'object' && item !== null)
      return false
  }
  return true
}

export const failed = (performed: Performed, thrown: unknown, secrets: Secrets): Failed => ({
  kind: 'failed',
  ...nameOf(performed),
  error: errorOf(thrown, secrets),
})

function errorOf(thrown: unknown, secrets: Secrets): StepError {
  const error = stepErrorOf(thrown)
  const text = redactText(error.message, secrets)
  const details = detailsOf(error.details, secrets)
  return {
    code: error.code,
    message: text.length > MAX_MESSAGE_CHARACTERS ? `${text.slice(0, MAX_MESSAGE_CHARACTERS)}…` : text,
    retryable: error.retryable,
    ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs }),
    ...(thrown instanceof ConfigError && {
      pointer: thrown.pointer,
      ...(thrown.column !== undefined && { column: thrown.column }),
    }),
    ...(details !== undefined && { details }),
  }
}

/** A node may attach anything to its error; what cannot be kept or is too much is left out, and says so. */
function detailsOf(details: unknown, secrets: Secrets): Json | undefined {
  if (details === undefined) return undefined
  const normalised = normalise(details)
  if (!normalised.ok) return { leftOut: normalised.message }
  const redacted = redactValue(normalised.value, (text) => redactText(text, secrets))
  const size = Buffer.byteLength(JSON.stringify(redacted))
  return size > MAX_DETAILS_BYTES
    ? { leftOut: `${size} bytes of details; an error keeps ${MAX_DETAILS_BYTES}` }
    : redacted
}
