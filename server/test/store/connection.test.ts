/** A database that cannot be used is refused with a sentence that says what to do. */
import { createServer } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { refuseOldVersion } from '../../src/store/database.ts'
import {
  isBehindTransactionPooler,
  type ProbeClient,
  refuseTransactionPooler,
} from '../../src/store/pooler.ts'
import { openStore } from '../../src/store/postgres.ts'
import { StoreError } from '../../src/store/store.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { failureOf } from '../suites/store-fixture.ts'

describe('opening a store', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await testDatabase()
  })
  afterAll(() => database.drop())

  const refusal = async (change: (url: URL) => void): Promise<StoreError> => {
    const url = new URL(database.url)
    change(url)
    const failure = await failureOf(
      openStore({ url: url.href, clock: systemClock(), applicationName: 'test', poolSize: 1 }),
    )
    expect(failure).toBeInstanceOf(StoreError)
    return failure as StoreError
  }

  it('names a database that does not exist', async () => {
    const failure = await refusal((url) => {
      url.pathname = '/nowhere'
    })
    expect(failure.code).toBe('database_missing')
    expect(failure.message).toContain('nowhere')
  })

  it('says that nothing listens, as something to try again', async () => {
    const unused = createServer()
    await new Promise<void>((resolve) => unused.listen(0, '127.0.0.1', resolve))
    const { port } = unused.address() as { port: number }
    await new Promise((resolve) => unused.close(resolve))
    const failure = await refusal((url) => {
      url.hostname = '127.0.0.1'
      url.port = `${port}`
    })
    expect(failure).toMatchObject({ code: 'database_unavailable', retryable: true })
    expect(failure.message).toContain(`127.0.0.1:${port}`)
  })

  it('says that the login was refused, and never repeats the password', async () => {
    const failure = await refusal((url) => {
      url.username = 'nobody_of_this_name'
      url.password = 'not-the-password'
    })
    expect(failure).toMatchObject({ code: 'database_login_refused', retryable: false })
    expect(failure.message).not.toContain('not-the-password')
  })

  it('refuses a version of PostgreSQL that is too old', async () => {
    const old = {
      query: async () => ({ rows: [{ number: '140011', text: '14.11' }] }),
    } as unknown as pg.Client
    const failure = await failureOf(refuseOldVersion(old, database.url))
    expect(failure).toMatchObject({ code: 'database_too_old', retryable: false })
    expect(failure.message).toContain('14.11')
  })
})

describe('a transaction pooler', () => {
  let database: TestDatabase
  const connections: pg.Client[] = []
  beforeAll(async () => {
    database = await testDatabase()
    for (let count = 0; count < 3; count++) {
      const client = new pg.Client({ connectionString: database.url })
      await client.connect()
      connections.push(client)
    }
  })
  afterAll(async () => {
    await Promise.all(connections.map((client) => client.end()))
    await database.drop()
  })

  it.each(['last used first', 'in turn'] as const)(
    'is found out when it hands out connections %s',
    async (order) => {
      // What a pooler does: every transaction gets some free server connection.
      const free = [...connections]
      const clientOf = (): ProbeClient => {
        let held: pg.Client | null = null
        let isOpen = false
        return {
          async query(text, values) {
            const server = held ?? (order === 'in turn' ? free.shift() : free.pop())
            if (!server) throw new Error('the pool is empty')
            const answer = await server.query(text, values)
            if (text === 'begin') isOpen = true
            if (text === 'rollback') isOpen = false
            held = isOpen ? server : null
            if (!isOpen) free.push(server)
            return answer
          },
        }
      }
      expect(await isBehindTransactionPooler(clientOf(), clientOf())).toBe(true)
      const failure = await failureOf(refuseTransactionPooler(clientOf(), clientOf()))
      expect(failure).toMatchObject({ code: 'database_behind_pooler', retryable: false })
      expect(failure.message).toContain('session mode')
    },
  )

  it('is not seen where every client has a connection of its own', async () => {
    const [first, second] = connections as [pg.Client, pg.Client]
    expect(await isBehindTransactionPooler(first, second)).toBe(false)
    await refuseTransactionPooler(first, second)
  })
})
