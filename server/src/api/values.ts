/**
 * Values that callers hand over: normalised once, here (R1), moved to the blob store when they are large, and checked
 * for references to blobs that the workspace does not have.
 */
import { isBlobRef, isObject, type Json, normalise } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { Store } from '../store/store.ts'
import { ApiError } from './errors.ts'

/** Larger values leave the log. */
export const MAX_INLINE_BYTES = 32 * 1024
export const MAX_VALUE_BYTES = 16 * 1024 * 1024
/** A patch under review is read from its blob by the coordinator, which reads no larger ones. */
const MAX_OPERATIONS_BYTES = 1024 * 1024

export interface ValueParts {
  readonly store: Pick<Store, 'blobs'>
  readonly clock: Pick<Clock, 'now'>
}

/** Throws where the value cannot be kept; `name` is what the caller called it. */
export function normaliseValue(value: unknown, name: string): Json {
  const result = normalise(value)
  if (result.ok) return result.value
  throw ApiError.of(
    'invalid_request',
    `\`${name}\` cannot be kept: at ${result.pointer || '/'} ${result.message}.`,
  )
}

/** The value as the log keeps it: itself, or a reference to the blob that it became. */
export async function storeValue(
  parts: ValueParts,
  workspace: string,
  value: Json,
  name: string,
): Promise<Json> {
  const text = JSON.stringify(value)
  if (text.includes('"$blob"')) await requireBlobs(parts, workspace, value)
  // A character is at least one byte and at most three, so most values need no count.
  if (text.length * 3 <= MAX_INLINE_BYTES) return value
  const bytes = Buffer.from(text)
  if (bytes.length <= MAX_INLINE_BYTES) return value
  if (bytes.length > MAX_VALUE_BYTES) {
    throw ApiError.of(
      'value_too_large',
      `\`${name}\` is ${bytes.length} bytes of JSON; at most ${MAX_VALUE_BYTES} are kept. Send a reference to the data (a URL, an id) instead.`,
    )
  }
  const reference = await parts.store.blobs.put({
    workspace,
    bytes,
    contentType: 'application/json',
    at: parts.clock.now(),
  })
  return { ...reference }
}

/** Operations of a patch as they were sent, though they may have left the log. */
export async function readOperations(
  store: Pick<Store, 'blobs'>,
  workspace: string,
  operations: Json,
): Promise<Json> {
  return isBlobRef(operations) ? readBlob(store, workspace, operations.$blob) : operations
}

/** The JSON value in a blob that a log names. */
export async function readBlob(store: Pick<Store, 'blobs'>, workspace: string, hash: string): Promise<Json> {
  const blob = await store.blobs.get({ workspace, hash })
  if (!blob) throw new Error(`blob ${hash} is missing, although a log names it`)
  return JSON.parse(Buffer.from(blob.bytes).toString('utf8')) as Json
}

/** Operations of a patch as they come in. */
export function operationsOf(value: unknown): Json {
  const operations = normaliseValue(value, 'operations')
  const bytes = Buffer.byteLength(JSON.stringify(operations))
  if (bytes <= MAX_OPERATIONS_BYTES) return operations
  throw ApiError.of(
    'value_too_large',
    `The operations are ${bytes} bytes of JSON; at most ${MAX_OPERATIONS_BYTES} are taken. Send several smaller patches, or refer to large values by URL or blob.`,
  )
}

async function requireBlobs(parts: ValueParts, workspace: string, value: Json): Promise<void> {
  const hashes = new Set<string>()
  const visit = (item: Json): void => {
    if (isBlobRef(item)) hashes.add(item.$blob)
    else if (Array.isArray(item)) item.forEach(visit)
    else if (isObject(item)) Object.values(item).forEach(visit)
  }
  visit(value)
  for (const hash of hashes) {
    if (!(await parts.store.blobs.get({ workspace, hash }))) {
      throw ApiError.of(
        'unknown_blob',
        `The request names the blob ${hash}, which this workspace does not have. A \`$blob\` from outside must be one that this workspace stored.`,
      )
    }
  }
}
