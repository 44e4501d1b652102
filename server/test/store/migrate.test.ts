/** The tables are those of the program, whoever started first and however many at once. */
import { getTableName, is } from 'drizzle-orm'
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Migration, migrate, readMigrations } from '../../src/store/migrate.ts'
import * as schema from '../../src/store/schema.ts'
import { StoreError } from '../../src/store/store.ts'
import { until } from '../coordinator/fleet.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { failureOf } from '../suites/store-fixture.ts'

const addressOf = (database: TestDatabase) => ({ url: database.url, applicationName: 'migrate-test' })

async function query<Row extends object>(database: TestDatabase, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  const { rows } = await client.query(text)
  await client.end()
  return rows as Row[]
}

describe('migrations', () => {
  let database: TestDatabase
  beforeEach(async () => {
    database = await testDatabase()
  })
  afterEach(() => database.drop())

  it('run once when ten processes start at the same time', async () => {
    const migrated = await Promise.all(Array.from({ length: 10 }, () => migrate(addressOf(database))))
    const names = (await readMigrations()).map((migration) => migration.name)
    expect(migrated.flatMap(({ applied }) => applied)).toEqual(names)
    const rows = await query<{ name: string }>(database, 'select name from weft_migrations order by number')
    expect(rows.map((row) => row.name)).toEqual(names)
  })

  it('add what is missing and leave what is there', async () => {
    await migrate(addressOf(database))
    const added: Migration[] = [
      ...(await readMigrations()),
      { number: 9000, name: '9000_more.sql', sql: 'create table more (id int); insert into more values (1)' },
    ]
    expect(await migrate(addressOf(database), added)).toEqual({ applied: ['9000_more.sql'], newer: [] })
    expect(await migrate(addressOf(database), added)).toEqual({ applied: [], newer: [] })
    expect(await query(database, 'select id from more')).toEqual([{ id: 1 }])
  })

  const from = async (name: string): Promise<Migration[]> => [
    ...(await readMigrations()),
    { number: 9000, name, sql: 'create table future (id int)' },
  ]

  it('of a newer program let this one start while they only add', async () => {
    await migrate(addressOf(database), await from('9000_future.sql'))
    expect(await migrate(addressOf(database))).toEqual({ applied: [], newer: ['9000_future.sql'] })
  })

  it('of a newer program that break with this one refuse it, with a sentence, and touch nothing', async () => {
    await migrate(addressOf(database), await from('9000_future_breaking.sql'))
    const failure = await failureOf(migrate(addressOf(database)))
    expect(failure).toBeInstanceOf(StoreError)
    expect(failure).toMatchObject({ code: 'database_newer', retryable: false })
    expect(failure.message).toContain('9000_future_breaking.sql')
  })

  it('leave nothing of a migration that fails halfway, and can be tried again', async () => {
    const step = (sql: string): Migration[] => [{ number: 1, name: '0001_step.sql', sql }]
    const broken = step('create table half (id int); select 1 / 0')
    expect(await failureOf(migrate(addressOf(database), broken))).toBeInstanceOf(Error)
    expect(await query(database, `select to_regclass('half') as half`)).toEqual([{ half: null }])
    expect(await migrate(addressOf(database), step('create table half (id int)'))).toEqual({
      applied: ['0001_step.sql'],
      newer: [],
    })
  })

  it('give way to a transaction that holds what they want and wants what they hold', async () => {
    await migrate(addressOf(database))
    const commit = new pg.Client({ connectionString: database.url })
    const observer = new pg.Client({ connectionString: database.url })
    await Promise.all([commit.connect(), observer.connect()])
    await commit.query('begin; lock table run_events in row exclusive mode')
    const sql =
      'alter table runs add column one int; select pg_sleep(0.1); alter table run_events add column two int'
    const migrating = migrate(addressOf(database), [
      ...(await readMigrations()),
      { number: 9000, name: '9000_both.sql', sql },
    ])
    await until(async () => {
      const { rows } = await observer.query(
        `select from pg_locks where relation = 'runs'::regclass and mode = 'AccessExclusiveLock' and granted`,
      )
      return rows.length > 0
    })
    // As a commit does, which waits before the migration does and must not be the one that is ended.
    await commit.query('lock table runs in row exclusive mode; commit')
    expect((await migrating).applied).toEqual(['9000_both.sql'])
    await Promise.all([commit.end(), observer.end()])
  })

  it('are numbered without holes', async () => {
    const numbers = (await readMigrations()).map((migration) => migration.number)
    expect(numbers).toEqual(numbers.map((_, index) => index + 1))
  })
})

describe('schema.ts and the migrated database', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await testDatabase()
    await migrate(addressOf(database))
  })
  afterAll(() => database.drop())

  const tables = Object.values(schema).filter((value) => is(value, PgTable))

  it('name the same tables', async () => {
    const rows = await query<{ name: string }>(
      database,
      `select table_name as name from information_schema.tables
       where table_schema = current_schema() and table_type = 'BASE TABLE' and table_name <> 'weft_migrations'`,
    )
    expect(new Set(rows.map((row) => row.name))).toEqual(new Set(tables.map((table) => getTableName(table))))
  })

  it.each(tables.map((table) => [getTableName(table), table] as const))(
    'agree on %s',
    async (name, table) => {
      const config = getTableConfig(table)
      const columns = await query<{ name: string; type: string; required: boolean }>(
        database,
        `select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as required
       from pg_attribute where attrelid = '${name}'::regclass and attnum > 0 and not attisdropped`,
      )
      const described = config.columns.map((column) => ({
        name: column.name,
        type: column.getSQLType(),
        required: column.notNull || column.primary || isInPrimaryKey(config, column.name),
      }))
      expect(new Set(columns)).toEqual(new Set(described))

      const indexes = await query<{
        name: string
        is_unique: boolean
        is_partial: boolean
        columns: string[]
      }>(
        database,
        `select c.relname as name, i.indisunique as is_unique, i.indpred is not null as is_partial,
         array(select a.attname::text from unnest(i.indkey) with ordinality k (number, place)
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number order by k.place) as columns
       from pg_index i join pg_class c on c.oid = i.indexrelid
       where i.indrelid = '${name}'::regclass and not i.indisprimary`,
      )
      const describedIndexes = config.indexes.map(({ config: index }) => ({
        name: index.name,
        is_unique: index.unique,
        is_partial: index.where !== undefined,
        // PostgreSQL names no column for an expression, and writes it in its own way.
        columns: index.columns.flatMap((column) => ('name' in column ? [column.name] : [])),
      }))
      expect(new Set(indexes)).toEqual(new Set(describedIndexes))

      const [primary] = await query<{ columns: string[] }>(
        database,
        `select array(select a.attname::text from unnest(i.indkey) with ordinality k (number, place)
         join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number order by k.place) as columns
       from pg_index i where i.indrelid = '${name}'::regclass and i.indisprimary`,
      )
      expect(primary?.columns).toEqual(primaryKeyOf(config))
    },
  )
})

type TableConfig = ReturnType<typeof getTableConfig>

const primaryKeyOf = (config: TableConfig): string[] =>
  config.primaryKeys[0]?.columns.map((column) => column.name) ??
  config.columns.filter((column) => column.primary).map((column) => column.name)

const isInPrimaryKey = (config: TableConfig, name: string): boolean => primaryKeyOf(config).includes(name)
