/** An empty database for one test file or one test, on the server of this test run. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import type {} from './global-postgres.ts'

export interface TestDatabase {
  readonly url: string
  /** Ends the sessions that are still open on it and removes it. */
  drop(): Promise<void>
}

/** `server`: another one than that of this test run. */
export async function testDatabase(server: string = inject('postgresUrl')): Promise<TestDatabase> {
  const name = `weft_test_${randomBytes(6).toString('hex')}`
  await run(server, `create database ${name}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => run(server, `drop database if exists ${name} with (force)`) }
}

async function run(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
