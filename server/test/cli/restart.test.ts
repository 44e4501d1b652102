/** Following a run from the command line while the server restarts: said, survived, and nothing missed or told twice. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { testDatabase } from '../postgres.ts'
import { freePort } from '../servers/free-port.ts'

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const WAITS = `weft: 1
name: waits
nodes:
  first: { type: log, with: { message: before } }
  wait: { type: wait, needs: first, with: { message: paid } }
  last: { type: log, needs: wait, with: { message: after } }
`

/** A `weft …` at work; `says` resolves when either of its outputs has the text. */
function cli(folder: string, ...args: string[]) {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const heard = { out: '', err: '' }
  const looks = new Set<() => void>()
  for (const [name, stream] of [
    ['out', child.stdout],
    ['err', child.stderr],
  ] as const) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      heard[name] += text
      for (const look of looks) look()
    })
  }
  return {
    ended: new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
      child.on('close', (code) => resolve({ code, ...heard })),
    ),
    says: (text: string) =>
      new Promise<void>((resolve) => {
        const look = () => {
          if (heard.out.includes(text) || heard.err.includes(text)) resolve()
        }
        looks.add(look)
        look()
      }),
  }
}

test('`run --follow` and `logs --follow` live through a restart of the server', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weft-restart-'))
  const database = await testDatabase()
  const port = String(await freePort())
  const servers: Weft[] = []
  const serve = async (): Promise<Weft> => {
    const read = readConfig({
      flags: { dataDirectory: join(folder, '.weft'), databaseUrl: database.url, port, logLevel: 'silent' },
      environment: {},
    })
    if (!read.ok) throw new Error(read.problems.join('\n'))
    const weft = await startWeft(read.config)
    servers.push(weft)
    return weft
  }
  onTestFinished(async () => {
    for (const weft of servers) await weft.stop()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  })
  await writeFile(join(folder, 'waits.yaml'), WAITS)

  const before = await serve()
  const run = cli(folder, 'run', 'waits.yaml', '--follow')
  await run.says('waiting')
  const logs = cli(folder, 'logs', '@last:waits', '--follow', '--json')
  await logs.says('step.waiting')
  await before.stop()
  await Promise.all([run.says('does not answer any more'), logs.says('does not answer any more')])
  await serve()
  await Promise.all([run.says('The server is back'), logs.says('The server is back')])
  expect((await cli(folder, 'send', '@last:waits', 'paid').ended).code).toBe(0)

  const ran = await run.ended
  expect([ran.code, ran.out]).toEqual([0, expect.stringContaining('completed')])
  const followed = await logs.ended
  expect(followed.code).toBe(0)
  const seqs = followed.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).seq)
  expect(seqs).toEqual(seqs.map((_, index) => index + 1))
  expect(followed.out).toContain('run.completed')
})
