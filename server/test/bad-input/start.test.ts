/** What the machine under a server can have wrong: the port, the data directory, the disk. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { Client } from '../../src/cli/client.ts'
import { freePort, newApiKey, newDataDirectory, removeDataDirectory, WeftProcess } from '../weft-process.ts'
import { weft } from '../weft-program.ts'
import type { Outcome } from './ground.ts'

const run = promisify(execFile)

test('a port in use, then data of another PostgreSQL: a sentence each, exit 1, nothing touched, nothing left', async () => {
  const directory = newDataDirectory('start')
  onTestFinished(() => removeDataDirectory(directory))
  const first = new WeftProcess({ dataDirectory: directory, port: await freePort(), apiKey: newApiKey() })
  onTestFinished(async () => void (await first.stop()))
  await first.start()
  const { port } = new URL(first.url)
  const other = newDataDirectory('start-other')
  onTestFinished(() => removeDataDirectory(other))

  const serve = (dataDirectory: string) =>
    weft(['serve'], dataDirectory, { WEFT_DATA_DIR: dataDirectory, WEFT_PORT: port, WEFT_LOG_LEVEL: 'warn' })
  const inUse = await serve(other)
  expect(inUse.code).toBe(1)
  expect(inUse.err).toContain(`port ${port} of 127.0.0.1 is in use`)
  expect(inUse.err).toContain(`WEFT_PORT=${Number(port) + 1}`)

  expect(existsSync(join(other, 'postgres')), 'no database was made for nothing').toBe(false)
  await first.stop()

  const version = join(directory, 'postgres', 'PG_VERSION')
  await writeFile(version, '15\n')
  const older = await serve(directory)
  expect(older.code).toBe(1)
  expect(older.err).toMatch(/PostgreSQL 15.*PostgreSQL 18/s)
  expect(older.err).toContain('WEFT_DATA_DIR')
  expect(await readFile(version, 'utf8')).toBe('15\n')
})

/** Where this process may not mount a file system of its own, null. */
async function smallDisk(): Promise<string | null> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-full-disk-'))
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=192m,mode=0700', 'tmpfs', folder])
  } catch {
    await rm(folder, { recursive: true })
    return null
  }
  onTestFinished(async () => {
    await run('umount', ['-l', folder])
    await rm(folder, { recursive: true, force: true })
  })
  return folder
}

test('a disk that is full under the database: said in a sentence, and everything goes on once there is room', async (context) => {
  const disk = await smallDisk()
  if (disk === null) return context.skip('mounting a small file system takes root')
  const server = new WeftProcess({ dataDirectory: disk, port: await freePort(), apiKey: newApiKey() })
  onTestFinished(async () => void (await server.stop()))
  await server.start()
  const client = new Client({ url: server.url, apiKey: server.apiKey })
  const submit = (wait: string) =>
    client.send('POST', '/api/v1/runs', {
      query: { wait },
      body: {
        definition: {
          weft: 1,
          name: 'full',
          nodes: {
            ask: { type: 'approval', with: { title: 'Go on?' } },
            done: { type: 'log', needs: 'ask', with: { message: '${{ input.text }}' } },
          },
        },
        input: { text: noise(200_000) },
      },
    })

  const waiting = JSON.parse((await submit('0s')).text) as Outcome
  await writeFile(join(disk, 'filler'), Buffer.alloc(192 << 20)).catch(() => undefined)
  let answer = await submit('0s')
  for (let count = 0; answer.status < 400 && count < 200; count++) answer = await submit('0s')
  const problem = JSON.parse(answer.text) as { code: string; detail: string }
  expect([answer.status, problem.code]).toEqual([503, 'disk_full'])
  expect(problem.detail).toContain('free some room and the work goes on by itself')

  await rm(join(disk, 'filler'))
  const approval = () => client.send('GET', '/api/v1/approvals', { query: { runId: waiting.id } })
  let open = await approval()
  while (open.status !== 200) open = await approval()
  const [{ id }] = (JSON.parse(open.text) as { items: [{ id: string }] }).items
  await client.call('POST', `/api/v1/approvals/${id}/decide`, { body: { decision: 'approve' } })
  for await (const item of client.events(waiting.id)) {
    if (item.kind === 'event' && item.event.type === 'run.completed') return
  }
  expect.unreachable('the run ended otherwise')
})

/** Text that does not compress. */
function noise(length: number): string {
  let state = 7
  return Array.from({ length }, () => {
    state = (state * 48_271) % 2_147_483_647
    return String.fromCharCode(33 + (state % 90))
  }).join('')
}
