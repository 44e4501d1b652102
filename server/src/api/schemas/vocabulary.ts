/** What the shapes of every resource are made of: times, names, pages, statuses, problems. Times are milliseconds since 1970. */
import { parseDuration, type RunStatus, type StepStatus, type WaitsFor } from '@weft/engine'
import { z } from 'zod'

export const ROLES = ['viewer', 'operator', 'editor', 'admin'] as const

export type Role = (typeof ROLES)[number]

/** Performs tasks and nothing else; stands beside the others, not among them. */
export const WORKER_ROLE = 'worker'

/** Names of a union of the engine, every one of them, in the order given: one that is left out does not compile. */
export const names = <Name extends string>(all: Readonly<Record<Name, true>>): readonly [Name, ...Name[]] =>
  Object.keys(all) as [Name, ...Name[]]

export const RUN_STATUSES = names<RunStatus>({
  queued: true,
  running: true,
  waiting: true,
  paused: true,
  stopping: true,
  completed: true,
  failed: true,
  cancelled: true,
})

export const STEP_STATUSES = names<StepStatus>({
  pending: true,
  ready: true,
  running: true,
  waiting: true,
  completed: true,
  failed: true,
  skipped: true,
  cancelled: true,
})

export const WAITS_FOR = names<WaitsFor>({
  worker: true,
  timer: true,
  approval: true,
  message: true,
  child: true,
})

export const time = z.number().describe('milliseconds since 1970')

export const json = z.unknown().describe('any JSON value')

/** `30s`, `1h30m`, or milliseconds. */
export const duration = (maxMs: number, maxText: string) =>
  z.union([z.string(), z.number()]).transform((text, context) => {
    const ms =
      typeof text === 'number' ? text : (parseDuration(text) ?? (/^\d+$/.test(text) ? Number(text) : null))
    if (ms !== null && ms >= 0 && ms <= maxMs) return ms
    context.issues.push({
      code: 'custom',
      input: text,
      message: `\`${text}\` is not a duration between 0 and ${maxText}; write it like \`30s\` or \`5m\``,
    })
    return z.NEVER
  })

/** Text that is compared and shown, not carried: PostgreSQL's `text` holds neither NUL nor half a surrogate pair. */
export const isPlain = (text: string): boolean => !text.includes('\0') && text.isWellFormed()

export const NOT_PLAIN =
  'holds a NUL character or half of a surrogate pair, which a name cannot have. Remove it, or carry the text in `input` or `data`'

export const plain = (maxLength: number) =>
  z.string().max(maxLength, `has more than ${maxLength} characters; shorten it`).refine(isPlain, NOT_PLAIN)

const LABEL_NAME = /^[A-Za-z0-9][A-Za-z0-9_.\-/]{0,62}$/

export const labels = z
  .record(z.string(), plain(255))
  .superRefine((all, context) => {
    for (const name of Object.keys(all)) {
      if (LABEL_NAME.test(name)) continue
      context.addIssue({
        code: 'custom',
        path: [name],
        message: 'a label’s name has up to 63 letters, digits and `_ . - /`, the first a letter or digit',
      })
    }
  })
  .refine((all) => Object.keys(all).length <= 64, 'a run has at most 64 labels')

export const cursor = plain(500).optional().describe('`nextCursor` of the page before')

export const limit = z.coerce.number().int().min(1).max(500).default(50)

export const page = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item), nextCursor: z.string().nullable() })

export const problem = z.object({
  code: z.string(),
  message: z.string(),
  pointer: z.string(),
  line: z.number().optional(),
  column: z.number().optional(),
  length: z.number().optional(),
  suggestion: z.string().optional(),
})

export const warning = z.object({
  code: z.string(),
  message: z.string(),
  step: z.string().optional(),
  details: json.optional(),
})

export const stepError = z.object({
  code: z.string().describe('stable: programs may rely on it'),
  message: z.string(),
  retryable: z.boolean(),
  retryAfterMs: z.number().optional(),
  pointer: z.string().optional(),
  column: z.number().optional(),
  details: json.optional(),
})

export const idempotencyKey = plain(255).min(1, 'is empty; give it 1 to 255 characters, or leave it out')

export const sourceText = z
  .string()
  .refine(
    isPlain,
    'holds a NUL character or half of a surrogate pair; in YAML and JSON both are written as escapes',
  )

export const taskType = z
  .string()
  .max(200)
  .regex(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/, 'a node type is named like `resize` or `image.resize`')

export const pageQuery = z.strictObject({ cursor, limit })

export const bulkPage = {
  dryRun: z.boolean().default(false).describe('say what it would touch, and touch nothing'),
  limit: z.number().int().min(1).max(500).default(100).describe('runs per call'),
  cursor,
}

export const bulkAnswer = z.object({
  dryRun: z.boolean(),
  matched: z.number().describe('runs that the filter finds, over all pages'),
  runs: z.array(z.string()).describe('this page of them'),
  queued: z.number().describe('runs that got the command now; the others had it already'),
  nextCursor: z.string().nullable(),
})

export const bulkRetryAnswer = bulkAnswer.extend({
  refused: z
    .array(
      z.object({
        code: z.literal('rate_limited'),
        detail: z.string(),
        details: z.object({
          layer: z.enum(['global', 'key', 'tier']),
          limit: z.number(),
          windowSeconds: z.number(),
          setting: z.string(),
        }),
        runs: z.array(z.string()),
      }),
    )
    .describe(
      'runs of this page that the limits of calls that start work have no room for, by the figure that is full: they were left as they were. Ask again without a cursor after `Retry-After`. When none of the page fits the answer is 429',
    ),
})

/** What every refusal looks like (RFC 9457). */
export const problemBody = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  code: z.string().describe('stable: programs may rely on it'),
  detail: z.string().describe('what happened, where, why, and what to do now'),
  instance: z.string().optional(),
  problems: z.array(problem).optional().describe('when several things are wrong, or one has a place'),
  details: json.optional(),
  requestId: z.string(),
})
