/**
 * The shapes of what the API reads and answers, as zod schemas: the source of request checks and of the OpenAPI document,
 * where a shape's name is that of its export. Here stand those of runs and of what steers them; the other resources have
 * files of their own in `schemas/`.
 */
import { KNOWN_EVENTS, type Proposer, type RunStatus } from '@weft/engine'
import { z } from 'zod'
import {
  bulkPage,
  cursor,
  duration,
  idempotencyKey,
  isPlain,
  json,
  labels,
  limit,
  NOT_PLAIN,
  names,
  page,
  plain,
  problem,
  RUN_STATUSES,
  STEP_STATUSES,
  sourceText,
  stepError,
  time,
  WAITS_FOR,
  warning,
} from './schemas/vocabulary.ts'

export * from './schemas/dead-letters.ts'
export * from './schemas/ops.ts'
export * from './schemas/tasks.ts'
export * from './schemas/vocabulary.ts'
export * from './schemas/workflows.ts'
export * from './schemas/workspace.ts'

const PROPOSERS = ['api', 'agent'] as const satisfies readonly Proposer[]
const APPROVAL_STATUSES = [
  'open',
  'approved',
  'rejected',
  'timeout',
  'refused',
  'closed',
  'superseded',
] as const

export const MAX_WAIT_MS = 300_000
const MAX_TTL_MS = 30 * 86_400_000

/* Requests. */

export const waitQuery = z.strictObject({
  wait: duration(MAX_WAIT_MS, '5m').optional().describe('hold the answer for the outcome, at most this long'),
})

export const submitBody = z.strictObject({
  workflow: plain(300).min(1).optional().describe('a stored workflow: `name`, `name@tag` or `name@version`'),
  definition: json.optional().describe('a definition, as JSON'),
  source: sourceText.optional().describe('a definition, as YAML or JSON text'),
  input: json.optional(),
  labels: labels.optional(),
  idempotencyKey: idempotencyKey.optional(),
})
export type SubmitBody = z.output<typeof submitBody>

export const runsQuery = z.strictObject({
  status: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .transform((value, context) => {
      const wanted = (Array.isArray(value) ? value : value === undefined ? [] : [value]).flatMap((text) =>
        text.split(','),
      )
      const unknown = wanted.find((status) => !(RUN_STATUSES as readonly string[]).includes(status))
      if (unknown === undefined) return wanted as RunStatus[]
      context.issues.push({
        code: 'custom',
        input: value,
        message: `\`${unknown}\` is no run status; there are ${RUN_STATUSES.join(', ')}`,
      })
      return z.NEVER
    }),
  workflow: plain(300).optional(),
  label: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .transform((value, context) => {
      const pairs = Array.isArray(value) ? value : value === undefined ? [] : [value]
      const result: Record<string, string> = Object.create(null)
      for (const pair of pairs) {
        const colon = pair.search(/[:=]/)
        if (colon <= 0) {
          context.issues.push({
            code: 'custom',
            input: value,
            message: `\`${pair}\` is not of the form \`name:value\``,
          })
          return z.NEVER
        }
        result[pair.slice(0, colon)] = pair.slice(colon + 1)
        if (isPlain(pair)) continue
        context.issues.push({ code: 'custom', input: value, message: NOT_PLAIN })
        return z.NEVER
      }
      return result
    }),
  parentId: plain(100).optional(),
  stuck: z.enum(['true']).optional().describe('runs in quarantine only'),
  reference: plain(300)
    .optional()
    .describe('`@last`, `@last:workflow`, or the end of an id (6 characters or more)'),
  cursor,
  limit,
})

export const eventsQuery = z.strictObject({
  after: z.coerce.number().int().min(0).default(0).describe('events with a greater `seq`'),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
})

export const graphQuery = z.strictObject({
  version: z
    .string()
    .max(100)
    .optional()
    .describe('hash of one of the run’s definitions; the one in force by default'),
})

export const approvalsQuery = z.strictObject({
  status: z.enum(APPROVAL_STATUSES).optional(),
  runId: plain(100).optional(),
  cursor,
  limit,
})

export const forkBody = z.strictObject({
  atSeq: z.number().int().min(1).optional().describe('the last event that is copied'),
  fromStep: z
    .string()
    .min(1)
    .max(100)
    .optional()
    .describe('a step that was reached: everything up to there is copied'),
  input: json.optional().describe('instead of the old run’s'),
  operations: json
    .optional()
    .describe('RFC 6902 operations on the definition, applied before the fork begins; needs the role editor'),
  reason: z.string().max(2000).optional(),
})

const bulkFilter = <const Status extends string>(statuses: readonly Status[], usual: Status[]) =>
  z
    .strictObject({
      status: z.array(z.enum(statuses)).min(1).default(usual),
      workflow: plain(300).optional(),
      labels: labels.optional(),
    })
    .describe('children are left to their parents; `{}` is every run in one of the usual statuses')

