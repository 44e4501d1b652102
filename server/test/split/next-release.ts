/**
 * The program of this repository as its next release could be: the same sources with one more migration, under another
 * version, in a folder of its own. What runs from the repository itself knows nothing of it.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..', '..')

export interface NextRelease {
  /** What `node` runs. */
  readonly program: string
  readonly version: string
  /** Its last one, the file's name. */
  readonly migration: string
}

/** `change`: what its migration does, in a word and in SQL. */
export function nextRelease(
  folder: string,
  change: { readonly name: string; readonly sql: string },
): NextRelease {
  const server = join(folder, 'server')
  mkdirSync(server)
  cpSync(join(ROOT, 'server', 'src'), join(server, 'src'), { recursive: true })
  const version = '0.999.0'
  const description = JSON.parse(readFileSync(join(ROOT, 'server', 'package.json'), 'utf8')) as object
  writeFileSync(join(server, 'package.json'), JSON.stringify({ ...description, version }))
  for (const modules of ['node_modules', join('server', 'node_modules')])
    if (existsSync(join(ROOT, modules))) symlinkSync(join(ROOT, modules), join(folder, modules))
  const migrations = join(server, 'src', 'store', 'migrations')
  const number = readdirSync(migrations).filter((name) => name.endsWith('.sql')).length + 1
  const migration = `${String(number).padStart(4, '0')}_${change.name}.sql`
  writeFileSync(join(migrations, migration), change.sql)
  return { program: join(server, 'src', 'cli', 'main.ts'), version, migration }
}
