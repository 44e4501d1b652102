/** How a command ends: the exit codes that scripts rely on, and the error that carries one. */

export const EXIT = {
  completed: 0,
  failed: 1,
  invalid: 2,
  cancelled: 3,
  waitsForPerson: 4,
  unreachable: 5,
  refused: 6,
} as const

/** Ends the command with a sentence on stderr. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitCode: number
  /** What the server answered, for `--json`. */
  readonly problem: unknown
  constructor(exitCode: number, message: string, problem?: unknown) {
    super(message)
    this.exitCode = exitCode
    this.problem = problem
  }
}

export function exitCodeOf(status: string): number {
  switch (status) {
    case 'completed':
      return EXIT.completed
    case 'cancelled':
      return EXIT.cancelled
    case 'failed':
      return EXIT.failed
    default:
      return EXIT.waitsForPerson
  }
}
