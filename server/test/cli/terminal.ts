/** A terminal in a folder with workflow files, beside a real server: what people and scripts see of the program. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { testDatabase } from '../postgres.ts'

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface StartOptions {
  readonly cwd?: string
  readonly environment?: Record<string, string>
  readonly input?: string
}

export interface Terminal {
  readonly folder: string
  readonly weft: Weft
  start(
    args: readonly string[],
    options?: StartOptions,
  ): {
    readonly ended: Promise<Ended>
    /** Resolves when stdout has this text. */
    says(text: string): Promise<void>
  }
  /** Runs a command to its end. */
  cli(...args: string[]): Promise<Ended>
  close(): Promise<void>
}

/** Starts the server and writes the files; a name gets `.yaml`. */
export async function openTerminal(files: Readonly<Record<string, string>>): Promise<Terminal> {
  const folder = await mkdtemp(join(tmpdir(), 'weft-cli-'))
  const database = await testDatabase()
  const read = readConfig({
    flags: { dataDirectory: join(folder, '.weft'), databaseUrl: database.url, port: '0', logLevel: 'silent' },
    environment: {},
  })
  if (!read.ok) throw new Error(read.problems.join('\n'))
  const weft = await startWeft(read.config)
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, `${name}.yaml`), text)

  const start: Terminal['start'] = (args, options = {}) => {
    const child = spawn(process.execPath, [CLI, ...args], {
      cwd: options.cwd ?? folder,
      env: { PATH: process.env.PATH ?? '', HOME: folder, ...options.environment },
      stdio: 'pipe',
    })
    let out = ''
    let err = ''
    const listeners = new Set<() => void>()
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString()
      for (const listener of listeners) listener()
    })
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString()
    })
    child.stdin.end(options.input ?? '')
    return {
      ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err }))),
      says: (text) =>
        new Promise((resolve) => {
          const look = () => {
            if (!out.includes(text)) return
            listeners.delete(look)
            resolve()
          }
          listeners.add(look)
          look()
        }),
    }
  }

  return {
    folder,
    weft,
    start,
    cli: (...args) => start(args).ended,
    async close() {
      await weft.stop()
      await database.drop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
