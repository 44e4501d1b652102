/**
 * One PostgreSQL for the whole test run: the embedded server in a temporary folder, or the one that
 * WEFT_TEST_DATABASE_URL names. Test files get databases of their own from it (`postgres.ts`).
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { systemClock } from '../src/clock.ts'
import { startEmbeddedPostgres } from '../src/store/embedded.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** A server on which the tests may create databases. */
    postgresUrl: string
  }
}

export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env.WEFT_TEST_DATABASE_URL
  if (given) {
    project.provide('postgresUrl', given)
    return undefined
  }
  const dataDirectory = await mkdtemp(join(tmpdir(), 'weft-test-postgres-'))
  const postgres = await startEmbeddedPostgres({ dataDirectory, clock: systemClock() })
  project.provide('postgresUrl', postgres.url)
  return async () => {
    await postgres.stop()
    await rm(dataDirectory, { recursive: true, force: true })
  }
}
