import pg from 'pg'
import { expect, test } from 'vitest'
import { testDatabase } from '../postgres.ts'

test('each test gets a database of its own, and may leave sessions open on it', async () => {
  const [first, second] = await Promise.all([testDatabase(), testDatabase()])
  const client = new pg.Client({ connectionString: first.url })
  const ended = new Promise((resolve) => client.on('error', resolve))
  await client.connect()
  await client.query('create table only_here ()')
  const { rows } = await client.query(
    `select to_regclass('only_here') is not null as here, current_database() as name`,
  )
  expect(rows[0].here).toBe(true)
  expect(second.url).not.toContain(rows[0].name)
  await first.drop()
  await ended
  await second.drop()
  await second.drop()
})
