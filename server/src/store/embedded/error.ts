/**
 * What can go wrong with the PostgreSQL that Weft brings. Each text says what happened, where, why, and what to do now;
 * nothing has been changed or deleted when one of these is thrown.
 */
export type EmbeddedPostgresErrorCode =
  | 'postgres_binaries_missing'
  | 'postgres_cannot_run_as_root'
  | 'postgres_data_foreign'
  | 'postgres_data_locked'
  | 'postgres_data_owner'
  | 'postgres_data_unwritable'
  | 'postgres_data_version'
  | 'postgres_disk_full'
  | 'postgres_start_failed'

export class EmbeddedPostgresError extends Error {
  readonly code: EmbeddedPostgresErrorCode
  constructor(code: EmbeddedPostgresErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'EmbeddedPostgresError'
    this.code = code
  }
}

/** The operating system's code of a failed call (`ENOENT`, …), if it has one. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** Turns a failed file operation below Weft's data directory into the sentence for it. */
export function fileFailure(error: unknown, path: string): Error {
  switch (systemCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return diskFull(path, error)
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
    case 'EEXIST':
      return new EmbeddedPostgresError(
        'postgres_data_unwritable',
        `Weft cannot write to its data directory: ${error instanceof Error ? error.message : String(error)}. ` +
          `${path} must be a folder that this user may write to. ` +
          'Give the folder to this user, or set WEFT_DATA_DIR to another one.',
        error,
      )
    default:
      return error instanceof Error ? error : new Error(String(error))
  }
}

export function diskFull(path: string, cause?: unknown): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'postgres_disk_full',
    `The disk that holds ${path} is full, so PostgreSQL cannot start. Nothing was lost: what was accepted is on disk. ` +
      'Free some space (about 100 MB): a running Weft then goes on by itself, one that has ended is started again. ' +
      'Or move the folder to another disk and set WEFT_DATA_DIR.',
    cause,
  )
}

/** Reads the end of what `initdb` or `postgres` said. `where` is the folder it worked in. */
export function explainOutput(doing: string, where: string, output: string): EmbeddedPostgresError {
  if (/No space left on device|Disk quota exceeded/i.test(output)) return diskFull(where)
  const lines = output.trim().split('\n').slice(-6).join('\n  ')
  return new EmbeddedPostgresError(
    'postgres_start_failed',
    `PostgreSQL failed while ${doing} in ${where}. It said:\n  ${lines || '(nothing)'}\n` +
      'Nothing was deleted. If the cause is not clear from that, set WEFT_DATABASE_URL to a PostgreSQL (15 or newer) of ' +
      'your own, or WEFT_DATA_DIR to a new folder to start afresh beside this one.',
  )
}
