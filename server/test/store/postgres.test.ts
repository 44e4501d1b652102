/** The store's conformance suite on PostgreSQL: the one that Weft brings, and the oldest supported one of this machine. */
import pg from 'pg'
import { afterAll, beforeAll, describe } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { openStore } from '../../src/store/postgres.ts'
import type { Store } from '../../src/store/store.ts'
import { testDatabase } from '../postgres.ts'
import { type OlderPostgresServer, startOlderPostgres } from '../servers/older-postgres.ts'
import { findOlderPostgres } from '../servers/programs.ts'
import { storeSuite } from '../suites/store.ts'
import type { OpenedStore } from '../suites/store-fixture.ts'

storeSuite('PostgreSQL', () => openOn())

const older = findOlderPostgres()
describe.skipIf(older === null)('the oldest supported server', () => {
  let server: OlderPostgresServer
  beforeAll(async () => {
    server = await startOlderPostgres(older!)
  })
  afterAll(() => server?.stop())

  storeSuite(`PostgreSQL ${older?.major}`, () => openOn(server.url))
})

async function openOn(server?: string): Promise<OpenedStore<Store>> {
  const database = await testDatabase(server)
  const clock = systemClock()
  const open = (applicationName: string) =>
    openStore({ url: database.url, clock, applicationName, poolSize: 4 })
  const store = await open('weft-suite')
  const peer = new pg.Client({ connectionString: database.url })
  await peer.connect()
  return {
    store,
    another: () => open('weft-other'),
    async sever(owner) {
      const gone = `select count(*)::int as left from pg_stat_activity where datname = current_database() and application_name like '% ' || $1`
      await peer.query(
        `select pg_terminate_backend(pid, 10000) from pg_stat_activity
         where datname = current_database() and application_name like '% ' || $1`,
        [owner],
      )
      const { rows } = await peer.query<{ left: number }>(gone, [owner])
      if (rows[0]?.left !== 0) throw new Error(`the session of ${owner} is still there`)
    },
    async close() {
      await peer.end()
      await store.close()
      await database.drop()
    },
  }
}
