import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ConfigSources, describeConfig, readConfig } from '../../src/config.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-config-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const read = (environment: Record<string, string>, more: Partial<ConfigSources> = {}) =>
  readConfig({ environment: { HOME: join(folder, 'home'), ...environment }, directory: folder, ...more })

function config(environment: Record<string, string>, more: Partial<ConfigSources> = {}) {
  const result = read(environment, more)
  if (!result.ok) throw new Error(result.problems.join('\n'))
  return result.config
}

function problems(environment: Record<string, string>, more: Partial<ConfigSources> = {}): readonly string[] {
  const result = read(environment, more)
  return result.ok ? [] : result.problems
}

function warnings(environment: Record<string, string>): readonly string[] {
  const result = read(environment)
  if (!result.ok) throw new Error(result.problems.join('\n'))
  return result.warnings
}

describe('values', () => {
  test('without anything, the documented defaults are in force', () => {
    expect(config({})).toMatchObject({
      host: '127.0.0.1',
      port: 7400,
      databaseUrl: null,
      apiKey: null,
      retentionMs: 30 * 86_400_000,
      logLevel: 'info',
      logFormat: 'json',
    })
    expect([...config({}).workerConcurrency]).toEqual([
      ['http', 64],
      ['agent', 8],
      ['code', 2],
      ['*', 16],
    ])
  })

  test('a flag wins over the environment', () => {
    expect(config({ WEFT_PORT: '1000' }, { flags: { port: '2000' } }).port).toBe(2000)
  })

  test('what a person writes for some types leaves the others as they were', () => {
    const limits = config({ WEFT_WORKER_CONCURRENCY: 'http=5, log=100' }).workerConcurrency
    expect([limits.get('http'), limits.get('log'), limits.get('*')]).toEqual([5, 100, 16])
  })

  test('--allow adds to WEFT_EGRESS_ALLOW', () => {
    const { egressAllow } = config(
      { WEFT_EGRESS_ALLOW: 'a.example' },
      { flags: { allow: ['localhost:3000'] } },
    )
    expect(egressAllow).toEqual(['a.example', 'localhost:3000'])
  })

  test('origins are read as browsers write them, and what is none is refused with a reason', () => {
    const given = 'https://App.Example.com, http://localhost:5173/,https://a.example:443'
    expect(config({ WEFT_CORS_ORIGINS: given }).corsOrigins).toEqual([
      'https://app.example.com',
      'http://localhost:5173',
      'https://a.example',
    ])
    expect(config({}).corsOrigins).toEqual([])
    expect(problems({ WEFT_CORS_ORIGINS: '*' })[0]).toContain('every page of the internet')
    for (const entry of [
      'app.example.com',
      'https://a.example/app',
      'ftp://a.example',
      'https://u@a.example',
      'null',
    ])
      expect(problems({ WEFT_CORS_ORIGINS: entry })[0]).toContain(`\`${entry}\`, which is no origin`)
  })

  test('retention may be off', () => {
    expect(config({ WEFT_RETENTION: 'off' }).retentionMs).toBeNull()
    expect(config({ WEFT_RETENTION: '12h' }).retentionMs).toBe(12 * 3_600_000)
  })

  test('credentials are collected by their variable', () => {
    expect(config({ WEFT_CREDENTIAL_SHOP: '{"token":"t"}' }).credentials).toEqual({
      WEFT_CREDENTIAL_SHOP: '{"token":"t"}',
    })
  })
})

describe('the data directory', () => {
  test('is the nearest .weft upward, else ~/.weft', () => {
    const inner = join(folder, 'a', 'b')
    mkdirSync(inner, { recursive: true })
    expect(config({}, { directory: inner }).dataDirectory).toBe(join(folder, 'home', '.weft'))
    mkdirSync(join(folder, 'a', '.weft'))
    expect(config({}, { directory: inner }).dataDirectory).toBe(join(folder, 'a', '.weft'))
    expect(config({ WEFT_DATA_DIR: 'elsewhere' }, { directory: inner }).dataDirectory).toBe(
      join(inner, 'elsewhere'),
    )
    expect(config({}, { directory: folder, defaultDataDirectory: join(folder, 'd') }).dataDirectory).toBe(
      join(folder, 'd'),
    )
  })

  test('that is a file is refused', () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    expect(problems({ WEFT_DATA_DIR: file })[0]).toContain('is a file')
  })
})

