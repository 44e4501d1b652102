/**
 * Which blobs a stored value names. Every statement that stores a value of a run stores these beside it, so that a blob
 * is collected exactly when no log, inbox or record names it any more.
 */

const HASH = /^sha256:[0-9a-f]{64}$/

/** Hashes of the blob references in a value; `text` is its JSON text, and most of them end there. */
export function blobHashes(value: unknown, text: string): string[] {
  if (!text.includes('"$blob"')) return []
  const found = new Set<string>()
  collect(value, found)
  return [...found]
}

function collect(value: unknown, found: Set<string>): void {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) {
    const hash = (value as { $blob?: unknown }).$blob
    if (typeof hash === 'string' && HASH.test(hash)) found.add(hash)
  }
  for (const item of Object.values(value)) collect(item, found)
}
