/**
 * The shapes of what the API reads and answers, as zod schemas: the source of request checks and of the OpenAPI
 * document. Times are milliseconds since 1970.
 */
import {
  KNOWN_EVENTS,
  type Proposer,
  parseDuration,
  type RunStatus,
  type StepStatus,
  type WaitsFor,
} from '@weft/engine'
import { z } from 'zod'

export const ROLES = ['viewer', 'operator', 'editor', 'admin'] as const
export type Role = (typeof ROLES)[number]
/** Performs tasks and nothing else; stands beside the others, not among them. */
export const WORKER_ROLE = 'worker'

/** Names of a union of the engine, every one of them, in the order given: one that is left out does not compile. */
const names = <Name extends string>(all: Readonly<Record<Name, true>>): readonly [Name, ...Name[]] =>
  Object.keys(all) as [Name, ...Name[]]

const RUN_STATUSES = names<RunStatus>({
  queued: true,
  running: true,
  waiting: true,
  paused: true,
  stopping: true,
  completed: true,
  failed: true,
  cancelled: true,
})
const STEP_STATUSES = names<StepStatus>({
  pending: true,
  ready: true,
  running: true,
  waiting: true,
  completed: true,
  failed: true,
  skipped: true,
  cancelled: true,
})
const WAITS_FOR = names<WaitsFor>({ worker: true, timer: true, approval: true, message: true, child: true })
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

const time = z.number().describe('milliseconds since 1970')
const json = z.unknown().describe('any JSON value')

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

export const MAX_WAIT_MS = 300_000
const MAX_TTL_MS = 30 * 86_400_000

/** Text that is compared and shown, not carried: PostgreSQL's `text` holds neither NUL nor half a surrogate pair. */
const isPlain = (text: string): boolean => !text.includes('\0') && text.isWellFormed()
const NOT_PLAIN =
  'holds a NUL character or half of a surrogate pair, which a name cannot have. Remove it, or carry the text in `input` or `data`'
const plain = (maxLength: number) =>
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

const cursor = plain(500).optional().describe('`nextCursor` of the page before')
const limit = z.coerce.number().int().min(1).max(500).default(50)
const page = <Item extends z.ZodType>(item: Item) =>
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

const stepError = z.object({
  code: z.string().describe('stable: programs may rely on it'),
  message: z.string(),
  retryable: z.boolean(),
  retryAfterMs: z.number().optional(),
  pointer: z.string().optional(),
  column: z.number().optional(),
  details: json.optional(),
})

export const idempotencyKey = plain(255).min(1, 'is empty; give it 1 to 255 characters, or leave it out')
const sourceText = z
  .string()
  .refine(
    isPlain,
    'holds a NUL character or half of a surrogate pair; in YAML and JSON both are written as escapes',
  )

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

export const definitionBody = z.strictObject({
  definition: json.optional(),
  source: sourceText.optional(),
  tags: z
    .array(z.string().regex(/^[a-z][a-z0-9_.-]{0,62}$/i, 'a tag begins with a letter'))
    .max(20)
    .optional(),
})

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

export const pageQuery = z.strictObject({ cursor, limit })

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

