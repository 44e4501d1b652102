/** Who gives up while the server is still starting must not be left with a database that nobody ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')

test('SIGTERM during the start ends the server with 0 and its PostgreSQL with it', async () => {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'weft-stop-'))
  const server = spawn(process.execPath, [CLI, 'serve'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH, HOME: dataDirectory, WEFT_DATA_DIR: dataDirectory, WEFT_PORT: '0' },
  })
  const exited = once(server, 'exit')
  try {
    const [line] = (await once(createInterface({ input: server.stderr }), 'line')) as [string]
    expect(line).toContain('Making a PostgreSQL')
    server.kill('SIGTERM')
    expect(await exited).toEqual([0, null])
    expect(existsSync(join(dataDirectory, 'postgres', 'postmaster.pid'))).toBe(false)
    expect(existsSync(join(dataDirectory, 'server.json'))).toBe(false)
  } finally {
    server.kill('SIGTERM')
    await exited
    await rm(dataDirectory, { recursive: true, force: true })
  }
})
