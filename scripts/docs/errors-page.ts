/** `docs/errors.md`: every error code and what it means. */
import { PROBLEMS } from '../../server/src/api/errors.ts'
import { NODE_ERRORS } from '../../server/src/nodes/errors.ts'
import {
  COMMAND_CODES,
  type Codes,
  DEFINITION_CODES,
  EGRESS_CODES,
  EMBEDDED_CODES,
  PATCH_CODES,
  RUN_CODES,
  START_CODES,
  STORE_CODES,
  undocumentedCodes,
} from './error-codes.ts'
import { code, page, table } from './markdown.ts'

const TABLES: readonly Codes[] = [DEFINITION_CODES, RUN_CODES, COMMAND_CODES, PATCH_CODES]

const listed = (codes: Codes): string =>
  table(
    ['code', 'meaning'],
    Object.entries(codes)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([name, meaning]) => [code(name), meaning]),
  )

const RETRIES = { true: 'yes', false: 'no', depends: 'as the service says' } as const

export function errorsPage(root: string): string {
  const documented = new Set([...TABLES.flatMap((codes) => Object.keys(codes)), ...Object.keys(NODE_ERRORS)])
  const missing = undocumentedCodes(root, documented)
  if (missing.length > 0)
    throw new Error(
      `scripts/docs/error-codes.ts does not explain: ${missing.join(', ')}. Add what they mean.`,
    )
  return page(
    'Error codes',
    'Codes are stable: programs may rely on them. The sentence beside a code says what happened, where, why, and what to do now; it may change. What people type is answered with exit codes, which [cli.md](cli.md) lists.',
    '## The HTTP API',
    'RFC 9457 problems (`application/problem+json`) with `code`, `detail` and, where there are several things wrong, `problems`.',
    table(
      ['code', 'status', 'title'],
      Object.entries(PROBLEMS).map(([name, [status, title]]) => [code(name), String(status), title]),
    ),
    '## Definitions and inputs',
    'Each with a JSON Pointer, and with line and column where there is a text. They come from `weft validate`, in `problems` of an answer, and before a run starts.',
    listed(DEFINITION_CODES),
    '## Steps',
    'What an attempt can fail with. With “yes” another attempt follows, as far as `retry` allows. Your own node types add theirs with `NodeError`.',
    table(
      ['code', 'tried again', 'meaning'],
      Object.entries(NODE_ERRORS).map(([name, { retryable, meaning }]) => [
        code(name),
        RETRIES[`${retryable}`],
        meaning,
      ]),
    ),
    '## Outgoing requests',
    'From the guard that every request of a node passes. A refusal names the entry of `WEFT_EGRESS_ALLOW` that lifts it.',
    listed(EGRESS_CODES),
    '## Runs',
    'What a step or a run fails with by the engine’s own judgement, and the warnings that a run carries.',
    listed(RUN_CODES),
    '## Commands',
    'Why a run refuses a command (409 unless the first table says otherwise).',
    listed(COMMAND_CODES),
    '## Patches',
    'Why a run refuses a patch. 409: the run, or its definition, is not as the patch takes it to be; 403: the policy of the workflow; 422: the patch would be wrong on any run of that definition. 422 are `patch_cycle`, `patch_exceeds_limits`, `patch_immutable`, `patch_invalid`, `patch_malformed`, `patch_numeric_index`, `patch_unknown_type` and `patch_unknown_version`. `details` names the operation that is to blame and, where there is one, the `corrected` operation to send instead.',
    listed(PATCH_CODES),
    '## The database',
    listed(STORE_CODES),
    '## The start',
    listed(START_CODES),
    '## The PostgreSQL that Weft brings',
    listed(EMBEDDED_CODES),
  )
}
