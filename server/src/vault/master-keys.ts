/**
 * Master keys: what credentials are encrypted under. The first key of the list encrypts; those behind it only decrypt,
 * so that a key is replaced by writing the new one in front of the old one.
 *
 * Owns the form in which keys are written (in `WEFT_MASTER_KEY` and in the file `master-key` of the data directory) and
 * their ids. An id is derived from its key and tells nothing about it.
 */
import { createHmac } from 'node:crypto'

export interface MasterKey {
  readonly id: string
  readonly bytes: Uint8Array
}

/** At least one. */
export type MasterKeys = readonly [MasterKey, ...MasterKey[]]

const KEY_BYTES = 32

export const HOW_TO_MAKE = '`openssl rand -hex 32` makes one'

/**
 * Keys separated by commas or white space, 32 bytes each as 64 hexadecimal digits or as base64.
 *
 * @returns `null` when one of them is none, or when there is none; no text of a key is ever shown
 */
export function parseMasterKeys(text: string): MasterKeys | null {
  const [first, ...others] = text.split(/[\s,]+/).filter((part) => part !== '')
  const bytes = first === undefined ? null : bytesOf(first)
  if (bytes === null) return null
  const keys: [MasterKey, ...MasterKey[]] = [{ id: idOf(bytes), bytes }]
  for (const other of others) {
    const more = bytesOf(other)
    if (more === null) return null
    keys.push({ id: idOf(more), bytes: more })
  }
  return keys
}

function bytesOf(text: string): Uint8Array | null {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  // 43 characters and one for padding; in both alphabets.
  if (!/^[\w+/-]{43}=?$/.test(text)) return null
  const bytes = Buffer.from(text, 'base64')
  return bytes.length === KEY_BYTES ? bytes : null
}

const idOf = (bytes: Uint8Array): string =>
  createHmac('sha256', bytes).update('weft: id of a master key').digest('hex').slice(0, 16)

/** Those of the environment before those of the file, each once. */
export function joinMasterKeys(some: MasterKeys, more: MasterKeys | null): MasterKeys {
  const known = new Set(some.map(({ id }) => id))
  return [...some, ...(more ?? []).filter(({ id }) => !known.has(id))] as unknown as MasterKeys
}
