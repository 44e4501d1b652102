/**
 * The least engine that owns an embedded PostgreSQL, for tests that kill it. Says what happens in JSON lines; on SIGINT
 * it asks the database something, then stops it, as a server does that finishes its work on Ctrl-C.
 */
import pg from 'pg'
import { systemClock } from '../../src/clock.ts'
import { EmbeddedPostgresError, startEmbeddedPostgres } from '../../src/store/embedded.ts'

const say = (line: Record<string, unknown>) => process.stdout.write(`${JSON.stringify(line)}\n`)

try {
  const postgres = await startEmbeddedPostgres({
    dataDirectory: process.argv[2]!,
    clock: systemClock(),
    progress: (message) => say({ kind: 'progress', message }),
  })
  const { url, pid, adopted } = postgres
  const staysUp = setInterval(() => {}, 60_000)
  process.once('SIGINT', async () => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    const { rows } = await client.query('select 42 as answer')
    await client.end()
    await postgres.stop()
    clearInterval(staysUp)
    say({ kind: 'answered', message: String(rows[0].answer) })
  })
  say({ kind: 'ready', url, pid, adopted })
} catch (error) {
  say({
    kind: 'failed',
    message: String(error),
    code: error instanceof EmbeddedPostgresError ? error.code : undefined,
  })
}
