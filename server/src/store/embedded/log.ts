/**
 * `postgres.log` in Weft's data directory: what the server says. The server writes to the file itself, so that it goes
 * on when Weft is killed; Weft keeps it short.
 */
import { type FileHandle, open, rename, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from './error.ts'

const keptAtStartBytes = 1 << 20
const keptWhileRunningBytes = 16 << 20

export const logFile = (dataDirectory: string) => join(dataDirectory, 'postgres.log')

/** Opens the log for appending; what a past server left beyond 1 MiB is moved to `postgres.log.1`. */
export async function openLog(dataDirectory: string): Promise<{ file: FileHandle; startsAt: number }> {
  const path = logFile(dataDirectory)
  if ((await sizeOf(path)) > keptAtStartBytes) await rename(path, `${path}.1`)
  const file = await open(path, 'a', 0o600)
  return { file, startsAt: (await file.stat()).size }
}

/** What was said since `startsAt`, at most the last 16 KiB. */
export async function readLog(dataDirectory: string, startsAt: number): Promise<string> {
  const file = await open(logFile(dataDirectory), 'r')
  try {
    const { size } = await file.stat()
    const from = Math.max(Math.min(startsAt, size), size - 16_384)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

/** A server that complains for days must not fill the disk. It appends, so cutting the file under it is safe. */
export async function boundLog(dataDirectory: string, limitBytes = keptWhileRunningBytes): Promise<void> {
  if ((await sizeOf(logFile(dataDirectory))) > limitBytes) await truncate(logFile(dataDirectory), 0)
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0
    throw error
  }
}
