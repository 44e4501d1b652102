/** What steers a server beside single runs, by the real program: keys of workers. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { weft as program } from '../weft-program.ts'

let folder: string
let database: TestDatabase
let weft: Weft

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-steering-'))
  database = await testDatabase()
  const read = readConfig({
    flags: { dataDirectory: join(folder, '.weft'), databaseUrl: database.url, port: '0', logLevel: 'silent' },
    environment: {},
  })
  if (!read.ok) throw new Error(read.problems.join('\n'))
  weft = await startWeft(read.config)
})

afterAll(async () => {
  await weft?.stop()
  await database?.drop()
  await rm(folder, { recursive: true, force: true })
})

const cli = (...args: string[]) => program(args, folder, {})

test('a worker’s key is for the task types that it names', async () => {
  const made = await cli(
    'keys',
    'create',
    'resizer',
    '--role',
    'worker',
    '--types',
    'image.resize,image.crop',
  )
  expect([made.code, made.err]).toEqual([
    0,
    expect.stringContaining('Key resizer (worker, for image.resize, image.crop)'),
  ])
  expect((await cli('keys', 'list')).out).toMatch(/resizer +worker +image\.resize,image\.crop/)
  const wrong = await cli('keys', 'create', 'both', '--role', 'editor', '--types', 'image.resize')
  expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('/taskTypes')])
})
