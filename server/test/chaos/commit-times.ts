/** When transactions were committed: what the ledger of the world outside is held against. */
import pg from 'pg'
import { systemClock } from '../../src/clock.ts'
import { startEmbeddedPostgres } from '../../src/store/embedded.ts'

/** Makes the database of this data directory; from its next start on PostgreSQL keeps the time of each commit. */
export async function keepCommitTimes(dataDirectory: string): Promise<void> {
  const postgres = await startEmbeddedPostgres({ dataDirectory, clock: systemClock() })
  const client = new pg.Client({ connectionString: postgres.url })
  try {
    await client.connect()
    await client.query('alter system set track_commit_timestamp = on')
  } finally {
    await client.end()
    await postgres.stop()
  }
}
