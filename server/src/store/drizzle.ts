/**
 * Drizzle, as this folder uses it, from its CommonJS build: 25 files instead of several hundred small modules.
 *
 * Node reads the package's own `package.json` (180 KB of exports) for each module that it imports. Measured on Node 24:
 * importing the ES modules takes 560 ms of CPU and leaves 300 MB resident, requiring this build 115 ms and 70 MB.
 */
import { createRequire } from 'node:module'

export type { Column, SQL } from 'drizzle-orm'
export type { NodePgDatabase } from 'drizzle-orm/node-postgres'

const load = createRequire(import.meta.url)

export const { and, desc, eq, gt, ilike, inArray, isNotNull, isNull, lt, ne, sql } = load(
  'drizzle-orm',
) as typeof import('drizzle-orm')

export const { drizzle } = load('drizzle-orm/node-postgres') as typeof import('drizzle-orm/node-postgres')

export const {
  bigint,
  boolean,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  smallint,
  text,
  uniqueIndex,
  uuid,
} = load('drizzle-orm/pg-core') as typeof import('drizzle-orm/pg-core')