const bulkPage = {
  dryRun: z.boolean().default(false).describe('say what it would touch, and touch nothing'),
  limit: z.number().int().min(1).max(500).default(100).describe('runs per call'),
  cursor,
}
const bulkFilter = <const Status extends string>(statuses: readonly Status[], usual: Status[]) =>
  z
    .strictObject({
      status: z.array(z.enum(statuses)).min(1).default(usual),
      workflow: z.string().max(300).optional(),
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

const deadLetterFilter = {
  workflow: z.string().max(300).optional(),
  runId: z.string().max(100).optional(),
  step: z.string().max(100).optional().describe('a node’s id: the step, or its items'),
  code: z.string().max(100).optional().describe('code of the error'),
}
export const deadLettersQuery = z.strictObject({ ...deadLetterFilter, cursor, limit })
export const replayBody = z.strictObject({ filter: z.strictObject(deadLetterFilter), ...bulkPage })

export const cancelBody = z.strictObject({ reason: z.string().max(2000).optional() }).optional()
export const emptyBody = z.strictObject({}).optional()

export const messageBody = z.strictObject({
  name: z.string().min(1).max(200),
  key: z.string().max(500).optional().describe('correlation key'),
  data: json.optional(),
  ttl: duration(MAX_TTL_MS, '30d')
    .optional()
    .describe('how long it is kept when nothing waits for it yet; 24h by default'),
  id: z.string().min(1).max(200).optional().describe('the sender’s id: the same id counts once'),
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

const MAX_KEY_LIFE_MS = 3_650 * 86_400_000
export const createKeyBody = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, 'a key’s name has up to 63 letters, digits and `_ . -`')
    .describe('stands in the log of runs as who acted; unique in the workspace'),
  role: z.enum([...ROLES, WORKER_ROLE]).describe('`worker` performs tasks and reads nothing'),
  expiresIn: duration(MAX_KEY_LIFE_MS, '3650d')
    .refine((ms) => ms > 0, 'must be more than 0: a key that is never valid is of no use')
    .optional()
    .describe('never, unless given'),
})

export const tagBody = z.strictObject({ version: z.number().int().min(1) })

export const variableBody = z.strictObject({ value: json }).refine(({ value }) => value !== undefined, {
  path: ['value'],
  message: 'the new value must be given; it may be any JSON value',
})

const credentialValue = z
  .record(z.string(), json)
  .describe('what the node type needs of it, such as `{ "token": "…" }`')
export const newCredentialBody = z.strictObject({ name: z.string().max(200), value: credentialValue })
export const credentialBody = z.strictObject({ value: credentialValue })

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

export const workflow = z.object({
  name: z.string(),
  version: z.number(),
  tags: z.array(z.string()),
  graph: z.string(),
  description: z.string().nullable(),
  createdAt: time,
})
export const workflowDetail = workflow.extend({ source: z.string().nullable(), definition: json })
export const workflowPage = page(workflow)
export const pushedWorkflow = z.object({
  name: z.string(),
  version: z.number(),
  created: z.boolean().describe('false: the newest version is the same already'),
  graph: z.string(),
  warnings: z.array(warning),
})
export const validation = z.object({
  valid: z.boolean(),
  problems: z.array(problem),
  warnings: z.array(warning),
  name: z.string().nullable(),
  graph: z.string().nullable(),
})

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

export const variable = z.object({ name: z.string(), value: json, updatedAt: time })
export const variablePage = page(variable)
export const key = z.object({
  id: z.string(),
  name: z.string(),
  role: z.string(),
  createdAt: time,
  expiresAt: time.nullable(),
})
export const keyPage = page(key)
export const createdKey = key.extend({ key: z.string().describe('the secret, shown this once') })
export const bulkAnswer = z.object({
  dryRun: z.boolean(),
  matched: z.number().describe('runs that the filter finds, over all pages'),
  runs: z.array(z.string()).describe('this page of them'),
  queued: z.number().describe('runs that got the command now; the others had it already'),
  nextCursor: z.string().nullable(),
})
export const deadLetter = z.object({
  id: z.string(),
  runId: z.string(),
  rootId: z.string().describe('the run that a replay retries'),
  replayable: z.boolean(),
  workflow: z.string(),
  version: z.number().nullable(),
  key: z.string().describe('the step'),
  round: z.number(),
  attempt: z.number(),
  handled: z.boolean().describe('an edge or `onError` dealt with it'),
  error: stepError,
  failedAt: time,
})
export const deadLetterPage = page(deadLetter)
export const deadLetterDetail = deadLetter.extend({
  attempts: z.array(
    z.object({
      attempt: z.number(),
      error: stepError,
      at: time,
      startedAt: time.nullable(),
      worker: z.string().nullable(),
    }),
  ),
  node: json.describe('the step as the definition has it'),
  input: json.describe('the run’s input'),
})
export const replayAnswer = bulkAnswer.omit({ matched: true }).extend({ letters: z.array(z.string()) })

export const credential = z.object({
  name: z.string(),
  source: z.enum(['store', 'environment']).describe('environment: `WEFT_CREDENTIAL_<NAME>`, which wins'),
  keyId: z.string().nullable().describe('names the master key under which it is encrypted'),
  createdAt: time.nullable(),
  rotatedAt: time.nullable(),
  readable: z.boolean().describe('false: this server does not have that master key'),
})
export const credentialPage = page(credential)

export const nodeTypes = z.object({
  items: z.array(z.looseObject({ type: z.string() })),
  nextCursor: z.null(),
})
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
export const health = z.object({
  status: z.string(),
  version: z.string(),
  roles: z.array(z.string()).describe('what this process does'),
})
export const readiness = z.object({
  status: z
    .enum(['ready', 'degraded', 'not_ready'])
    .describe('degraded: requests are accepted, and steps wait for the transport'),
  dependencies: z.record(
    z.string(),
    z.object({ ok: z.boolean(), ms: z.number().optional(), error: z.string().optional() }),
  ),
})
export const about = z.object({
  version: z.string(),
  postgres: z.object({ version: z.string(), settings: z.record(z.string(), z.string()) }),
  clockOffsetMs: z.number(),
  runs: z.object({ byStatus: z.record(z.string(), z.number()), stuck: z.number() }),
  transport: z.string(),
  coordinators: z
    .array(
      z.object({
        name: z.string(),
        partitions: z.array(z.number()),
        leaving: z.boolean(),
        silentMs: z.number().describe('since it last showed that it lives'),
      }),
    )
    .describe('who decides runs, and which of the 16 partitions each owns'),
  lanes: z.array(
    z.object({ type: z.string(), waiting: z.number(), active: z.number(), oldestAgeMs: z.number() }),
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
