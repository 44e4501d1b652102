/**
 * The one description of the tables. `migrations/*.sql` builds them; a test compares the two column by column.
 *
 * Two decisions hold for every table:
 * - Values of users (events, inputs, outputs, definitions) are `json`: text as written. `jsonb` reorders keys, changes
 *   numbers and refuses NUL (R1). What SQL filters by is therefore a column of its own, never a path into `json`.
 * - Times are `bigint` milliseconds since 1970, as everywhere in the engine (R12); the views show `timestamptz`.
 *
 * There are no foreign keys onto `runs`: the trigger per row cost a quarter of the append rate, rows of a run are
 * written only by the statements of this folder, and `retention.ts` removes them together.
 */
import type {
  Command,
  Json,
  JsonObject,
  NodeTypeInfo,
  ParentLink,
  RunEvent,
  RunStatus,
  StepError,
  Verdict,
} from '@weft/engine'
import {
  bigint,
  boolean,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  smallint,
  sql,
  text,
  uniqueIndex,
  uuid,
} from './drizzle.ts'
import type { WorkerRow } from './store.ts'

/**
 * `json` as the driver reads it. Drizzle's own column parses a second time what `pg` has parsed already, which turns the
 * string "123" into a number. Never written through Drizzle: writers pass `jsonText(value)`, so that a JSON `null` does
 * not become an SQL one.
 */
const json = customType<{ data: unknown; driverData: unknown }>({ dataType: () => 'json' })
const bytes = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => 'bytea' })
const milliseconds = (name: string) => bigint(name, { mode: 'number' })

export const workspaces = pgTable('workspaces', {
  name: text('name').primaryKey(),
  createdAt: milliseconds('created_at').notNull(),
})

export const apiKeys = pgTable(
  'api_keys',
  {
    id: uuid('id').primaryKey(),
    workspace: text('workspace')
      .notNull()
      .references(() => workspaces.name),
    hash: text('hash').notNull(),
    name: text('name').notNull(),
    role: text('role').notNull(),
    createdAt: milliseconds('created_at').notNull(),
    expiresAt: milliseconds('expires_at'),
    /** What a key of the role `worker` is for; null: all. */
    taskTypes: text('task_types').array(),
  },
  (table) => [uniqueIndex('api_keys_by_hash').on(table.hash)],
)

/** Definitions by the hash of their graph (R9). */
export const graphs = pgTable('graphs', {
  hash: text('hash').primaryKey(),
  definition: json('definition').$type<Json>().notNull(),
})

export const workflows = pgTable(
  'workflows',
  {
    workspace: text('workspace').notNull(),
    name: text('name').notNull(),
    /** Number of the newest version; the row is locked while the next is added. */
    newest: integer('newest').notNull(),
  },
  (table) => [primaryKey({ columns: [table.workspace, table.name] })],
)

export const workflowVersions = pgTable(
  'workflow_versions',
  {
    workspace: text('workspace').notNull(),
    name: text('name').notNull(),
    version: integer('version').notNull(),
    graph: text('graph').notNull(),
    /** The author's normal form with what is outside the graph's hash (`ui`, `labels`). */
    definition: json('definition').$type<Json>().notNull(),
    source: text('source'),
    description: text('description'),
    createdAt: milliseconds('created_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.workspace, table.name, table.version] })],
)

export const workflowTags = pgTable(
  'workflow_tags',
  {
    workspace: text('workspace').notNull(),
    name: text('name').notNull(),
    tag: text('tag').notNull(),
    version: integer('version').notNull(),
  },
  (table) => [primaryKey({ columns: [table.workspace, table.name, table.tag] })],
)

/**
 * What lists, inboxes and sweeps need to know of a run; the truth is its log. There is no `seq` column: it would make
 * every append rewrite this row, input and all, and the primary key of `run_events` answers it in one descent.
 */
export const runs = pgTable(
  'runs',
  {
    id: uuid('id').primaryKey(),
    createdAt: milliseconds('created_at').notNull(),
    finishedAt: milliseconds('finished_at'),
    /** R6. */
    wakeAt: milliseconds('wake_at'),
    parentId: uuid('parent_id'),
    /** The first run of the family, in its children only. */
    rootId: uuid('root_id'),
    version: integer('version'),
    /** Commands in the inbox without a verdict. While there are any, `wake_at` is not moved back (R15). */
    openCommands: integer('open_commands').notNull().default(0),
    /** R4: fixed by the last hexadecimal digit of the id. */
    partition: smallint('partition').generatedAlwaysAs(sql`(get_byte(uuid_send(id), 15) & 15)::smallint`),
    workspace: text('workspace').notNull(),
    workflow: text('workflow').notNull(),
    graph: text('graph').notNull(),
    status: text('status').$type<RunStatus>().notNull(),
    waitingFor: text('waiting_for').array().notNull(),
    stuckReason: text('stuck_reason'),
    labels: jsonb('labels').$type<Record<string, string>>().notNull(),
    parent: json('parent').$type<ParentLink>(),
    input: json('input').$type<Json>().notNull(),
    output: json('output').$type<Json>(),
    error: json('error').$type<StepError>(),
  },
  (table) => [
    index('runs_by_creation').on(table.workspace, table.createdAt, table.id),
    index('runs_unfinished').on(table.workspace, table.createdAt, table.id).where(sql`finished_at is null`),
    index('runs_failed').on(table.workspace, table.createdAt, table.id).where(sql`error is not null`),
    index('runs_finished').on(table.finishedAt).where(sql`finished_at is not null`),
    index('runs_due')
      .on(table.partition, table.wakeAt)
      .where(sql`wake_at is not null and stuck_reason is null`),
    index('runs_stuck').on(table.workspace, table.id).where(sql`stuck_reason is not null`),
    index('runs_by_parent').on(table.parentId).where(sql`parent_id is not null`),
    index('runs_by_root').on(table.rootId).where(sql`root_id is not null`),
    index('runs_by_label').using('gin', table.labels.op('jsonb_path_ops')).where(sql`labels <> '{}'::jsonb`),
  ],
)

/** The log (R1). `data` is the whole event; the columns before it repeat what SQL users and the views filter by. */
export const runEvents = pgTable(
  'run_events',
  {
    runId: uuid('run_id').notNull(),
    at: milliseconds('at').notNull(),
    seq: integer('seq').notNull(),
    round: integer('round'),
    attempt: integer('attempt'),
    type: text('type').notNull(),
    stepKey: text('step_key'),
    data: json('data').$type<RunEvent>().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.runId, table.seq] }),
    index('run_events_failed').on(table.at, table.runId, table.seq).where(sql`type = 'step.failed'`),
    index('run_events_retries')
      .on(sql`(json_text(data, 'retryAt')::numeric)`, table.runId)
      .where(sql`type = 'attempt.failed'`),
  ],
)

