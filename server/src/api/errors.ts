/**
 * What the API answers when it does not do what was asked: RFC 9457 problems with stable codes.
 *
 * Owns: the one table of the API's error codes with their HTTP status and sentence, and the shape of a problem. Codes
 * that the engine gives (problems of a definition, refusals of a command) pass through and are not listed here.
 *
 * A `detail` says what happened, where, why, and what to do now.
 */
import type { Json, Problem } from '@weft/engine'

export const PROBLEMS = {
  malformed_json: [400, 'The body is not JSON'],
  malformed_text: [400, 'The body is not UTF-8 text'],
  malformed_request: [400, 'The request could not be read'],
  invalid_query: [400, 'A query parameter is wrong'],
  too_deep: [400, 'The body is nested too deep'],
  unauthorized: [401, 'A valid API key is needed'],
  forbidden: [403, 'The API key does not allow this'],
  host_refused: [403, 'The Host header names another server'],
  origin_refused: [403, 'A page of another origin may not call this server'],
  route_not_found: [404, 'There is no such route'],
  run_not_found: [404, 'There is no such run'],
  workflow_not_found: [404, 'There is no such workflow'],
  approval_not_found: [404, 'There is no such approval'],
  message_not_found: [404, 'There is no such message'],
  dead_letter_not_found: [404, 'There is no such dead letter'],
  blob_not_found: [404, 'There is no such blob'],
  variable_not_found: [404, 'There is no such variable'],
  key_not_found: [404, 'There is no such API key'],
  credential_not_found: [404, 'There is no such credential'],
  method_not_allowed: [405, 'The route does not know this method'],
  command_refused: [409, 'The run refused the command'],
  task_lost: [409, 'The worker does not hold the task'],
  node_type_taken: [409, 'The node type is Weft’s own'],
  already_decided: [409, 'The approval was decided before'],
  approval_closed: [409, 'The approval is closed'],
  superseded: [409, 'The approval was replaced by a newer one'],
  key_name_taken: [409, 'There is an API key of this name'],
  own_key: [409, 'A key cannot revoke itself'],
  message_delivered: [409, 'The message was delivered'],
  run_not_finished: [409, 'The run is not finished'],
  credential_exists: [409, 'There is a credential of that name'],
  credential_in_environment: [409, 'The credential comes from the server’s environment'],
  too_many_subscriptions: [409, 'The live connection follows as many runs as one may'],
  ambiguous_reference: [409, 'The reference names more than one run'],
  body_too_large: [413, 'The body is too large'],
  unsupported_media_type: [415, 'The body has a type that this route does not read'],
  invalid_request: [422, 'The request is not valid'],
  invalid_definition: [422, 'The workflow definition is not valid'],
  invalid_fork: [422, 'The run cannot be forked there'],
  invalid_input: [422, 'The input does not match the workflow’s schema'],
  invalid_node_type: [422, 'The node type cannot be registered'],
  unknown_node_type: [422, 'Nobody has registered the node type'],
  invalid_output: [422, 'The output cannot be kept'],
  invalid_form: [422, 'The data does not match the approval’s form'],
  unknown_blob: [422, 'The request names a blob that this workspace does not have'],
  value_too_large: [422, 'A value is too large'],
  idempotency_key_reused: [422, 'The idempotency key was used for another request'],
  upgrade_required: [426, 'The address speaks WebSocket'],
  rate_limited: [429, 'Too many calls that start work'],
  internal: [500, 'Weft failed'],
  store_unavailable: [503, 'The database does not answer'],
  store_busy: [503, 'The database gave the statement up'],
  disk_full: [503, 'The database’s disk is full'],
  transport_unavailable: [503, 'The transport does not answer'],
  outcome_unknown: [503, 'It is not known whether the run was stored'],
  stopping: [503, 'This server is stopping'],
} as const satisfies Record<string, readonly [number, string]>

export type ProblemCode = keyof typeof PROBLEMS

/** A refusal by the engine keeps the engine's code; these are the statuses that differ from 409. */
const VERDICT_STATUS: Readonly<Record<string, number>> = {
  unknown_approval: 404,
  unknown_step: 404,
  patch_cycle: 422,
  patch_credential_denied: 403,
  patch_denied: 403,
  patch_exceeds_limits: 422,
  patch_host_denied: 403,
  patch_immutable: 422,
  patch_invalid: 422,
  patch_malformed: 422,
  patch_needs_review: 403,
  patch_numeric_index: 422,
  patch_unknown_type: 422,
  patch_unknown_version: 422,
}

/** The HTTP status that comes with a code, of the API or of the engine. */
export const statusOfCode = (code: string): number =>
  (Object.hasOwn(PROBLEMS, code) ? PROBLEMS[code as ProblemCode][0] : VERDICT_STATUS[code]) ?? 409

export interface ProblemBody {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly instance?: string
  readonly problems?: readonly Problem[]
  readonly details?: Json
  readonly requestId: string
}

export interface ErrorExtras {
  readonly problems?: readonly Problem[]
  readonly details?: Json
  readonly headers?: Readonly<Record<string, string>>
  readonly cause?: unknown
}

/** Thrown anywhere below a handler; the error handler of `app.ts` writes it as a problem. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly code: string
  readonly status: number
  readonly title: string
  readonly problems: readonly Problem[] | undefined
  readonly details: Json | undefined
  readonly headers: Readonly<Record<string, string>>

  private constructor(code: string, status: number, title: string, detail: string, extras: ErrorExtras) {
    super(detail, extras.cause === undefined ? undefined : { cause: extras.cause })
    this.code = code
    this.status = status
    this.title = title
    this.problems = extras.problems
    this.details = extras.details
    this.headers = extras.headers ?? {}
  }

  static of(code: ProblemCode, detail: string, extras: ErrorExtras = {}): ApiError {
    const [status, title] = PROBLEMS[code]
    return new ApiError(code, status, title, detail, extras)
  }

  /** The coordinator's refusal of a command, with the engine's own code and sentence. */
  static refused(code: string, detail: string, details?: Json): ApiError {
    const known = Object.hasOwn(PROBLEMS, code) ? PROBLEMS[code as ProblemCode] : null
    const status = statusOfCode(code)
    const title = known?.[1] ?? PROBLEMS.command_refused[1]
    return new ApiError(code, status, title, detail, details === undefined ? {} : { details })
  }

  toBody(requestId: string, instance?: string): ProblemBody {
    return {
      type: `urn:weft:problem:${this.code}`,
      title: this.title,
      status: this.status,
      code: this.code,
      detail: this.message,
      ...(instance === undefined ? {} : { instance }),
      ...(this.problems === undefined ? {} : { problems: this.problems }),
      ...(this.details === undefined ? {} : { details: this.details }),
      requestId,
    }
  }
}

/** One line that sums up a list of problems, for `detail`; the list itself stands in `problems`. */
export function summarise(problems: readonly Problem[], where: string): string {
  const [first] = problems
  if (!first) return `${where} is not valid.`
  const position = first.line === undefined ? '' : ` (line ${first.line}, column ${first.column ?? 1})`
  const rest = problems.length === 1 ? '' : ` There are ${problems.length - 1} more, all in \`problems\`.`
  return `${where} is wrong at ${first.pointer || '/'}${position}: ${first.message}${rest}`
}