describe('what is wrong', () => {
  test('is said all at once, each with the value as it was given', () => {
    const found = problems({
      WEFT_PORT: 'abc',
      WEFT_LOG_LEVEL: 'inof',
      WEFT_DATABASE_URL: 'mysql://x:secret-word@h/db',
      WEFT_EGRESS_ALLOW: 'https://a.example',
      WEFT_WORKER_CONCURRENCY: 'http=many',
      WEFT_RETENTION: 'soon',
      WEFT_DATABASE_POOL: '1',
      WEFT_DATABASE_TIMEOUT: '5ms',
      WEFT_NODES: join(folder, 'nowhere'),
      WEFT_API_KEY: 'short',
      WEFT_MASTER_KEY: 'secret-word',
      WEFT_CREDENTIAL_SHOP: 'not json secret-word',
      WEFT_ROLES: 'api,wroker',
      WEFT_REDIS_URL: 'http://:secret-word@h',
    }).join('\n')
    expect(found).toContain('WEFT_PORT=abc is not a port')
    expect(found).toContain('WEFT_LOG_LEVEL=inof is not known: did you mean `info`?')
    expect(found).toContain('WEFT_DATABASE_URL is not the address of a PostgreSQL')
    expect(found).toContain('leave out the scheme')
    expect(found).toContain('http=many')
    expect(found).toContain('WEFT_RETENTION=soon is not a duration')
    expect(found).toContain('WEFT_DATABASE_POOL=1 is not a number of connections')
    expect(found).toContain('WEFT_DATABASE_TIMEOUT=5ms is not a duration of at least one second')
    expect(found).toContain('a folder that does not exist')
    expect(found).toContain('WEFT_API_KEY is too weak')
    expect(found).toContain('WEFT_MASTER_KEY is not a master key')
    expect(found).toContain('WEFT_CREDENTIAL_SHOP must be a JSON object')
    expect(found).toContain('did you mean `worker`?')
    expect(found).toContain('WEFT_REDIS_URL is not the address of a Redis')
    expect(found).not.toContain('secret-word')
  })

  test('roles in several processes need both URLs, and say which one is missing', () => {
    expect(problems({ WEFT_ROLES: 'api' })[0]).toMatch(
      /WEFT_ROLES=api .* WEFT_DATABASE_URL and WEFT_REDIS_URL/,
    )
    const database = { WEFT_DATABASE_URL: 'postgres://h/db' }
    expect(problems({ WEFT_ROLES: 'worker', ...database })[0]).toMatch(/set WEFT_REDIS_URL, or/)
    expect(problems({ WEFT_ROLES: ',' })[0]).toContain('names no role')
    const both = { ...database, WEFT_REDIS_URL: 'redis://h', WEFT_MASTER_KEY: 'a'.repeat(64) }
    const result = readConfig({ environment: { WEFT_ROLES: 'worker,coordinator', ...both } })
    expect(result).toMatchObject({ ok: true, warnings: [], config: { opsPort: null } })
  })

  test('a worker takes what is named, and nothing else where the others are set to 0', () => {
    const of = (text: string) => {
      const result = readConfig({ environment: { WEFT_WORKER_CONCURRENCY: text } })
      return result.ok ? Object.fromEntries(result.config.workerConcurrency) : null
    }
    expect(of('gpu=2')).toEqual({ http: 64, agent: 8, code: 2, '*': 16, gpu: 2 })
    expect(of('code=0')).toMatchObject({ http: 64, code: 0, '*': 16 })
    expect(of('gpu=2,*=0')).toEqual({ gpu: 2, '*': 0 })
  })

  test('of a flag is said in the flag’s own words', () => {
    expect(problems({}, { flags: { port: '70000' } })[0]).toContain('--port 70000 is not a port')
  })

  test('an unknown WEFT_ variable is a warning with the nearest name', () => {
    expect(warnings({ WEFT_PROT: '1' })[0]).toContain('`WEFT_PORT`')
  })

  test('of the start in a hold is not guessed at', () => {
    expect(config({}).startPaused).toBe(false)
    expect(config({ WEFT_START_PAUSED: 'true' }).startPaused).toBe(true)
    expect(problems({ WEFT_START_PAUSED: '1' })[0]).toContain('it is one of true, false')
  })
})

test('doctor’s list names every setting and hides every secret', () => {
  const shown = describeConfig(
    config({
      WEFT_API_KEY: 'secret-word-secret-word',
      WEFT_DATABASE_URL: 'postgres://me:secret-word@h:5432/db',
      WEFT_CREDENTIAL_SHOP: '{"token":"secret-word"}',
    }),
  )
  expect(JSON.stringify(shown)).not.toContain('secret-word')
  expect(shown.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['WEFT_PORT', 'WEFT_DATABASE_URL', 'WEFT_CREDENTIAL_SHOP']),
  )
})
