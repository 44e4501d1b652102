/**
 * The config of an attempt: the node's `with` as written becomes the value that its type accepts.
 *
 * A rendered config is copied before the node gets it: parts of it are shared, with a template that serves every run of
 * the graph, with cached blobs, and in one process with the coordinator's own state (R16).
 */
import {
  compileTemplate,
  isBlobRef,
  type Json,
  type JsonObject,
  renderTemplate,
  type Scope,
  type Task,
  type TaskScope,
  type Template,
} from '@weft/engine'
import { LRUCache } from 'lru-cache'
import { NodeError, nodeError } from '../nodes/errors.ts'
import type { NodeType } from '../nodes/node-type.ts'
import type { WorkerBlobs } from './blobs.ts'

const MAX_TEMPLATES = 5_000
const MAX_PROBLEMS_TOLD = 10

/** A failure that points into the definition. */
export class ConfigError extends NodeError {
  readonly pointer: string
  readonly column: number | undefined
  constructor(error: NodeError, pointer: string, column?: number) {
    super(error.code, error.message, { retryable: false, details: error.details })
    this.pointer = pointer
    this.column = column
  }
}

/** What of a node type decides about its config. */
export type ConfigurableType = Pick<NodeType, 'info' | 'parse'>

export interface ConfigResolver {
  /** Throws {@link ConfigError}, or what reading a blob throws. */
  resolve(task: Task, type: ConfigurableType, now: number): unknown | Promise<unknown>
}

export function configResolver(blobs: WorkerBlobs): ConfigResolver {
  const templates = new LRUCache<string, Template>({ max: MAX_TEMPLATES })

  function templateOf(task: Task, type: ConfigurableType): Template {
    const key = `${task.graph} ${task.node}`
    const known = templates.get(key)
    if (known !== undefined) return known
    const compiled = compileTemplate(task.config, type.info.fields)
    if (!compiled.ok) {
      const [problem] = compiled.problems
      throw failedExpression(task, problem!)
    }
    templates.set(key, compiled.template)
    return compiled.template
  }

  function render(
    task: Task,
    type: ConfigurableType,
    template: Template,
    scope: Scope,
    now: number,
  ): unknown {
    const rendered = renderTemplate(template, scope, { now })
    if (!rendered.ok) throw failedExpression(task, rendered.problem)
    const parsed = type.parse(copy(rendered.value) as JsonObject)
    if (parsed.ok) return parsed.config
    throw refusedConfig(task, parsed.problems)
  }

  return {
    resolve(task, type, now) {
      const template = templateOf(task, type)
      if (template.constant) return render(task, type, template, {}, now)
      const scope = scopeOf(task, blobs)
      return scope instanceof Promise
        ? scope.then((resolved) => render(task, type, template, resolved, now))
        : render(task, type, template, scope, now)
    },
  }
}

interface ExpressionProblemAt {
  readonly code: string
  readonly message: string
  readonly pointer: string
  readonly offset: number
  readonly column: number
  readonly types?: readonly string[]
}

const configPointer = (task: Task, pointer: string): string => `/nodes/${task.node}/with${pointer}`

const failedExpression = (task: Task, problem: ExpressionProblemAt): ConfigError =>
  new ConfigError(
    nodeError('expression_failed', problem.message, {
      details: { reason: problem.code, types: [...(problem.types ?? [])] },
    }),
    configPointer(task, problem.pointer),
    problem.offset + problem.column,
  )

function refusedConfig(
  task: Task,
  problems: readonly { readonly pointer: string; readonly message: string }[],
): ConfigError {
  const told = problems
    .slice(0, MAX_PROBLEMS_TOLD)
    .map(({ pointer, message }) => `${pointer === '' ? 'the config' : pointer}: ${message}`)
  if (problems.length > told.length) told.push(`and ${problems.length - told.length} more`)
  return new ConfigError(
    nodeError(
      'invalid_config',
      `\`${task.type}\` does not accept this config, its expressions evaluated: ${told.join('; ')}.`,
      {
        details: {
          problems: problems
            .slice(0, MAX_PROBLEMS_TOLD)
            .map(({ pointer, message }) => ({ pointer, message })),
        },
      },
    ),
    configPointer(task, problems[0]?.pointer ?? ''),
  )
}

function scopeOf(task: Task, blobs: WorkerBlobs): Scope | Promise<Scope> {
  const { scope } = task
  const whole = holdsReference(scope) ? resolveReferences(task.workspace, scope, blobs) : scope
  return whole instanceof Promise ? whole.then((resolved) => rooted(task, resolved)) : rooted(task, whole)
}

function rooted(task: Task, scope: TaskScope): Scope {
  const { labels, startedAt, ...roots } = scope
  return {
    ...roots,
    // Made when an expression asks: few do, and the text of a time costs more than the rest of the scope.
    get run() {
      return {
        id: task.runId,
        startedAt: new Date(startedAt ?? 0).toISOString(),
        labels: (labels ?? {}) as JsonObject,
      }
    },
    workflow: { name: task.workflow },
  }
}

function holdsReference({ input, item, steps = {} }: TaskScope): boolean {
  if (isBlobRef(input) || isBlobRef(item)) return true
  for (const id in steps) if (isBlobRef(steps[id]?.output)) return true
  return false
}

async function resolveReferences(
  workspace: string,
  scope: TaskScope,
  blobs: WorkerBlobs,
): Promise<TaskScope> {
  const { input, item, steps = {} } = scope
  const resolved = async (value: Json | undefined): Promise<Json | undefined> =>
    value === undefined ? undefined : blobs.resolve(workspace, value)
  const entries = await Promise.all(
    Object.entries(steps).map(
      async ([id, step]) => [id, { ...step, output: await blobs.resolve(workspace, step.output) }] as const,
    ),
  )
  return {
    ...scope,
    ...(input !== undefined && { input: await resolved(input) }),
    ...(item !== undefined && { item: await resolved(item) }),
    steps: Object.fromEntries(entries),
  }
}

function copy(value: Json): Json {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copy)
  const result: JsonObject = {}
  for (const key of Object.keys(value)) {
    const item = copy(value[key] as Json)
    if (key === '__proto__')
      Object.defineProperty(result, key, {
        value: item,
        enumerable: true,
        writable: true,
        configurable: true,
      })
    else result[key] = item
  }
  return result
}
