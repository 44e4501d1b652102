/**
 * One idempotency key makes one run: over a real server, when many send it at once, when the answer of the commit is cut
 * on its way from PostgreSQL, and when the answer of the API is cut on its way to the caller.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { type TcpProxy, tcpProxy, type Watcher } from '../servers/tcp-proxy.ts'

const DEFINITION = { weft: 1, name: 'once', nodes: { ask: { type: 'approval', with: { title: 'Go on?' } } } }

/** How often the next answers are cut. */
const cutting = { commits: 0, answers: 0 }

/** The end of an answer of PostgreSQL outside of a transaction: what was asked is committed. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])

/** Cuts where the answer of the statement that begins runs flows back: the runs are there, and nobody hears it. */
function commitWatcher(): Watcher {
  let isCommitting = false
  return {
    request(bytes) {
      if (bytes.includes('begin\0')) isCommitting = true
    },
    answer(bytes) {
      if (!isCommitting || !bytes.subarray(-READY.length).equals(READY)) return 'pass'
      isCommitting = false
      if (cutting.commits === 0) return 'pass'
      cutting.commits--
      return 'cut'
    },
  }
}

/** Cuts where the API's answer begins: whoever asked hears nothing of what was accepted. */
function answerWatcher(): Watcher {
  return {
    answer(bytes) {
      if (cutting.answers === 0 || !/^HTTP\/1\.1 20[02] /.test(bytes.toString('latin1'))) return 'pass'
      cutting.answers--
      return 'cut'
    },
  }
}

let database: TestDatabase
let beforeDatabase: TcpProxy
let beforeApi: TcpProxy
let weft: Weft
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-one-run-'))
  database = await testDatabase()
  const url = new URL(database.url)
  beforeDatabase = await tcpProxy(Number(url.port), commitWatcher)
  url.port = String(beforeDatabase.port)
  const read = readConfig({
    flags: { dataDirectory: folder, databaseUrl: url.href, port: '0' },
    environment: { WEFT_RATE_LIMITS: 'off' },
  })
  if (!read.ok) throw new Error(read.problems.join('\n'))
  weft = await startWeft(read.config, { log: pino({ level: 'silent' }) })
  beforeApi = await tcpProxy(Number(new URL(weft.url).port), answerWatcher)
})

afterAll(async () => {
  await weft?.stop()
  beforeApi?.close()
  beforeDatabase?.close()
  await database?.drop()
  await rm(folder, { recursive: true, force: true })
})

beforeEach(() => {
  cutting.commits = 0
  cutting.answers = 0
})

interface Told {
  readonly status: number
  readonly id: string
  readonly code?: string
  readonly detail?: string
}

/** `null`: the connection ended without an answer. */
async function submit(key: string | null, url = weft.url): Promise<Told | null> {
  try {
    const response = await fetch(`${url}/api/v1/runs`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${weft.apiKey}`,
        'content-type': 'application/json',
        ...(key === null ? {} : { 'idempotency-key': key }),
      },
      body: JSON.stringify({ definition: DEFINITION, labels: { key: key ?? 'none' } }),
    })
    return { ...((await response.json()) as Omit<Told, 'status'>), status: response.status }
  } catch (error) {
    if (error instanceof TypeError) return null
    throw error
  }
}

/** As a client does that wants its run: again, under the same key, until it is told its id. */
async function untilAccepted(key: string, url?: string): Promise<{ id: string; sent: number }> {
  for (let sent = 1; ; sent++) {
    const told = await submit(key, url)
    if (told !== null && told.status < 300) return { id: told.id, sent }
    if (told !== null) expect([told.status, told.code]).toEqual([503, 'outcome_unknown'])
  }
}

/** The runs that were begun under this key, as the database has them. */
async function runsOf(key: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    const { rows } = await client.query(`select id from runs where labels ->> 'key' = $1`, [key])
    return rows.map(({ id }) => id)
  } finally {
    await client.end()
  }
}

test('100 submits at once under one key make one run, and each is told its id', async () => {
  const told = await Promise.all(Array.from({ length: 100 }, () => submit('hundred')))
  const [id, ...others] = new Set(told.map((one) => one?.id))
  expect(others).toEqual([])
  expect(told.map((one) => one?.status).sort()).toEqual([...Array(99).fill(200), 202])
  expect(await runsOf('hundred')).toEqual([id])
})

test.for([1, 2, 3, 12])('a commit whose answer is cut %i times makes one run', async (times) => {
  const key = `commit ${times}`
  const before = beforeDatabase.cuts
  cutting.commits = times
  const { id, sent } = await untilAccepted(key)
  console.log(`${beforeDatabase.cuts - before} answers of commits cut; the submit was sent ${sent} times`)
  expect(beforeDatabase.cuts - before).toBe(times)
  expect(await runsOf(key)).toEqual([id])
})

test('without a key, too, a commit whose answer is cut makes one run', async () => {
  cutting.commits = 2
  const told = await submit(null)
  expect(told?.status).toBe(202)
  expect(await runsOf('none')).toEqual([told?.id])
})

test('a submit whose outcome stays unknown says that it can be sent again under its key', async () => {
  cutting.commits = 20
  const told = await submit('unknown')
  expect([told?.status, told?.code]).toEqual([503, 'outcome_unknown'])
  expect(told?.detail).toContain('Idempotency-Key')
  cutting.commits = 0
  expect(await runsOf('unknown')).toEqual([(await untilAccepted('unknown')).id])
})

test('20 submits whose answers from the API are cut make one run each over their retries', async () => {
  cutting.answers = 50
  const before = beforeApi.cuts
  const keys = Array.from({ length: 20 }, (_, index) => `answer ${index}`)
  const url = `http://127.0.0.1:${beforeApi.port}`
  const accepted = await Promise.all(keys.map((key) => untilAccepted(key, url)))
  expect(beforeApi.cuts - before).toBe(50)
  expect(await Promise.all(keys.map(runsOf))).toEqual(accepted.map(({ id }) => [id]))
})

test('100 submits at once under one key make one run while both sides are cut', async () => {
  cutting.commits = 10
  cutting.answers = 30
  const url = `http://127.0.0.1:${beforeApi.port}`
  const accepted = await Promise.all(Array.from({ length: 100 }, () => untilAccepted('both', url)))
  const [id, ...others] = new Set(accepted.map((one) => one.id))
  expect(others).toEqual([])
  expect(await runsOf('both')).toEqual([id])
})
