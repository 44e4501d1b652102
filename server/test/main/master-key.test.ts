/** The master key over the life of a data directory: made, replaced, lost, damaged. */

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { testDatabase } from '../postgres.ts'

interface Ground {
  readonly folder: string
  start(environment?: Record<string, string>): Promise<Weft>
  /** What an `http` step that names the credential sends. */
  sent(weft: Weft): Promise<{ authorization: string | undefined; run: { status: string; error: unknown } }>
}

const ask = (weft: Weft, method: string, path: string, body?: unknown): Promise<Response> =>
  fetch(`${weft.url}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${weft.apiKey}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

async function ground(): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-master-key-'))
  const database = await testDatabase()
  let authorization: string | undefined
  const service = createServer((request, response) => {
    authorization = request.headers.authorization
    response.end('{}')
  })
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve))
  const { port } = service.address() as AddressInfo
  onTestFinished(async () => {
    service.close()
    await database.drop()
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    folder,
    async start(environment = {}) {
      const read = readConfig({
        environment: {
          WEFT_PORT: '0',
          WEFT_DATA_DIR: folder,
          WEFT_DATABASE_URL: database.url,
          WEFT_EGRESS_ALLOW: `127.0.0.1:${port}`,
          ...environment,
        },
      })
      if (!read.ok) throw new Error(read.problems.join('\n'))
      const weft = await startWeft(read.config, { log: pino({ level: 'silent' }) })
      onTestFinished(() => weft.stop())
      return weft
    },
    async sent(weft) {
      authorization = undefined
      const call = {
        type: 'http',
        credential: 'shop',
        retry: 'off',
        with: { url: `http://127.0.0.1:${port}/` },
      }
      const definition = { weft: 1, name: 'calls', nodes: { call } }
      const response = await ask(weft, 'POST', '/runs?wait=30s', { definition })
      return { run: (await response.json()) as { status: string; error: unknown }, authorization }
    },
  }
}

const KEYS = ['a', 'b', 'c'].map((digit) => digit.repeat(64)) as [string, string, string]

test('a stored credential reaches the service, rotated or not, and survives a restart with a new key', async () => {
  const { folder, start, sent } = await ground()
  const first = await start()
  const file = join(folder, 'master-key')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const made = readFileSync(file, 'utf8')
  const missing = await sent(first)
  expect(missing.run).toMatchObject({ status: 'failed', error: { code: 'credential_missing' } })
  expect(JSON.stringify(missing.run.error)).toContain('weft credentials create shop')
  expect((await ask(first, 'POST', '/credentials', { name: 'shop', value: { token: 'one' } })).status).toBe(
    201,
  )
  expect((await sent(first)).authorization).toBe('Bearer one')
  await ask(first, 'PUT', '/credentials/shop', { value: { token: 'two' } })
  expect((await sent(first)).authorization).toBe('Bearer two')
  await first.stop()

  const again = await start()
  expect(readFileSync(file, 'utf8')).toBe(made)
  expect((await sent(again)).authorization).toBe('Bearer two')
  await again.stop()

  // The key moves into the environment, and the file is no longer needed.
  const moved = await start({ WEFT_MASTER_KEY: KEYS[0] })
  expect((await sent(moved)).authorization).toBe('Bearer two')
  await moved.stop()
  rmSync(file)
  const replaced = await start({ WEFT_MASTER_KEY: `${KEYS[1]},${KEYS[0]}` })
  expect((await sent(replaced)).authorization).toBe('Bearer two')
  await replaced.stop()
  const alone = await start({ WEFT_MASTER_KEY: KEYS[1] })
  expect((await sent(alone)).authorization).toBe('Bearer two')
})

test('with another key a step says which one is missing, and nothing is sent', async () => {
  const { start, sent } = await ground()
  const first = await start({ WEFT_MASTER_KEY: KEYS[0] })
  await ask(first, 'POST', '/credentials', { name: 'shop', value: { token: 'one' } })
  await first.stop()
  const wrong = await start({ WEFT_MASTER_KEY: KEYS[2] })
  const { run, authorization } = await sent(wrong)
  expect(authorization).toBeUndefined()
  expect(run).toMatchObject({ status: 'failed', error: { code: 'credential_unreadable' } })
  expect(JSON.stringify(run)).toContain('WEFT_MASTER_KEY=<new>,<old>')
})

test('the environment wins over what is stored', async () => {
  const { start, sent } = await ground()
  const first = await start()
  await ask(first, 'POST', '/credentials', { name: 'shop', value: { token: 'stored' } })
  await first.stop()
  const second = await start({ WEFT_CREDENTIAL_SHOP: '{"token":"of the machine"}' })
  expect((await sent(second)).authorization).toBe('Bearer of the machine')
})

test('a damaged key file ends the start with a sentence, and stays as it is', async () => {
  const { folder, start } = await ground()
  const file = join(folder, 'master-key')
  writeFileSync(file, 'not a key\n')
  await expect(start()).rejects.toThrow(`${file} is not a master key`)
  expect(readFileSync(file, 'utf8')).toBe('not a key\n')
})