const STOPPABLE = ['queued', 'running', 'waiting', 'paused'] as const
export const cancelRunsBody = z.strictObject({
  filter: bulkFilter(STOPPABLE, [...STOPPABLE]),
  reason: z.string().max(2000).optional(),
  ...bulkPage,
})
export const retryRunsBody = z.strictObject({
  filter: bulkFilter(['failed', 'cancelled'], ['failed']),
  ...bulkPage,
})

export const cancelBody = z.strictObject({ reason: z.string().max(2000).optional() }).optional()
export const emptyBody = z.strictObject({}).optional()

const ttl = duration(MAX_TTL_MS, '30d')
const TTL = 'how long it is kept when nothing waits for it yet; 24h by default'
const message = {
  name: plain(200).min(1),
  key: plain(500).optional().describe('correlation key'),
  data: json.optional(),
  id: plain(200).min(1).optional().describe('the sender’s id: the same id counts once'),
}
export const messageBody = z.strictObject({ ...message, ttl: ttl.optional().describe(TTL) })
export const correlatedMessageBody = z.strictObject({
  ...message,
  ttl: ttl
    .refine((ms) => ms >= 1_000, 'is shorter than a second; whoever is to take it needs time to look')
    .optional()
    .describe(TTL),
})
export const messagesQuery = z.strictObject({
  name: plain(200).optional(),
  key: plain(500).optional(),
  cursor,
  limit,
})

export const decideBody = z.strictObject({
  decision: z.enum(['approve', 'reject']),
  comment: z.string().max(10_000).optional(),
  data: json.optional().describe('what the form asks for; becomes the step’s output'),
})

export const resolveBody = z.strictObject({
  key: z.string().min(1).max(200).describe('the step'),
  outcome: z.enum(['done', 'not_done']),
  output: json.optional(),
})

export const patchBody = z.strictObject({
  operations: z
    .array(json)
    .describe('RFC 6902 operations on the definition: `/nodes/check`, `/nodes/work/needs/check`'),
  reason: z.string().min(1).max(2000).describe('stands in the log beside who sent it'),
  baseVersion: z
    .string()
    .max(100)
    .optional()
    .describe(
      'hash of the definition that the patch was written against: refused if what it touches changed since',
    ),
  dryRun: z.boolean().optional().describe('say what the patch would do; nothing is recorded'),
})

/* Answers. */

export const accepted = z.object({ id: z.string(), status: z.enum(RUN_STATUSES) })

export const runSummary = z.object({
  id: z.string(),
  workflow: z.string(),
  version: z.number().nullable(),
  graph: z.string().describe('hash of the definition in force'),
  status: z.enum(RUN_STATUSES),
  waitingFor: z.array(z.enum(WAITS_FOR)),
  labels: z.record(z.string(), z.string()),
  error: stepError.nullable(),
  parentId: z.string().nullable(),
  seq: z.number().describe('number of the last event'),
  createdAt: time,
  finishedAt: time.nullable(),
  wakeAt: time.nullable(),
  stuckReason: z.string().nullable(),
})

export const runOutcome = runSummary.extend({ output: json })
const step = z.object({
  id: z.string(),
  type: z.string(),
  name: z.string().nullable(),
  status: z.enum(STEP_STATUSES),
  label: z.string().nullable().describe('how it ended, where its type has labels, such as `approved`'),
  output: json,
  error: stepError.nullable(),
  handled: z.boolean().describe('it failed, and an edge or `onError` dealt with it'),
  attempts: z.number(),
  round: z.number(),
  items: z
    .object({ count: z.number(), completed: z.number(), failed: z.number(), live: z.number() })
    .nullable()
    .describe('of a `forEach`'),
  next: z.array(z.string()).nullable().describe('where its edges led, once it has settled'),
  waitsFor: z.array(z.enum(WAITS_FOR)),
  wakeAt: time.nullable().describe('when it moves by itself'),
  reachedAt: time.nullable(),
  startedAt: time.nullable(),
  settledAt: time.nullable(),
  worker: z.string().nullable(),
  actor: z.string().nullable(),
  warnings: z.array(warning),
})
const review = z.object({
  id: z.string().describe('of the approval'),
  actor: z.string(),
  by: z.enum(PROPOSERS),
  stepKey: z.string().nullable(),
  reason: z.string(),
  before: z.string(),
  holds: z.object({
    starts: z.array(z.string()).describe('steps that do not start'),
    routes: z.array(z.string()).describe('steps whose edges are not decided'),
  }),
  proposedAt: time,
  expiresAt: time.nullable(),
})
export const runDetail = runOutcome.extend({
  input: json,
  versions: z.array(z.string()),
  steps: z.array(step),
  warnings: z.array(warning),
  reviews: z.array(review).describe('patches under review, the oldest first'),
})

export const runEvent = z
  .looseObject({ seq: z.number(), type: z.enum(names(KNOWN_EVENTS)), at: time })
  .describe('what else is in it follows from its type')
export const runEvents = page(runEvent).describe('`nextCursor` is the next `after`')
export const runPage = page(runSummary)