/** What only the outside knows, durable before it is answered (R15). */
export const runInbox = pgTable(
  'run_inbox',
  {
    id: text('id').primaryKey(),
    runId: uuid('run_id').notNull(),
    /** Order of arrival. */
    position: bigint('position', { mode: 'number' }).notNull().generatedAlwaysAsIdentity(),
    createdAt: milliseconds('created_at').notNull(),
    settledAt: milliseconds('settled_at'),
    workspace: text('workspace').notNull(),
    kind: text('kind').notNull(),
    actor: text('actor').notNull(),
    command: json('command').$type<Command>().notNull(),
    verdict: json('verdict').$type<Verdict>(),
  },
  (table) => [index('run_inbox_by_run').on(table.runId, table.position)],
)

/** Waits for a message: what correlation looks up. */
export const waits = pgTable(
  'waits',
  {
    id: text('id').primaryKey(),
    runId: uuid('run_id').notNull(),
    openedAt: milliseconds('opened_at').notNull(),
    expiresAt: milliseconds('expires_at'),
    closedAt: milliseconds('closed_at'),
    workspace: text('workspace').notNull(),
    stepKey: text('step_key').notNull(),
    name: text('name').notNull(),
    correlationKey: text('correlation_key'),
    match: text('match'),
    outcome: text('outcome'),
  },
  (table) => [
    index('waits_open').on(table.workspace, table.name, table.correlationKey).where(sql`closed_at is null`),
    index('waits_by_run').on(table.runId),
  ],
)

/** Messages by correlation: kept while `runs` is empty, and afterwards, so that the sender's id counts once. */
export const messages = pgTable(
  'messages',
  {
    workspace: text('workspace').notNull(),
    id: text('id').notNull(),
    /** Stands for a run in `blob_refs`, as long as the message names blobs. */
    uid: uuid('uid').notNull(),
    createdAt: milliseconds('created_at').notNull(),
    expiresAt: milliseconds('expires_at').notNull(),
    offers: integer('offers').notNull().default(0),
    /** Held against the waits that were open after it was committed. */
    announced: boolean('announced').notNull().default(false),
    name: text('name').notNull(),
    correlationKey: text('correlation_key'),
    actor: text('actor').notNull(),
    /** Whom it was given to, without those who refused it. */
    runs: uuid('runs').array().notNull().default(sql`'{}'`),
    data: json('data').$type<Json>().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.workspace, table.id] }),
    index('messages_kept')
      .on(table.workspace, table.name, table.correlationKey, table.createdAt, table.id)
      .where(sql`runs = '{}'`),
    index('messages_by_creation').on(table.workspace, table.createdAt, table.id).where(sql`runs = '{}'`),
    index('messages_unannounced').on(table.createdAt).where(sql`not announced`),
    index('messages_by_expiry').on(table.expiresAt),
  ],
)

