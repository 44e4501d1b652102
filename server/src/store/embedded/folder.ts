/**
 * PostgreSQL's folder below Weft's data directory: is it there, whole, and of our version; if there is none, make it.
 *
 * It is made in a folder beside it and renamed when complete, so that `postgres/` is either whole or absent, whenever
 * the process is killed. A folder that holds anything is never deleted.
 */
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../clock.ts'
import type { Launcher } from './account.ts'
import type { Binaries } from './binaries.ts'
import { EmbeddedPostgresError, explainOutput, systemCode } from './error.ts'
import { runProgram } from './program.ts'

/** No initialisation takes this long; what is older was left behind by a kill. */
const abandonedAfterMs = 10 * 60_000
const draftPrefix = 'postgres.new-'

/** True when there is a whole data folder of our version; false when there is none. Anything else is an error. */
export async function hasData(folder: string, major: string): Promise<boolean> {
  const entries = await readdir(folder).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    if (systemCode(error) === 'ENOTDIR') return ['(it is a file)']
    throw error
  })
  if (entries.length === 0) return false
  if (!entries.includes('PG_VERSION')) {
    throw new EmbeddedPostgresError(
      'postgres_data_foreign',
      `${folder} is where Weft keeps its PostgreSQL, but it holds something else (${entries.slice(0, 3).join(', ')}` +
        `${entries.length > 3 ? ', …' : ''}). Nothing was touched. Move that away, or set WEFT_DATA_DIR to another folder.`,
    )
  }
  const found = (await readFile(join(folder, 'PG_VERSION'), 'utf8')).trim()
  if (found !== major) {
    throw new EmbeddedPostgresError(
      'postgres_data_version',
      `The data in ${folder} was made by PostgreSQL ${found}; this Weft brings PostgreSQL ${major}, which cannot read ` +
        'it. Nothing was touched. To keep the data, start the Weft release that made it, export it with pg_dump and ' +
        `import it here, or run a PostgreSQL ${found} on it and set WEFT_DATABASE_URL. To start afresh, set ` +
        'WEFT_DATA_DIR to another folder or move this one away.',
    )
  }
  if (!(await exists(join(folder, 'global', 'pg_control')))) {
    throw new EmbeddedPostgresError(
      'postgres_data_foreign',
      `The PostgreSQL data in ${folder} is incomplete (global/pg_control is missing), so something removed files from ` +
        'it. Nothing was touched. Restore the folder from a backup, or move it away to start afresh.',
    )
  }
  return true
}

export async function initialise(
  dataDirectory: string,
  folder: string,
  binaries: Binaries,
  launcher: Launcher,
  password: string,
  launched: () => void,
): Promise<void> {
  const draft = await mkdtemp(join(dataDirectory, `${draftPrefix}${process.pid}-`))
  try {
    const data = join(draft, 'data')
    const passwordFile = join(draft, 'password')
    await mkdir(data, { mode: 0o700 })
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
    for (const path of [draft, data, passwordFile]) await launcher.own(path)
    const program = runProgram(
      launcher.command(binaries.initdb, [
        `--pgdata=${data}`,
        '--username=weft',
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        // Sorts by code point like C, on every system alike, and knows the letters of Unicode for lower() and search.
        '--locale=C',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--no-instructions',
      ]),
    )
    launched()
    const { code, output } = await program
    if (code !== 0) throw explainOutput('making a new database', dataDirectory, output)
    await rmdir(folder).catch(() => {}) // an empty folder may stand there; rename refuses a full one
    await rename(data, folder)
    await syncFolder(dataDirectory)
  } catch (error) {
    // Another process made it at the same time and was first: its folder is as good as this one.
    if (!['ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? '')) throw error
  } finally {
    await removeDraft(draft)
  }
}

/** Removes what an initialisation that was killed left behind. */
export async function removeAbandonedDrafts(dataDirectory: string, clock: Clock): Promise<void> {
  for (const name of await readdir(dataDirectory)) {
    if (!name.startsWith(draftPrefix)) continue
    const draft = join(dataDirectory, name)
    const pid = Number(name.slice(draftPrefix.length).split('-')[0])
    if (!processExists(pid) || clock.now() - (await stat(draft)).mtimeMs > abandonedAfterMs)
      await removeDraft(draft)
  }
}

/** An `initdb` whose parent was killed may still be writing; it ends by itself, and the next start removes the rest. */
async function removeDraft(draft: string): Promise<void> {
  await rm(draft, { recursive: true, force: true, maxRetries: 3, retryDelay: 50 }).catch(() => {})
}

function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
