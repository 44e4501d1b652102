/** What programs outside say about tasks: claim, heartbeat, complete, fail, record; and the node types that they bring. */
import { checkAgainstSchema, type Json, type JsonObject, type NodeTypeInfo, type Problem } from '@weft/engine'
import type { ExternalTasks } from '../../external-tasks.ts'
import { type Program, TaskRefused } from '../../external-tasks.ts'
import type { Call, Handlers, Principal } from '../call.ts'
import { ApiError, summarise } from '../errors.ts'
import type { HandlerParts } from '../parts.ts'
import { normaliseValue, storeValue } from '../values.ts'

const WAITED = new Error('the wait for a task is over')

export function taskHandlers(
  parts: HandlerParts,
): Handlers<
  'registerNodeTypes' | 'claimTasks' | 'heartbeatTasks' | 'completeTask' | 'failTask' | 'recordTask'
> {
  const { externalTasks: tasks, clock } = parts

  return {
    async registerNodeTypes({ principal, body }) {
      requireWorkspace(tasks, principal)
      const types = body.types.map(typeOf)
      const problems = types.flatMap(problemsOf)
      if (problems.length > 0)
        throw ApiError.of(
          'invalid_node_type',
          `${summarise(problems, 'The request')} Nothing was registered.`,
          { problems },
        )
      await refusing(tasks.register(types, principal.taskTypes))
      return { status: 200, body: { types: types.map(({ type }) => type) } }
    },

    async claimTasks({ principal, body, gone }) {
      requireWorkspace(tasks, principal)
      const { types, max, waitMs } = body
      const wait = new AbortController()
      const withdraw = clock.after(waitMs, () => wait.abort(WAITED))
      const signal = AbortSignal.any([wait.signal, gone(), parts.stopping])
      try {
        const claimed = await refusing(
          tasks.claim({ ...programOf(principal, body), types: [...new Set(types)], max, signal }),
        )
        return { status: 200, body: { leaseMs: tasks.leaseMs, tasks: claimed } }
      } finally {
        withdraw()
      }
    },

    async heartbeatTasks({ principal, body }) {
      requireWorkspace(tasks, principal)
      const request = { ...programOf(principal, body), tasks: body.tasks }
      return { status: 200, body: await refusing(tasks.heartbeat(request)) }
    },

    async completeTask({ principal, body }) {
      const { label } = body
      const output = normaliseValue(body.output ?? null, 'output')
      await refusing(
        tasks.complete(
          { ...taskOf(tasks, principal, body), output, ...(label !== undefined && { label }) },
          (value) => storeValue(parts, principal.workspace, value, 'output'),
        ),
      )
      return { status: 200, body: { reported: true } }
    },

    async failTask({ principal, body }) {
      const { code, message, retryable, retryAfterMs, details } = body.error
      await refusing(
        tasks.fail({
          ...taskOf(tasks, principal, body),
          error: {
            code,
            message,
            retryable,
            ...(retryAfterMs !== undefined && { retryAfterMs }),
            ...(details !== undefined && { details: normaliseValue(details, 'details') }),
          },
        }),
      )
      return { status: 200, body: { reported: true } }
    },

    async recordTask({ principal, body }) {
      const task = { ...taskOf(tasks, principal, body), name: body.name }
      if (body.value === undefined) {
        const recorded = await refusing(tasks.recorded(task))
        return {
          status: 200,
          body: recorded === null ? { recorded: false } : { recorded: true, ...recorded },
        }
      }
      const value = normaliseValue(body.value, 'value')
      return {
        status: 200,
        body: { recorded: true, ...(await refusing(tasks.record({ ...task, value }))) },
      }
    },
  }
}

/** Two keys may use one worker name: it means a worker of each. */
const programOf = ({ actor, taskTypes }: Principal, { worker }: { worker: string }): Program => ({
  worker: `${actor}/${worker}`,
  allowed: taskTypes,
})

function taskOf(tasks: ExternalTasks, principal: Principal, named: { worker: string; task: string }) {
  requireWorkspace(tasks, principal)
  return { ...programOf(principal, named), task: named.task }
}

function requireWorkspace(tasks: ExternalTasks, { workspace }: Principal): void {
  if (workspace === tasks.workspace) return
  throw ApiError.of(
    'forbidden',
    `External workers serve the workspace \`${tasks.workspace}\`, and this API key belongs to \`${workspace}\`. Use a key of \`${tasks.workspace}\`.`,
  )
}

async function refusing<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof TaskRefused)) throw error
    throw ApiError.of(
      error.code,
      error.message,
      error.problems.length > 0 ? { problems: error.problems } : {},
    )
  }
}

type DescribedType = Call<'registerNodeTypes'>['body']['types'][number]

const typeOf = ({ title, icon, config, output, ...rest }: DescribedType): NodeTypeInfo => ({
  ...rest,
  kind: 'task',
  title: title ?? rest.type,
  ...(icon !== undefined && { icon }),
  config: config as JsonObject,
  ...(output !== undefined && { output: output as JsonObject }),
})

const OUTCOMES = ['success', 'failure', 'skipped', 'always']

/** What the shape of the request cannot say: schemas that compile, labels that fit together. */
function problemsOf({ config, output, labels, success }: NodeTypeInfo, index: number): Problem[] {
  const at = `/types/${index}`
  const problems = [
    ...schemaProblems(config, `${at}/config`),
    ...schemaProblems(output ?? {}, `${at}/output`),
  ]
  for (const label of labels)
    if (OUTCOMES.includes(label))
      problems.push({
        code: 'invalid_value',
        message: `\`${label}\` is an outcome that every step has; choose another label.`,
        pointer: `${at}/labels`,
      })
  for (const label of success)
    if (!labels.includes(label))
      problems.push({
        code: 'invalid_value',
        message: `\`${label}\` is not one of the labels.`,
        pointer: `${at}/success`,
      })
  return problems
}

function schemaProblems(schema: JsonObject, pointer: string): Problem[] {
  const checked = checkAgainstSchema(schema, null as Json)
  if (checked.ok) return []
  return checked.problems
    .filter(({ code }) => code === 'invalid_schema')
    .map((problem) => ({ ...problem, pointer }))
}