/** Waits for a person: what inboxes list. The id is the wait's. */
export const approvals = pgTable(
  'approvals',
  {
    id: text('id').primaryKey(),
    runId: uuid('run_id').notNull(),
    openedAt: milliseconds('opened_at').notNull(),
    expiresAt: milliseconds('expires_at'),
    closedAt: milliseconds('closed_at'),
    workspace: text('workspace').notNull(),
    /** Null: a patch that nobody proposed from within a step. */
    stepKey: text('step_key'),
    status: text('status').notNull(),
    title: text('title').notNull(),
    body: text('body'),
    form: json('form').$type<JsonObject>(),
    assignees: text('assignees').array().notNull(),
    actor: text('actor'),
    /** The patch that is asked about. */
    patch: json('patch').$type<JsonObject>(),
  },
  (table) => [
    index('approvals_by_opening').on(table.workspace, table.openedAt, table.id),
    index('approvals_open').on(table.workspace, table.openedAt, table.id).where(sql`status = 'open'`),
    index('approvals_by_run').on(table.runId),
  ],
)

/** What `once` recorded (R7). */
export const stepRecords = pgTable(
  'step_records',
  {
    runId: uuid('run_id').notNull(),
    stepKey: text('step_key').notNull(),
    round: integer('round').notNull(),
    name: text('name').notNull(),
    attempt: integer('attempt').notNull(),
    at: milliseconds('at').notNull(),
    value: json('value').$type<Json>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.runId, table.stepKey, table.round, table.name] })],
)

export const blobs = pgTable(
  'blobs',
  {
    workspace: text('workspace').notNull(),
    hash: text('hash').notNull(),
    createdAt: milliseconds('created_at').notNull(),
    /** When somebody last stored the same bytes. */
    touchedAt: milliseconds('touched_at').notNull(),
    contentType: text('content_type').notNull(),
    bytes: bytes('bytes').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.workspace, table.hash] }),
    index('blobs_by_touch').on(table.touchedAt),
  ],
)

/** Which run's log, inbox or records name which blob; removed with the run. */
export const blobRefs = pgTable(
  'blob_refs',
  {
    runId: uuid('run_id').notNull(),
    workspace: text('workspace').notNull(),
    hash: text('hash').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.runId, table.hash] }),
    index('blob_refs_by_blob').on(table.workspace, table.hash),
  ],
)

export const variables = pgTable(
  'variables',
  {
    workspace: text('workspace').notNull(),
    name: text('name').notNull(),
    value: json('value').$type<Json>().notNull(),
    updatedAt: milliseconds('updated_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.workspace, table.name] })],
)

/** Sealed by the vault: neither a value nor a master key is ever here (R14). */
export const credentials = pgTable(
  'credentials',
  {
    workspace: text('workspace').notNull(),
    name: text('name').notNull(),
    keyId: text('key_id').notNull(),
    nonce: bytes('nonce').notNull(),
    sealed: bytes('sealed').notNull(),
    createdAt: milliseconds('created_at').notNull(),
    rotatedAt: milliseconds('rotated_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.workspace, table.name] })],
)

export const nodeTypes = pgTable(
  'node_types',
  {
    workspace: text('workspace').notNull(),
    type: text('type').notNull(),
    info: json('info').$type<NodeTypeInfo>().notNull(),
    registeredAt: milliseconds('registered_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.workspace, table.type] })],
)

/** One row per key and route: a run's carries its id, any other the answer that was given. */
export const idempotencyKeys = pgTable(
  'idempotency_keys',
  {
    workspace: text('workspace').notNull(),
    route: text('route').notNull(),
    key: text('key').notNull(),
    bodyHash: text('body_hash').notNull(),
    createdAt: milliseconds('created_at').notNull(),
    runId: uuid('run_id'),
    answer: json('answer').$type<Json>(),
  },
  (table) => [
    primaryKey({ columns: [table.workspace, table.route, table.key] }),
    index('idempotency_keys_by_creation').on(table.createdAt),
  ],
)

/**
 * Coordinators that share the partitions, each with its latest sign of life by the database's clock. Which partitions
 * one owns is read from the locks of its session.
 */
export const coordinators = pgTable('coordinators', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  session: text('session').notNull(),
  leaving: boolean('leaving').notNull(),
  startedAt: milliseconds('started_at').notNull(),
  beatAt: milliseconds('beat_at').notNull(),
})

/** Who performs attempts, with its latest sign of life by the database's clock. A workspace: a program of that one. */
export const workers = pgTable('workers', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  kind: text('kind').$type<WorkerRow['kind']>().notNull(),
  workspace: text('workspace'),
  types: json('types').$type<WorkerRow['types']>().notNull(),
  startedAt: milliseconds('started_at').notNull(),
  beatAt: milliseconds('beat_at').notNull(),
  expiresAt: milliseconds('expires_at').notNull(),
})

/** Processes that were started paused, with their latest sign of life by the database's clock. */
export const heldProcesses = pgTable('held_processes', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  resumed: boolean('resumed').notNull(),
  since: milliseconds('since').notNull(),
  beatAt: milliseconds('beat_at').notNull(),
})
