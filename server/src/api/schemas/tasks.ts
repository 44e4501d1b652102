/** The shapes of what programs outside say about tasks, of the node types that they bring, of live workers and queues. */
import { z } from 'zod'
import { json, taskType, time } from './vocabulary.ts'

const taskRetry = z.strictObject({
  attempts: z.number().int().min(1).max(100).default(3),
  delayMs: z.number().int().min(0).max(86_400_000).default(2_000),
  factor: z.number().min(1).max(10).default(2),
  maxDelayMs: z.number().int().min(0).max(86_400_000).default(60_000),
})

const NO_RETRY = { attempts: 1, delayMs: 0, factor: 1, maxDelayMs: 0 }

const jsonObject = z.record(z.string(), json)

const typeLabel = z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, 'a label is like `not_found`')

/** A node type that a program outside performs; what is left out has the default of a type made with `defineNode`. */
export const nodeTypesBody = z.strictObject({
  types: z
    .array(
      z.strictObject({
        type: taskType,
        title: z.string().min(1).max(200).optional(),
        description: z.string().max(10_000).default(''),
        icon: z.string().max(200).optional(),
        labels: z.array(typeLabel).max(50).default([]),
        success: z.array(typeLabel).max(50).default([]).describe('the labels that `on: success` means'),
        effect: z.enum(['pure', 'read', 'write', 'irreversible']).default('write'),
        retry: z.union([z.literal('off').transform(() => NO_RETRY), taskRetry]).prefault({}),
        timeoutMs: z.number().int().min(1).nullable().default(300_000).describe('of one attempt; null: none'),
        fields: z.record(z.string(), z.enum(['raw', 'url', 'expression'])).default({}),
        config: jsonObject.default({ type: 'object' }).describe('JSON Schema of `with`'),
        output: jsonObject.optional().describe('JSON Schema of the output'),
      }),
    )
    .min(1)
    .max(100),
})

export const registeredTypes = z.object({ types: z.array(z.string()) })

const workerName = z
  .string()
  .regex(/^[\w.:@-]{1,200}$/, 'a worker’s name has 1 to 200 letters, digits and `_ . : @ -`')

const taskName = { worker: workerName, task: z.string().min(1).max(1_000).describe('the task’s id') }

const MAX_CLAIM_WAIT_MS = 60_000

const MAX_CLAIMED = 100

const MAX_HEARTBEATS = 1_000

export const claimBody = z.strictObject({
  worker: workerName.describe('names this process; two that run at once need two names'),
  types: z.array(taskType).min(1).max(100),
  max: z.number().int().min(1).max(MAX_CLAIMED).default(1),
  waitMs: z.number().int().min(0).max(MAX_CLAIM_WAIT_MS).default(30_000),
})

export const claimed = z.object({
  leaseMs: z
    .number()
    .describe('a task is lost when no heartbeat comes for this long; send one every third of it'),
  tasks: z.array(
    z.object({
      id: z.string(),
      type: z.string(),
      runId: z.string(),
      workflow: z.string(),
      step: z.string(),
      round: z.number(),
      attempt: z.number(),
      idempotencyKey: z.string(),
      config: json.describe('with the values of its expressions'),
      credentials: z.record(z.string(), z.string()).describe('names by role; the values stay here'),
      timeoutMs: z.number().nullable(),
    }),
  ),
})

export const heartbeatBody = z.strictObject({
  worker: workerName,
  tasks: z.array(z.string().min(1).max(1_000)).max(MAX_HEARTBEATS),
})

export const heartbeat = z.object({
  abort: z.array(z.string()).describe('their runs are stopping: end, and report how it ended'),
  lost: z
    .array(z.string())
    .describe('not held any more, or of a type that the key is not for: end, and report nothing'),
})

export const completeBody = z.strictObject({
  ...taskName,
  output: json.optional(),
  label: typeLabel.optional(),
})

export const failBody = z.strictObject({
  ...taskName,
  error: z.strictObject({
    code: z
      .string()
      .regex(/^[a-z][a-z0-9_]{0,62}$/, 'a code is like `quota_exceeded`')
      .default('node_failed'),
    message: z.string().min(1).max(100_000),
    retryable: z.boolean().default(true),
    retryAfterMs: z.number().int().min(0).max(86_400_000).optional(),
    details: json.optional(),
  }),
})

export const recordBody = z.strictObject({
  ...taskName,
  name: z
    .string()
    .min(1)
    .max(200)
    .refine((name) => !name.startsWith('weft:'), 'names that start with `weft:` are Weft’s own'),
  value: json.optional().describe('left out: only says what is recorded'),
})

export const record = z.object({ recorded: z.boolean(), value: json.optional() })

export const reported = z.object({ reported: z.literal(true) })

export const nodeTypes = z.object({
  items: z.array(z.looseObject({ type: z.string() })),
  nextCursor: z.null(),
})

export const queue = z.object({
  type: z.string(),
  waiting: z.number().describe('tasks that nobody has taken yet'),
  active: z.number().describe('tasks that a worker holds'),
  delayed: z.number().describe('attempts that failed, and whose retry is not due yet'),
  oldestAgeMs: z.number().describe('how long the oldest one has waited; 0 when none waits'),
})
export const queues = z.object({ items: z.array(queue), nextCursor: z.null() })

export const workers = z.object({
  items: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      kind: z
        .enum(['process', 'program'])
        .describe('process: a Weft with the worker role; program: one outside, which claims tasks over HTTP'),
      types: z.array(
        z.object({
          type: z.string(),
          active: z.number().describe('attempts at work when it last showed itself'),
          limit: z.number().nullable().describe('attempts at a time; null: as many as it asks for'),
        }),
      ),
      startedAt: time,
      seenAt: time.describe('when it last showed itself'),
    }),
  ),
  nextCursor: z.null(),
})
