/**
 * Blobs on their way into and out of attempts: what a config reads is resolved here, and what is too large for the log
 * goes to the store before the message that names it (R2).
 *
 * Resolved values are shared between attempts; nobody may change one. (Configs are copies, see `config.ts`.)
 */
import { type BlobRef, isBlobRef, type Json } from '@weft/engine'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { nodeError } from '../nodes/errors.ts'
import type { Store } from '../store/store.ts'

/** Parsed JSON takes about three times the room of its text. */
const EXPANSION = 3
const CACHE_BYTES = 96 * 1024 * 1024
/** How often a call to the store is tried before the attempt fails, and the pause before the second try. */
const TRIES = 5
const FIRST_PAUSE_MS = 100

export interface WorkerBlobs {
  /** The value behind a reference to JSON; any other value as it is. */
  resolve(workspace: string, value: Json): Json | Promise<Json>
  put(workspace: string, bytes: Uint8Array, contentType: string): Promise<BlobRef>
  get(workspace: string, hash: string): Promise<Uint8Array>
}

export function workerBlobs(store: Pick<Store, 'blobs'>, clock: Clock): WorkerBlobs {
  const cache = new LRUCache<string, { readonly value: Json }>({ maxSize: CACHE_BYTES })

  async function read(workspace: string, hash: string): Promise<Uint8Array> {
    const found = await persistently(clock, () => store.blobs.get({ workspace, hash }))
    if (found !== null) return found.bytes
    throw nodeError(
      'blob_missing',
      `The value ${hash}, which the step reads, is not in the blob store: it was removed, or belongs to another workspace. Run the step again that made it.`,
      { details: { hash } },
    )
  }

  async function resolved(workspace: string, { $blob: hash, bytes }: BlobRef): Promise<Json> {
    const key = `${workspace} ${hash}`
    const known = cache.get(key)
    if (known !== undefined) return known.value
    const value = JSON.parse(Buffer.from(await read(workspace, hash)).toString()) as Json
    cache.set(key, { value }, { size: Math.max(1, bytes * EXPANSION) })
    return value
  }

  return {
    resolve: (workspace, value) =>
      isBlobRef(value) && value.contentType === 'application/json' ? resolved(workspace, value) : value,
    get: read,
    put: (workspace, bytes, contentType) =>
      persistently(clock, () => store.blobs.put({ workspace, bytes, contentType, at: clock.now() })),
  }
}

/**
 * Tries again for a while: what an attempt has done must not be lost, and done again, because the database was away for
 * a second.
 */
export async function persistently<T>(clock: Clock, call: () => Promise<T>): Promise<T> {
  for (let attempt = 1, pauseMs = FIRST_PAUSE_MS; ; attempt++, pauseMs *= 3) {
    try {
      return await call()
    } catch (error) {
      if (attempt === TRIES) {
        const reason = error instanceof Error ? error.message : String(error)
        throw nodeError(
          'store_unavailable',
          `The database could not be used: ${reason}. See whether it runs and has room.`,
          { cause: error },
        )
      }
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve))
    }
  }
}
