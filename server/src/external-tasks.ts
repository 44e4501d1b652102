/**
 * What programs outside need to perform tasks: the contract between the API, which speaks HTTP with them, and the worker
 * room, which holds the tasks for them (neither imports the other).
 *
 * A program is known by a worker name; what one name has claimed, no other can complete.
 */
import type { Json, NodeTypeInfo, Problem } from '@weft/engine'

/** A task as an external worker gets it: every expression has its value, and credentials are names only (R14). */
export interface ClaimedTask {
  readonly id: string
  readonly type: string
  readonly runId: string
  readonly workflow: string
  /** The step's key: `node`, or `node[3]` for an item of a `forEach`. */
  readonly step: string
  readonly round: number
  readonly attempt: number
  /** Stays the same over all attempts of a round. */
  readonly idempotencyKey: string
  readonly config: Json
  readonly credentials: Readonly<Record<string, string>>
  readonly timeoutMs: number | null
}

/** Who speaks about tasks. */
export interface Program {
  readonly worker: string
  /** The task types that its key is for; `null`: all. */
  readonly allowed: readonly string[] | null
}

export interface TaskName extends Program {
  readonly task: string
}

export interface ReportedError {
  readonly code: string
  readonly message: string
  readonly retryable: boolean
  readonly retryAfterMs?: number
  readonly details?: Json
}

/**
 * `task_lost`: the caller does not hold the task, or not any more; it stops working on it. `forbidden`: its key is not for
 * the task's type.
 */
export type TaskRefusalCode =
  | 'forbidden'
  | 'task_lost'
  | 'invalid_output'
  | 'unknown_node_type'
  | 'node_type_taken'

export class TaskRefused extends Error {
  override readonly name = 'TaskRefused'
  readonly code: TaskRefusalCode
  readonly problems: readonly Problem[]
  constructor(code: TaskRefusalCode, message: string, problems: readonly Problem[] = []) {
    super(message)
    this.code = code
    this.problems = problems
  }
}

/** Whether the program's key is for tasks of this type. */
export const isAllowed = (type: string, { allowed }: Pick<Program, 'allowed'>): boolean =>
  allowed === null || allowed.includes(type)

/** Throws `forbidden` for the first type that the program's key is not for. */
export function requireAllowed(types: readonly string[], program: Pick<Program, 'allowed'>): void {
  const other = types.find((type) => !isAllowed(type, program))
  if (other === undefined) return
  const names = (program.allowed ?? []).map((type) => `\`${type}\``).join(', ')
  throw new TaskRefused(
    'forbidden',
    `This API key is limited to tasks of ${names}, and \`${other}\` is not among them. Ask for those only, or use a key that is made for it (weft keys create --role worker --types …).`,
  )
}

/** Methods throw {@link TaskRefused}. */
export interface ExternalTasks {
  /** A task is lost when nothing was heard of it for this long. */
  readonly leaseMs: number
  /** The workspace whose tasks are given out: task types are known to one workspace. */
  readonly workspace: string
  /** Makes types known, so that definitions may use them; a type that is known already is replaced. */
  register(types: readonly NodeTypeInfo[], allowed: Program['allowed']): Promise<void>
  /** Up to `max` tasks of these types; waits until there is one, or until `signal` aborts (then there is none). */
  claim(
    request: Program & {
      readonly types: readonly string[]
      readonly max: number
      readonly signal: AbortSignal
    },
  ): Promise<readonly ClaimedTask[]>
  /**
   * Prolongs leases. `abort`: the run is stopping, end and report. `lost`: end, nobody wants the result; also what the key
   * is not for, so that one such task does not cost the program its others.
   */
  heartbeat(
    request: Program & { readonly tasks: readonly string[] },
  ): Promise<{ readonly abort: readonly string[]; readonly lost: readonly string[] }>
  /** `keep` puts a value that was found good where the log can name it. */
  complete(
    request: TaskName & { readonly output: Json; readonly label?: string },
    keep: (output: Json) => Promise<Json>,
  ): Promise<void>
  fail(request: TaskName & { readonly error: ReportedError }): Promise<void>
  /** What `once` recorded under the name, or `null`. */
  recorded(request: TaskName & { readonly name: string }): Promise<{ readonly value: Json } | null>
  /** Records a value unless there is one, and answers the one that counts (R7). */
  record(
    request: TaskName & { readonly name: string; readonly value: Json },
  ): Promise<{ readonly value: Json }>
  /** Types that a program asked for a moment ago. */
  served(): ReadonlySet<string>
  /** Programs that wait for tasks, or were heard since the last call, with what they hold. */
  programs(): readonly {
    readonly name: string
    readonly workspace: string
    readonly types: readonly { readonly type: string; readonly active: number; readonly limit: null }[]
  }[]
}
