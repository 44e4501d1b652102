/** A PostgreSQL that somebody gave: its encryption, its patience, and a newer program that migrates it meanwhile. */
import { readFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { TLSSocket } from 'node:tls'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { migrate, readMigrations } from '../../src/store/migrate.ts'
import { openStore } from '../../src/store/postgres.ts'
import { fleet, until } from '../coordinator/fleet.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { failureOf } from '../suites/store-fixture.ts'

const PEM = new URL('../egress/secure.test.pem', import.meta.url)

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.drop())

const open = (url: string, statementTimeoutMs: number | null = null) =>
  openStore({ url, clock: systemClock(), applicationName: 'given', poolSize: 2, statementTimeoutMs })

/** Speaks TLS for the database, with a certificate that nobody has signed. */
async function tlsInFront(target: URL): Promise<{ readonly server: Server; readonly port: number }> {
  const pem = readFileSync(PEM)
  const server = createServer((socket) => {
    socket.on('error', () => {})
    // A client asks for TLS with eight bytes, and goes on when it reads an S.
    socket.once('data', () => {
      socket.write('S')
      const secure = new TLSSocket(socket, { isServer: true, key: pem, cert: pem })
      const upstream = connect(Number(target.port), target.hostname)
      for (const side of [secure, upstream]) side.on('error', () => {})
      secure.pipe(upstream).pipe(secure)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { server, port: (server.address() as { port: number }).port }
}

describe('TLS', () => {
  const withMode = (mode: string, port?: number): string => {
    const url = new URL(database.url)
    if (port !== undefined) url.port = `${port}`
    url.searchParams.set('sslmode', mode)
    return url.href
  }

  test('is spoken when the URL asks for it', async () => {
    const { port } = await tlsInFront(new URL(database.url))
    const store = await open(withMode('no-verify', port))
    await store.ping()
    await store.close()
  })

  test('with a certificate that is not trusted is refused, and the sentence says how to trust it', async () => {
    const { port } = await tlsInFront(new URL(database.url))
    const failure = await failureOf(open(withMode('verify-full', port)))
    expect(failure).toMatchObject({ code: 'database_tls', retryable: false })
    expect(failure.message).toContain('sslrootcert')
  })

  test('that the server does not speak is refused with a sentence', async () => {
    const failure = await failureOf(open(withMode('require')))
    expect(failure).toMatchObject({ code: 'database_tls' })
    expect(failure.message).toContain('does not speak TLS')
  })
})

test('a statement that waits for too long is given up, and may be tried again', async () => {
  const store = await open(database.url, 1_000)
  onTestFinished(() => store.close())
  const peer = new pg.Client({ connectionString: database.url })
  await peer.connect()
  await peer.query('begin')
  await peer.query('lock table variables in access exclusive mode')
  const failure = await failureOf(store.variables.list({ workspace: 'default' }))
  expect(failure).toMatchObject({ code: 'database_busy', retryable: true })
  await peer.query('rollback')
  expect(await store.variables.list({ workspace: 'default' })).toEqual([])
  await peer.end()
})

test('a newer program migrates behind a long statement: runs of the older one go on before, during and after', async () => {
  const f = await fleet()
  await f.add()
  await f.completed(await f.begin(5))
  // Somebody’s long report holds the table that the migration wants to change.
  const report = new pg.Client({ connectionString: f.url })
  await report.connect()
  await report.query('begin')
  await report.query('select count(*) from runs')
  const newer = [
    ...(await readMigrations()),
    {
      number: 9000,
      name: '9000_more.sql',
      sql: 'alter table runs add column more text; create table more (id int); create index runs_more on runs (more)',
    },
  ]
  let isMigrated = false
  const migrating = migrate({ url: f.url, applicationName: 'newer' }, newer).then(() => {
    isMigrated = true
  })
  // In a transaction one would see the same picture again and again.
  const observer = new pg.Client({ connectionString: f.url })
  await observer.connect()
  await until(async () => {
    const { rows } = await observer.query<{ count: number }>(
      `select count(*)::int as count from pg_stat_activity
       where datname = current_database() and application_name = 'newer' and wait_event_type = 'Lock'`,
    )
    return rows[0]?.count === 1
  })
  await observer.end()
  await f.completed(await f.begin(20))
  expect(isMigrated).toBe(false)
  await report.query('rollback')
  await report.end()
  await migrating
  await f.completed(await f.begin(20))
  // One of the older program that is started again in the middle of an upgrade takes part like those that stayed.
  await f.add()
  await f.divided(8, 8)
  await f.completed(await f.begin(20))
})
