/**
 * Columns of rows as PostgreSQL's binary arrays, the parameters of every `unnest` statement.
 *
 * Measured against the driver's text form, batches of 100 events of 400 bytes: 52,000–61,000 rows/s instead of
 * 40,000–48,000, and 40 % less CPU in this process, since neither side escapes and unescapes quotes. Single rows: equal.
 */
import { RowRefused } from './store.ts'

const HEADER_BYTES = 20
const OID = { int8: 20, int4: 23, text: 25, json: 114, bool: 16, uuid: 2950 } as const

function fixed(
  oid: number,
  bytes: number,
  items: readonly unknown[],
  write: (into: Buffer, at: number, index: number) => void,
): Buffer {
  let size = HEADER_BYTES
  for (const item of items) size += item === null ? 4 : 4 + bytes
  const buffer = header(oid, items.length, size)
  let at = HEADER_BYTES
  for (let index = 0; index < items.length; index++) {
    const isNull = items[index] === null
    at = buffer.writeInt32BE(isNull ? -1 : bytes, at)
    if (isNull) continue
    write(buffer, at, index)
    at += bytes
  }
  return buffer
}

function header(oid: number, count: number, size: number): Buffer {
  const buffer = Buffer.allocUnsafe(size)
  buffer.writeInt32BE(count === 0 ? 0 : 1, 0) // dimensions
  buffer.writeInt32BE(1, 4) // there may be nulls
  buffer.writeInt32BE(oid, 8)
  buffer.writeInt32BE(count, 12)
  buffer.writeInt32BE(1, 16) // lower bound
  return count === 0 ? buffer.subarray(0, 12) : buffer
}

function texts(oid: number, items: readonly (string | null)[]): Buffer {
  const lengths = new Array<number>(items.length)
  let size = HEADER_BYTES
  for (let index = 0; index < items.length; index++) {
    const item = items[index] as string | null
    const length = item === null ? -1 : Buffer.byteLength(item)
    lengths[index] = length
    size += 4 + Math.max(0, length)
  }
  const buffer = header(oid, items.length, size)
  let at = HEADER_BYTES
  for (let index = 0; index < items.length; index++) {
    at = buffer.writeInt32BE(lengths[index] as number, at)
    const item = items[index] as string | null
    if (item !== null) at += buffer.write(item, at)
  }
  return buffer
}

export const textArray = (items: readonly (string | null)[]): Buffer => texts(OID.text, items)

/** Items are JSON texts; `null` is SQL's, not JSON's. */
export const jsonArray = (items: readonly (string | null)[]): Buffer => texts(OID.json, items)

export const integerArray = (items: readonly (number | null)[]): Buffer =>
  fixed(OID.int4, 4, items, (buffer, at, index) => buffer.writeInt32BE(items[index] as number, at))

/** Whole numbers within ±2^53, such as milliseconds. */
export const bigintArray = (items: readonly (number | null)[]): Buffer =>
  fixed(OID.int8, 8, items, (buffer, at, index) => {
    const value = items[index] as number
    buffer.writeInt32BE(Math.floor(value / 2 ** 32), at)
    buffer.writeUInt32BE(value >>> 0, at + 4)
  })

export const booleanArray = (items: readonly boolean[]): Buffer =>
  fixed(OID.bool, 1, items, (buffer, at, index) => buffer.writeUInt8(items[index] ? 1 : 0, at))

export const uuidArray = (items: readonly (string | null)[]): Buffer =>
  fixed(OID.uuid, 16, items, (buffer, at, index) => {
    const written = buffer.write((items[index] as string).replaceAll('-', ''), at, 16, 'hex')
    if (written !== 16) throw new RowRefused('22P02', `"${items[index]}" is not a UUID`)
  })