export const graphNode = z.object({
  id: z.string(),
  type: z.string(),
  kind: z.string(),
  name: z.string().nullable(),
  layer: z.number().describe('length of the longest way from a root'),
  status: z.enum(STEP_STATUSES),
  forEach: z.boolean(),
})
export const graphEdge = z.object({
  from: z.string(),
  to: z.string(),
  on: z.array(z.string()),
  when: z.string().nullable(),
  state: z.enum(['open', 'taken', 'dead']),
})
export const runGraph = z.object({
  runId: z.string(),
  hash: z.string(),
  versions: z.array(z.string()),
  definition: json,
  nodes: z.array(graphNode),
  edges: z.array(graphEdge),
})

export const runWhy = z.object({
  id: z.string(),
  status: z.enum(RUN_STATUSES),
  waitingFor: z.array(z.enum(WAITS_FOR)),
  stuckReason: z.string().nullable(),
  tokens: z.array(
    z.object({
      token: z.string().describe('a step, an item of one, or `run`'),
      waitsFor: z.enum([...WAITS_FOR, 'resume', 'stop']),
      since: time,
      until: time.nullable().describe('when it moves by itself'),
      text: z.string(),
      subject: z.string().optional().describe('the approval, the message’s name or the child run'),
      type: z.string().nullable(),
    }),
  ),
  hints: z.array(z.string()),
})

const messageState = {
  id: z.string(),
  status: z
    .enum(['kept', 'delivered', 'expired'])
    .describe('`kept` for the first wait that it fits, until `expiresAt`; `delivered` to `runs`'),
  runs: z
    .array(z.string())
    .describe('whom it was given to; a run whose wait has ended meanwhile gives it back'),
  expiresAt: time,
}
export const sentMessage = z.object(messageState)
export const keptMessage = z.object({
  ...messageState,
  name: z.string(),
  key: z.string().nullable(),
  data: json,
  actor: z.string(),
  createdAt: time,
})
export const messagePage = page(keptMessage)

export const verdict = z.object({ commandId: z.string(), accepted: z.literal(true), detail: json.optional() })
const edgeName = z.object({ from: z.string(), to: z.string() })
export const patchPreview = z.object({
  nodes: z.object({ added: z.array(z.string()), removed: z.array(z.string()), changed: z.array(z.string()) }),
  edges: z.object({ added: z.array(edgeName), removed: z.array(edgeName), changed: z.array(edgeName) }),
  output: z.boolean().describe('whether the run’s output is another'),
  types: z.array(z.string()).describe('of this and the next four: what there was not before'),
  writes: z.array(z.string()).describe('added or changed nodes that write, or that cannot be undone'),
  hosts: z.array(z.string()),
  credentials: z.array(z.string()),
  agents: z.array(z.string()),
  unreachable: z.array(z.string()),
  detached: z.array(z.string()).describe('nodes that lost every edge into them: they start at once'),
})
const patched = {
  before: z.string().describe('hash of the definition that was in force'),
  version: z.string().describe('hash of the patched definition'),
  preview: patchPreview,
  warnings: z.array(problem),
}
export const patchAnswer = z.union([
  z.object({
    commandId: z.string(),
    accepted: z.literal(true),
    detail: z.object({ patch: z.number().describe('how many the run has taken'), ...patched }),
  }),
  z.object({
    commandId: z.string(),
    accepted: z.literal(true),
    detail: z
      .object({
        review: z.string().describe('id of the approval'),
        expiresAt: time.nullable(),
        because: z.array(z.string()).describe('why somebody has to look'),
        before: patched.before,
        preview: patchPreview,
        warnings: patched.warnings,
      })
      .describe('nothing is applied yet: a person decides'),
  }),
  z.object({
    dryRun: z.literal(true),
    definition: json,
    because: z.array(z.string()).describe('why a person would decide first; empty: applied at once'),
    ...patched,
  }),
])
export const patchPage = page(
  z.object({
    seq: z.number(),
    at: time,
    actor: z.string(),
    reason: z.string(),
    operations: z.array(json),
    before: z.string(),
    after: z.string(),
    by: z.enum(PROPOSERS),
    stepKey: z.string().nullable().describe('the step that proposed it'),
    approvedBy: z.string().nullable().describe('who approved it, when it was under review'),
  }),
)
export const pendingCommand = z.object({ commandId: z.string() })

export const approval = z.object({
  id: z.string(),
  runId: z.string(),
  key: z.string().nullable().describe('the step that asks; null: a patch that came from outside'),
  status: z
    .enum(APPROVAL_STATUSES)
    .describe('`refused`: a patch that was approved, and that the run could not take by then'),
  title: z.string(),
  body: z.string().nullable(),
  form: json.nullable(),
  assignees: z.array(z.string()),
  openedAt: time,
  expiresAt: time.nullable(),
  closedAt: time.nullable(),
  actor: z.string().nullable(),
  patch: z
    .object({
      actor: z.string(),
      by: z.enum(PROPOSERS),
      reason: z.string(),
      operations: json.describe('the operations, or a reference to the blob that holds them'),
      before: z.string().describe('hash of the definition that the patch was judged against'),
      preview: patchPreview,
      because: z.array(z.string()).describe('why somebody has to look'),
    })
    .nullable()
    .describe('the patch under review, when that is what is asked about'),
})
export const approvalPage = page(approval)
