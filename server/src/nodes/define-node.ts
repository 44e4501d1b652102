/**
 * `defineNode`: one declarative object becomes a node type. A declaration that cannot work is refused here, with
 * everything that is wrong with it, and not when the first run meets it.
 */
import {
  CONTROL_TYPES,
  DEFAULT_RETRY,
  escapePointer,
  type JsonObject,
  NO_RETRY,
  type NodeTypeInfo,
  type RetryPolicy,
} from '@weft/engine'
import { z } from 'zod'
import type { NodeDefinitionInput, NodeResult, NodeType, ParsedConfig, TimeoutError } from './node-type.ts'

const DEFAULT_TIMEOUT_MS = 5 * 60_000
const TYPE_NAME = /^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/
const LABEL = /^[a-z][a-z0-9_]{0,62}$/
const OUTCOMES = ['success', 'failure', 'skipped', 'always']
const EFFECTS = ['pure', 'read', 'write', 'irreversible']
const FIELD_MODES = ['raw', 'url', 'expression']

/** Marks by name, not by identity, so that a module with its own copy of this file still fits. */
const NODE_TYPE = Symbol.for('weft.node-type')
const RESULT = Symbol.for('weft.node-result')

export class NodeDeclarationError extends Error {
  override readonly name = 'NodeDeclarationError'
  readonly problems: readonly string[]
  constructor(type: string, problems: readonly string[]) {
    super(
      `The node type \`${type}\` cannot be used:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`,
    )
    this.problems = problems
  }
}

/** An output with one of the type's labels, for `run` to answer. */
export const result = (output: unknown, label: string): NodeResult =>
  Object.defineProperty({ output, label }, RESULT, { value: true })

export const isNodeType = (value: unknown): value is NodeType =>
  typeof value === 'object' && value !== null && NODE_TYPE in value

/** Throws {@link NodeDeclarationError}. */
export function defineNode<Config extends z.ZodType>(declared: NodeDefinitionInput<Config>): NodeType {
  const problems = problemsOf(declared)
  const config = jsonSchema('config', declared.config, problems)
  const output = declared.output && jsonSchema('output', declared.output, problems)
  if (problems.length > 0) throw new NodeDeclarationError(String(declared.type), problems)
  const info: NodeTypeInfo = {
    type: declared.type,
    title: declared.title,
    description: declared.description,
    ...(declared.icon !== undefined && { icon: declared.icon }),
    kind: 'task',
    labels: declared.labels ?? [],
    success: declared.success ?? [],
    effect: declared.effect,
    retry: retryOf(declared.retry),
    timeoutMs: declared.timeoutMs === undefined ? DEFAULT_TIMEOUT_MS : declared.timeoutMs,
    fields: declared.fields ?? {},
    config,
    ...(output && { output }),
  }
  const timedOut: TimeoutError = declared.timedOut ?? {
    code: 'timeout',
    retryable: true,
    advice: 'Give the step a longer `timeout` if it needs more time.',
  }
  const type: NodeType = {
    info,
    timedOut,
    parse: (value) => parse(declared.config, value),
    run(value, context) {
      const answer = declared.run(value as z.output<Config>, context)
      return answer instanceof Promise ? answer.then(resultOf) : resultOf(answer)
    },
  }
  return Object.defineProperty(type, NODE_TYPE, { value: true })
}

const resultOf = (answer: unknown): NodeResult =>
  typeof answer === 'object' && answer !== null && RESULT in answer
    ? (answer as unknown as NodeResult)
    : { output: answer }

const retryOf = (declared: Partial<RetryPolicy> | 'off' | undefined): RetryPolicy =>
  declared === 'off' ? NO_RETRY : { ...DEFAULT_RETRY, ...declared }

function parse(schema: z.ZodType, value: JsonObject): ParsedConfig {
  const parsed = schema.safeParse(value)
  if (parsed.success) return { ok: true, config: parsed.data }
  return {
    ok: false,
    problems: parsed.error.issues.map(({ path, message }) => ({
      pointer: path.map((segment) => `/${escapePointer(String(segment))}`).join(''),
      message,
    })),
  }
}

function jsonSchema(what: string, schema: unknown, problems: string[]): JsonObject {
  // By shape: a user's module may bring its own copy of zod.
  if (typeof schema !== 'object' || schema === null || !('_zod' in schema) || !('safeParse' in schema)) {
    problems.push(`\`${what}\` must be a zod schema (version 4): z.object({ … })`)
    return {}
  }
  try {
    const { $schema: _, ...json } = z.toJSONSchema(schema as z.ZodType, {
      io: what === 'config' ? 'input' : 'output',
      unrepresentable: 'any',
    })
    if (what === 'config' && json.type !== 'object')
      problems.push('`config` must describe an object: use z.object or z.strictObject')
    return json as JsonObject
  } catch (error) {
    problems.push(
      `\`${what}\` cannot be written as a JSON Schema: ${error instanceof Error ? error.message : String(error)}`,
    )
    return {}
  }
}

/** The declaration may come from plain JavaScript: what TypeScript would have said is said here. */
function problemsOf(declared: NodeDefinitionInput): string[] {
  const problems: string[] = []
  const check = (fine: boolean, problem: string): void => void (fine || problems.push(problem))
  const { type, title, description, labels = [], success = [], retry = {}, timeoutMs, fields = {} } = declared

  check(
    typeof type === 'string' && TYPE_NAME.test(type),
    '`type` must be lower-case words joined by dots: `shop.find_order`',
  )
  check(
    !(CONTROL_TYPES as readonly string[]).includes(type),
    `\`${type}\` is a control type of Weft: choose another name, for instance \`my.${type}\``,
  )
  check(typeof title === 'string' && title !== '', '`title` must be a short name for people')
  check(
    typeof description === 'string' && description !== '',
    '`description` must say in a sentence what the node does',
  )
  check(typeof declared.run === 'function', '`run` must be a function: async run(config, context) { … }')
  check(
    EFFECTS.includes(declared.effect),
    `\`effect\` must be one of ${EFFECTS.join(', ')}: it decides whether an attempt may be repeated`,
  )
  for (const label of labels) {
    check(
      LABEL.test(label) && !OUTCOMES.includes(label),
      `the label \`${label}\` must be a lower-case word other than ${OUTCOMES.join(', ')}`,
    )
  }
  for (const label of success)
    check(labels.includes(label), `\`success\` names \`${label}\`, which is not among \`labels\``)
  check(
    labels.length === 0 || declared.success !== undefined,
    'a type with `labels` must say in `success` which of them `on: success` means ([] for none)',
  )
  check(
    timeoutMs === undefined || timeoutMs === null || timeoutMs > 0,
    '`timeoutMs` must be more than 0, or null for none',
  )
  if (retry !== 'off') {
    check(
      Number.isInteger(retry.attempts ?? 1) && (retry.attempts ?? 1) >= 1,
      '`retry.attempts` must be a whole number from 1',
    )
    for (const name of ['delayMs', 'factor', 'maxDelayMs'] as const) {
      check((retry[name] ?? 0) >= 0, `\`retry.${name}\` must not be negative`)
    }
  }
  for (const [pointer, mode] of Object.entries(fields)) {
    check(
      pointer.startsWith('/') && FIELD_MODES.includes(mode),
      `\`fields\` must map JSON Pointers to ${FIELD_MODES.join(', ')}, not \`${pointer}\` to \`${mode}\``,
    )
  }
  return problems
}
