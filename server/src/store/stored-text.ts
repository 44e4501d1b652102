/**
 * How values become column values. `json` columns take the JSON text as `JSON.stringify` writes it, in which NUL and
 * lone surrogates are escaped (R1); `text` columns cannot hold NUL, and what stands in them is shown or compared, never
 * given back to a workflow, so there NUL becomes the replacement character.
 */

import { uuidArray } from './binary-array.ts'
import { type Column, type SQL, sql } from './drizzle.ts'

/** A JSON value as a parameter of a Drizzle statement; JSON's `null` stays JSON. */
export const jsonText = (value: unknown): SQL => sql`${JSON.stringify(value)}::json`

export const columnText = (value: string): string =>
  value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Ids come from outside: what is no UUID names no run, and must not become an error of the database. */
export const isRunId = (id: string): boolean => UUID.test(id)

/** `column in (ids)` as one parameter, however many there are: a statement takes 65,535 of them. */
export const among = (column: Column, ids: readonly string[]): SQL =>
  sql`${column} = any(${uuidArray(ids)}::uuid[])`
