/**
 * What the error codes mean that have no table of their own in the code. Where a code is a type, the compiler checks
 * that each is here; the engine's are found in its text by `undocumentedCodes`.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EgressErrorCode } from '../../server/src/egress/error.ts'
import type { EmbeddedPostgresErrorCode } from '../../server/src/store/embedded/error.ts'
import type { StoreErrorCode } from '../../server/src/store/store.ts'

export type Codes = Readonly<Record<string, string>>

export const DEFINITION_CODES: Codes = {
  computed_step_reference:
    '`steps[…]` is computed; a step is named by its id, so that what it needs is known beforehand.',
  computed_variable_reference: '`vars[…]` is computed; a variable is named.',
  cycle: 'Nodes wait for each other. To loop, use `forEach`, `repeat`, or a `workflow` node with a body.',
  duplicate_credential: 'A node has both `credential` and a `default` in `credentials`.',
  duplicate_edge: 'Two edges lead from the same node to the same node.',
  duplicate_id: 'Two nodes have the same id.',
  duplicate_key: 'A key stands twice in a map.',
  else_without_condition: '`when: else` stands where no other edge of that source has a condition.',
  expression_syntax: 'An expression does not parse.',
  expression_too_deep: 'An expression is nested too deep; macros nest at most three deep.',
  foreach_with_repeat: 'A node has both `forEach` and `repeat`.',
  invalid_case: 'A case of a `branch` has a name that an edge could not use.',
  invalid_for_each: '`forEach` has no `items`.',
  invalid_id: 'The id of a node is not lower-case letters, digits and underscores, beginning with a letter.',
  invalid_number: 'A number that JSON cannot express.',
  invalid_schema: 'A JSON Schema in the definition is not one.',
  invalid_value: 'A value is none of those that are allowed here.',
  item_outside_for_each: '`item` or `index` is read where there is none.',
  missing_key: 'A key is missing that must be there.',
  no_effect: 'Warning: a setting that does nothing on this node.',
  no_nodes: 'The workflow has no nodes.',
  not_an_ancestor: 'An expression reads a step that may not have run yet.',
  reserved: 'A key that is reserved for later.',
  secret_reference: 'An expression reads a secret or the environment; name a credential on the node instead.',
  source_too_large: 'The text of the definition is too large.',
  too_many_nodes: 'The workflow has more nodes than `limits.nodes`.',
  unknown_event: 'A fork at an event that the run does not have.',
  unknown_function: 'A function that does not exist, or is called in a way that does not.',
  unknown_key: 'A key that is not known here; own ones begin with `x-`.',
  unknown_name: 'A name in an expression that does not exist there.',
  unknown_outcome: 'An edge names an outcome that its source cannot have.',
  unknown_parameter: 'A query parameter that the route does not know.',
  unknown_path:
    'A path that the declared output of a step excludes; as a warning, one that it does not mention.',
  unknown_step: 'A step that does not exist.',
  unknown_type:
    'A node type that nobody has registered. In a run, a warning: the step completed with `null`, as `unknownTypes: skip` says.',
  wrong_type: 'A value has another type than it must have.',
  yaml_alias: 'An alias of YAML that cannot be followed, or makes too much of a little text.',
  yaml_comment: 'A `#` began a comment in what was meant as a value; quote it.',
  yaml_syntax: 'The text is not YAML.',
  yaml_tag: 'A `!` began a tag in what was meant as a value; quote it.',
  yaml_too_deep: 'The document is nested too deep.',
}

export const RUN_CODES: Codes = {
  approval_timeout:
    'Nobody decided in time, and `onTimeout: fail` says what that means; also what a late decision is told.',
  child_cancelled: 'The child run of the step was cancelled.',
  child_failed: 'The child run of the step failed; its own error stands in the details.',
  expression_failed:
    'An expression could not be evaluated: pointer, column and the types of the values are with it.',
  expression_input_too_large:
    'A condition would have to read more than 1 MiB; shape the data in a `code` step first.',
  expression_too_expensive: 'An expression took more than 100,000 iterations, or made more than it may.',
  failed: 'A `fail` node ended the run without a code of its own.',
  for_each_not_a_list: '`forEach` yielded something that is no list.',
  invalid_duration: 'A duration of a control node is none, its expression evaluated.',
  invalid_input: 'A child run refused its input.',
  invalid_time: '`until` of a `delay` is no time, its expression evaluated.',
  items_failed: 'Items of a `forEach` failed.',
  log_too_long: 'The run has recorded more events than `limits.events`; loop with child runs.',
  nesting_too_deep: 'Child runs, or bodies, nest deeper than eight.',
  no_path_taken: 'Warning: a step completed and none of its edges was taken; each condition is with it.',
  outcome_unknown:
    'An attempt of an `irreversible` step ended without an answer. It is not repeated; a person says done or not done.',
  rejected: 'A rejection or timeout that no edge takes.',
  repeat_exhausted: '`repeat` reached `maxIterations` and `until` never became true.',
  run_timeout: 'The run took longer than `limits.duration`.',
  too_many_agents: 'The run has started more agents than `limits.agents`.',
  too_many_steps: 'The run has started more steps and items than `limits.steps`.',
  unknown_workflow: 'A `workflow` step names a workflow that is not stored.',
  worker_lost: 'The worker was gone, twice in a row, before the attempt reported.',
}

export const COMMAND_CODES: Codes = {
  already_decided: 'Somebody has decided this approval; who and how is with it.',
  wait_closed:
    'What waited for a message by correlation has ended in this run; the message is kept for whoever waits next.',
  approval_closed: 'The run ended before the approval was decided.',
  approval_timeout: 'The approval ended by its timeout.',
  invalid_form: 'The data of a decision does not fit the approval’s form.',
  not_paused: 'There is nothing to resume.',
  not_resolvable: 'The step has no attempt whose outcome is unknown.',
  not_retryable: 'Only failed and cancelled runs can be retried.',
  parent_moved_on: 'The run is a child whose parent has taken its result; retry the parent.',
  run_finished: 'The run has ended.',
  run_stopping: 'The run is about to end.',
  step_not_reached: 'A replay from a step that the run has not reached.',
  superseded: 'The approval was replaced when the run was retried; decide the new one.',
  unknown_approval: 'The run has no such approval.',
}

export const PATCH_CODES: Codes = {
  patch_conflict:
    'Another patch has changed what this one touches since the version that it was written against.',
  patch_credential_denied: 'The patch names a credential that the workflow does not let patches bring in.',
  patch_cycle: 'The patched graph would have a cycle.',
  patch_denied: 'The workflow denies patches of its runs.',
  patch_does_not_apply: 'An operation names a place that does not exist.',
  patch_exceeds_limits:
    'The patched definition would be too large, or the run has taken as many patches as it may.',
  patch_exists: '`add` names a node or edge that exists; use `replace`.',
  patch_host_denied: 'The patch names a host that the workflow does not let patches bring in.',
  patch_immutable: 'A patch changes nodes, edges and the output, not what the run was started under.',
  patch_invalid: 'The patched definition would not be valid; its problems are with it.',
  patch_malformed: 'What was sent is no list of RFC 6902 operations.',
  patch_needs_review:
    'The workflow wants patches reviewed before they are applied, and the patch of a fork is applied before it begins.',
  patch_numeric_index: 'Nodes and edges are addressed by id, not by number; the right pointer is with it.',
  patch_step_settled: 'The step that a patch is said to come from is not being performed.',
  patch_test_failed: 'A `test` operation found another value.',
  patch_touches_reached: 'The run has reached what the patch would change.',
  patch_under_review: 'A patch of the run waits for review: decide about it before the run is retried.',
  patch_unknown_version: '`baseVersion` is no definition that the run ever had.',
  patch_unknown_type: 'A node type within two letters of a known one.',
}

export const EGRESS_CODES = {
  egress_denied: 'The host, or an address behind it, is private, local or otherwise not for nodes to reach.',
  egress_path_denied: 'The path is one where servers keep keys, consoles or repositories.',
  egress_scheme: 'Neither http nor https.',
  egress_redirect_limit: 'More redirects than the request allows.',
  invalid_url: 'What stands for a URL is none.',
  invalid_request: 'A header or method that HTTP does not allow.',
  response_too_large: 'The answer is larger than the request allows.',
  response_undecodable: 'The body does not decode by its own Content-Encoding.',
  request_timeout: 'No answer in time. Retryable.',
  connection_failed: 'The connection was refused or broke. Retryable.',
  tls_failed: 'The certificate or the handshake failed.',
  dns_failed: 'The name could not be resolved. Retryable.',
  aborted: 'The attempt was told to end.',
} as const satisfies Record<EgressErrorCode, string>

export const STORE_CODES = {
  database_unavailable: 'The database cannot be reached. The work goes on when it answers again.',
  database_disk_full: 'The disk of the database is full. Nothing is lost; free some room.',
  database_busy: 'The database gave a statement up (a deadlock, a timeout); it is tried again.',
  database_refused: 'PostgreSQL refused a statement for a reason of its own.',
  database_login_refused: 'The user or the password is wrong.',
  database_tls: 'The two sides do not agree on encryption, or a certificate is not trusted.',
  database_missing: 'There is no such database.',
  database_too_old: 'The PostgreSQL is older than 15.',
  database_behind_pooler: 'A transaction pooler stands before it, which cannot hold session locks.',
  database_newer: 'A newer Weft has changed the database so that this one would not understand it.',
} as const satisfies Record<StoreErrorCode, string>

export const START_CODES: Codes = {
  data_directory_taken: 'Another server serves this data directory.',
  master_key_unusable: 'The file `master-key` of the data directory cannot be read or holds no key.',
  partitions_taken: 'Another engine works on the same database; one at a time may.',
  port_in_use: 'Another program listens on the port.',
}

export const EMBEDDED_CODES = {
  postgres_binaries_missing: 'The npm package with PostgreSQL for this system is not installed.',
  postgres_cannot_run_as_root: 'Weft runs as root and found no way to run PostgreSQL as somebody else.',
  postgres_data_foreign: 'The folder holds something that is not Weft’s database.',
  postgres_data_locked: 'Another process uses the folder.',
  postgres_data_owner: 'The folder belongs to another user.',
  postgres_data_unwritable: 'The folder cannot be written.',
  postgres_data_version: 'The folder was made by another major version of PostgreSQL.',
  postgres_disk_full: 'The disk is full, so PostgreSQL cannot start.',
  postgres_start_failed: 'PostgreSQL ended while it started; what it said is with it.',
} as const satisfies Record<EmbeddedPostgresErrorCode, string>

/** Words of the engine that look like codes and are none: kinds, macros, and the codes of the libraries that it explains. */
const OTHER_WORDS: ReadonlySet<string> = new Set([
  'cancel_child',
  'on_failure',
  'child_finished',
  'exists_one',
  'expected_token',
  'invalid_key',
  'invalid_macro_argument',
  'invalid_type',
  'invalid_union',
  'limit_exceeded',
  'my_service',
  'needs_blobs',
  'newline_in_string',
  'not_a_condition',
  'not_done',
  'reserved_identifier',
  'too_big',
  'too_small',
  'unexpected_character',
  'unexpected_token',
  'unrecognized_keys',
  'unterminated_string',
  'unterminated_triple_quoted_string',
])

/** Codes that the engine's text has and no table explains. */
export function undocumentedCodes(root: string, documented: ReadonlySet<string>): string[] {
  const found = new Set<string>()
  for (const file of globSync('engine/src/**/*.ts', { cwd: root })) {
    for (const [, word] of readFileSync(join(root, file), 'utf8').matchAll(/'([a-z]+(?:_[a-z]+)+)'/g)) {
      if (word && !documented.has(word) && !OTHER_WORDS.has(word)) found.add(word)
    }
  }
  return [...found].sort()
}
