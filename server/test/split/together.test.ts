/** What an orchestrator does with an installation that is new: every process starts at the same moment. */
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readMigrations } from '../../src/store/migrate.ts'
import { until } from '../coordinator/fleet.ts'
import { testDatabase } from '../postgres.ts'
import { redisUrl } from '../redis.ts'
import { Installation } from './installation.ts'

const ROLES = [
  ...['api', 'api', 'api,coordinator', 'api,coordinator,worker'],
  ...['coordinator', 'coordinator', 'coordinator,worker'],
  ...['worker', 'worker', 'worker'],
]

describe.skipIf(redisUrl === null)('ten processes that start at once on an empty database', () => {
  test('are all ready, work as one, complain of nothing and end with 0', async () => {
    const database = await testDatabase()
    onTestFinished(() => database.drop())
    const installation = new Installation({ databaseUrl: database.url, redisUrl: redisUrl!, allow: '' })
    onTestFinished(() => installation.end())
    const processes = []
    for (const [index, roles] of ROLES.entries())
      processes.push(await installation.process({ name: `together-${index + 1}`, roles }))
    await Promise.all(processes.map((weft) => weft.start()))

    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    onTestFinished(() => client.end())
    const { rows } = await client.query<{ name: string }>('select name from weft_migrations order by number')
    expect(rows.map(({ name }) => name)).toEqual((await readMigrations()).map(({ name }) => name))

    const apis = processes.filter((_, index) => ROLES[index]?.startsWith('api'))
    const [{ url }] = apis as [(typeof apis)[number]]
    const definition = {
      weft: 1,
      name: 'hello',
      nodes: { greet: { type: 'log', with: { message: 'hello' } } },
    }
    for (const api of apis)
      expect(await installation.call(api.url, '/runs?wait=30s', { definition })).toMatchObject({
        body: { status: 'completed', output: { message: 'hello' } },
      })
    await until(async () => {
      const shares = (await installation.ownership(url)).map(({ partitions }) => partitions.length)
      return shares.length === 5 && shares.toSorted().join() === '3,3,3,3,4'
    })
    expect(await installation.call(url, '/workers')).toMatchObject({
      body: { items: Array.from({ length: 5 }, () => ({ kind: 'process' })) },
    })
    expect(await Promise.all(processes.map((weft) => weft.stop()))).toEqual(ROLES.map(() => 0))
    expect(processes.map(({ warnings }) => warnings)).toEqual(ROLES.map(() => ''))
  })
})
