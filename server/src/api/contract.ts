/**
 * The HTTP API as data: every route with its method, path, role, shapes and answers. `app.ts` registers the routes from
 * this table, and everything that describes the API is generated from it.
 *
 * Invariant: what is not here cannot be called, and a route without a handler does not compile.
 */
import type { z } from 'zod'
import { liveClientMessage, liveServerMessage } from './live-messages.ts'
import * as s from './schemas.ts'
import * as t from './task-schemas.ts'

export interface RouteContract {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below `/api/v1` and `/api`; for `ops` at the root only. */
  readonly path: string
  /** Another path of the same route. */
  readonly alias?: string
  readonly role: s.Role | typeof s.WORKER_ROLE | 'open'
  readonly summary: string
  readonly query?: z.ZodType
  readonly body?: z.ZodType
  /** Reads a definition as `application/yaml` too: the text becomes `{ source }`. */
  readonly yaml?: true
  /** Counts once for each `Idempotency-Key`. */
  readonly keyed?: true
  /** Starts work: counts against `WEFT_RATE_LIMITS`. */
  readonly limited?: true
  /** Media types of the good answer where it is not JSON, or not only. */
  readonly types?: readonly string[]
  readonly answers: Readonly<Record<number, z.ZodType | string>>
  /** What is said after the upgrade to WebSocket: JSON texts of these shapes. */
  readonly messages?: { readonly client: z.ZodType; readonly server: z.ZodType }
  readonly ops?: true
}

/** Resources that also stand at the root. */
export const ROOT_RESOURCES = ['/orchestrate', '/runs', '/approvals'] as const

const commandAnswers = { 200: s.verdict, 202: s.pendingCommand }

export const ROUTES = {
  createWorkflow: {
    method: 'POST',
    path: '/workflows',
    role: 'editor',
    keyed: true,
    yaml: true,
    body: s.definitionBody,
    summary: 'Store a workflow: its first version, or the next one',
    answers: { 201: s.pushedWorkflow, 200: s.pushedWorkflow },
  },
  validateWorkflow: {
    method: 'POST',
    path: '/workflows/validate',
    role: 'viewer',
    yaml: true,
    body: s.definitionBody,
    summary: 'Say everything that is wrong with a definition; stores nothing',
    answers: { 200: s.validation },
  },
  listWorkflows: {
    method: 'GET',
    path: '/workflows',
    role: 'viewer',
    query: s.pageQuery,
    summary: 'List workflows, each in its newest version',
    answers: { 200: s.workflowPage },
  },
  getWorkflow: {
    method: 'GET',
    path: '/workflows/:reference',
    role: 'viewer',
    summary: 'Get a workflow: `name`, `name@tag` or `name@version`',
    answers: { 200: s.workflowDetail },
  },
  createWorkflowVersion: {
    method: 'POST',
    path: '/workflows/:reference/versions',
    role: 'editor',
    keyed: true,
    yaml: true,
    body: s.definitionBody,
    summary: 'Store the next version of this workflow',
    answers: { 201: s.pushedWorkflow, 200: s.pushedWorkflow },
  },
  listWorkflowVersions: {
    method: 'GET',
    path: '/workflows/:reference/versions',
    role: 'viewer',
    summary: 'List the versions of a workflow, the newest first',
    answers: { 200: s.workflowPage },
  },
  tagWorkflow: {
    method: 'PUT',
    path: '/workflows/:reference/tags/:tag',
    role: 'editor',
    body: s.tagBody,
    summary: 'Move a tag to a version',
    answers: { 200: s.workflow },
  },
  deleteWorkflow: {
    method: 'DELETE',
    path: '/workflows/:reference',
    role: 'editor',
    summary: 'Delete a workflow with its versions; runs stay',
    answers: { 204: 'deleted' },
  },
  workflowSchema: {
    method: 'GET',
    path: '/schemas/workflow',
    role: 'open',
    summary: 'The JSON Schema of a definition, for editors',
    types: ['application/schema+json'],
    answers: { 200: 'a JSON Schema' },
  },
  submitRun: {
    method: 'POST',
    path: '/runs',
    role: 'operator',
    keyed: true,
    limited: true,
    yaml: true,
    query: s.waitQuery,
    body: s.submitBody,
    summary: 'Start a run of a stored workflow, or of a definition that comes along (role editor)',
    answers: { 202: s.accepted, 200: s.runOutcome },
  },
  orchestrate: {
    method: 'POST',
    path: '/orchestrate',
    role: 'editor',
    keyed: true,
    limited: true,
    yaml: true,
    query: s.waitQuery,
    body: s.submitBody,
    summary: 'Start a run of a definition that comes along',
    answers: { 202: s.accepted, 200: s.runOutcome },
  },
  forkRun: {
    method: 'POST',
    path: '/runs/:id/fork',
    role: 'operator',
    keyed: true,
    limited: true,
    body: s.forkBody,
    summary:
      'Start a new run whose log is a copy of this one’s, up to an event or to where a step was reached',
    answers: { 202: s.accepted, 200: s.runOutcome },
  },
  cancelRuns: {
    method: 'POST',
    path: '/runs/cancel',
    role: 'operator',
    body: s.cancelRunsBody,
    summary: 'Cancel every run that a filter finds, a page per call, or say which it would be (`dryRun`)',
    answers: { 202: s.bulkAnswer, 200: s.bulkAnswer },
  },
  retryRuns: {
    method: 'POST',
    path: '/runs/retry',
    role: 'operator',
    body: s.retryRunsBody,
    summary: 'Retry every run that a filter finds, a page per call, or say which it would be (`dryRun`)',
    answers: { 202: s.bulkAnswer, 200: s.bulkAnswer },
  },
  listRuns: {
    method: 'GET',
    path: '/runs',
    role: 'viewer',
    query: s.runsQuery,
    summary: 'List runs, the newest first',
    answers: { 200: s.runPage },
  },
  getRun: {
    method: 'GET',
    path: '/runs/:id',
    role: 'viewer',
    summary: 'Get a run with its steps',
    answers: { 200: s.runDetail },
  },
  deleteRun: {
    method: 'DELETE',
    path: '/runs/:id',
    role: 'operator',
    summary: 'Delete a finished run with its events and records',
    answers: { 204: 'deleted' },
  },
  runEvents: {
    method: 'GET',
    path: '/runs/:id/events',
    role: 'viewer',
    query: s.eventsQuery,
    summary:
      'The run’s log: a page as JSON, or the log and what follows as server-sent events (Accept: text/event-stream)',
    types: ['application/json', 'text/event-stream'],
    answers: { 200: s.runEvents, 204: 'the stream is at its end' },
  },
  live: {
    method: 'GET',
    path: '/live',
    role: 'viewer',
    summary:
      'WebSocket: follow runs, or the workspace. Without an upgrade: hints of the workspace as server-sent events (Accept: text/event-stream)',
    types: ['text/event-stream'],
    messages: { client: liveClientMessage, server: liveServerMessage },
    answers: { 101: 'a WebSocket', 200: 'hints: what run has one more event', 426: s.problemBody },
  },
  runGraph: {
    method: 'GET',
    path: '/runs/:id/graph',
    role: 'viewer',
    query: s.graphQuery,
    summary: 'The definition in force with the state of every node and edge, for drawing',
    answers: { 200: s.runGraph },
  },
  runWhy: {
    method: 'GET',
    path: '/runs/:id/why',
    role: 'viewer',
    summary: 'What every live token waits for, since when and until when',
    answers: { 200: s.runWhy },
  },
  cancelRun: {
    method: 'POST',
    path: '/runs/:id/cancel',
    role: 'operator',
    keyed: true,
    body: s.cancelBody,
    summary: 'Cancel a run',
    answers: commandAnswers,
  },
  pauseRun: {
    method: 'POST',
    path: '/runs/:id/pause',
    role: 'operator',
    keyed: true,
    body: s.emptyBody,
    summary: 'Pause a run: nothing new is started',
    answers: commandAnswers,
  },
  resumeRun: {
    method: 'POST',
    path: '/runs/:id/resume',
    role: 'operator',
    keyed: true,
    body: s.emptyBody,
    summary: 'Let a paused run go on',
    answers: commandAnswers,
  },
  retryRun: {
    method: 'POST',
    path: '/runs/:id/retry',
    role: 'operator',
    keyed: true,
    limited: true,
    body: s.emptyBody,
    summary: 'Retry from failure: failed and cancelled steps start again',
    answers: commandAnswers,
  },
  resolveStep: {
    method: 'POST',
    path: '/runs/:id/resolve',
    role: 'operator',
    keyed: true,
    body: s.resolveBody,
    summary: 'Say what became of an irreversible attempt whose outcome is unknown',
    answers: commandAnswers,
  },
  recoverRun: {
    method: 'POST',
    path: '/runs/:id/recover',
    role: 'operator',
    body: s.emptyBody,
    summary: 'Try a stuck run again',
    answers: { 200: s.runSummary },
  },
  sendMessage: {
    method: 'POST',
    path: '/runs/:id/messages',
    role: 'operator',
    keyed: true,
    body: s.messageBody,
    summary: 'Send a message to a run',
    answers: commandAnswers,
  },
  patchRun: {
    method: 'POST',
    path: '/runs/:id/patches',
    alias: '/runs/:id/patch',
    role: 'editor',
    keyed: true,
    body: s.patchBody,
    summary: 'Change the definition of a run while it runs, or before it is retried (RFC 6902)',
    answers: { 200: s.patchAnswer, 202: s.pendingCommand },
  },
  listPatches: {
    method: 'GET',
    path: '/runs/:id/patches',
    role: 'viewer',
    query: s.eventsQuery,
    summary: 'The patches that a run took: who, why, what',
    answers: { 200: s.patchPage },
  },
  listApprovals: {
    method: 'GET',
    path: '/approvals',
    role: 'viewer',
    query: s.approvalsQuery,
    summary: 'List approvals, the newest first',
    answers: { 200: s.approvalPage },
  },
  getApproval: {
    method: 'GET',
    path: '/approvals/:id',
    role: 'viewer',
    summary: 'Get an approval',
    answers: { 200: s.approval },
  },
  decideApproval: {
    method: 'POST',
    path: '/approvals/:id/decide',
    role: 'operator',
    keyed: true,
    body: s.decideBody,
    summary: 'Approve or reject',
    answers: commandAnswers,
  },
  listVariables: {
    method: 'GET',
    path: '/variables',
    role: 'viewer',
    summary: 'List variables with their values, by name',
    answers: { 200: s.variablePage },
  },
  getVariable: {
    method: 'GET',
    path: '/variables/:name',
    role: 'viewer',
    summary: 'Get a variable',
    answers: { 200: s.variable },
  },
  setVariable: {
    method: 'PUT',
    path: '/variables/:name',
    role: 'editor',
    body: s.variableBody,
    summary: 'Set a variable; runs that have started keep the value they started with',
    answers: { 200: s.variable },
  },
  deleteVariable: {
    method: 'DELETE',
    path: '/variables/:name',
    role: 'editor',
    summary: 'Delete a variable; runs that have started keep its value',
    answers: { 204: 'deleted' },
  },
  createCredential: {
    method: 'POST',
    path: '/credentials',
    role: 'admin',
    body: s.newCredentialBody,
    summary: 'Store a credential, encrypted; no answer ever shows its value',
    answers: { 201: s.credential, 200: s.credential },
  },
  listCredentials: {
    method: 'GET',
    path: '/credentials',
    role: 'viewer',
    summary: 'List credentials by name, without their values',
    answers: { 200: s.credentialPage },
  },
  rotateCredential: {
    method: 'PUT',
    path: '/credentials/:name',
    role: 'admin',
    body: s.credentialBody,
    summary: 'Give a credential a new value; attempts that begin from now on use it',
    answers: { 200: s.credential },
  },
  deleteCredential: {
    method: 'DELETE',
    path: '/credentials/:name',
    role: 'admin',
    summary: 'Delete a credential; steps that name it fail until there is one again',
    answers: { 204: 'deleted' },
  },
  listDeadLetters: {
    method: 'GET',
    path: '/dead-letters',
    role: 'viewer',
    query: s.deadLettersQuery,
    summary: 'List steps that failed for good, the newest first',
    answers: { 200: s.deadLetterPage },
  },
  getDeadLetter: {
    method: 'GET',
    path: '/dead-letters/:id',
    role: 'viewer',
    summary: 'Get a dead letter with its attempts, its node and the run’s input',
    answers: { 200: s.deadLetterDetail },
  },
  replayDeadLetter: {
    method: 'POST',
    path: '/dead-letters/:id/replay',
    role: 'operator',
    limited: true,
    body: s.emptyBody,
    summary: 'Retry the run of a dead letter',
    answers: commandAnswers,
  },
  replayDeadLetters: {
    method: 'POST',
    path: '/dead-letters/replay',
    role: 'operator',
    body: s.replayBody,
    summary: 'Retry the runs of every dead letter that a filter finds, or say which it would be (`dryRun`)',
    answers: { 202: s.replayAnswer, 200: s.replayAnswer },
  },
  getBlob: {
    method: 'GET',
    path: '/blobs/:hash',
    role: 'viewer',
    summary: 'The bytes of a value that left the log',
    types: ['*/*'],
    answers: { 200: 'the bytes, with their content type' },
  },
  createKey: {
    method: 'POST',
    path: '/keys',
    role: 'admin',
    body: s.createKeyBody,
    summary: 'Make an API key; the answer is the only place where it is shown',
    answers: { 201: s.createdKey },
  },
  listKeys: {
    method: 'GET',
    path: '/keys',
    role: 'admin',
    query: s.pageQuery,
    summary: 'List API keys, the newest first, without their secrets',
    answers: { 200: s.keyPage },
  },
  revokeKey: {
    method: 'DELETE',
    path: '/keys/:id',
    role: 'admin',
    summary: 'Revoke an API key',
    answers: { 204: 'revoked' },
  },
  listNodeTypes: {
    method: 'GET',
    path: '/node-types',
    role: 'viewer',
    summary: 'Every node type, with its config schema',
    answers: { 200: s.nodeTypes },
  },
  registerNodeTypes: {
    method: 'POST',
    path: '/node-types',
    role: 'worker',
    body: t.nodeTypesBody,
    summary: 'Make node types known that programs outside perform',
    answers: { 200: t.registeredTypes },
  },
  claimTasks: {
    method: 'POST',
    path: '/tasks/claim',
    role: 'worker',
    body: t.claimBody,
    summary: 'Take tasks of some types to perform them; waits until there is one',
    answers: { 200: t.claimed },
  },
  heartbeatTasks: {
    method: 'POST',
    path: '/tasks/heartbeat',
    role: 'worker',
    body: t.heartbeatBody,
    summary: 'Say that tasks are being worked on; the answer names those to end',
    answers: { 200: t.heartbeat },
  },
  completeTask: {
    method: 'POST',
    path: '/tasks/complete',
    role: 'worker',
    body: t.completeBody,
    summary: 'Report the output of a task',
    answers: { 200: t.reported },
  },
  failTask: {
    method: 'POST',
    path: '/tasks/fail',
    role: 'worker',
    body: t.failBody,
    summary: 'Report that an attempt failed, and whether it may be tried again',
    answers: { 200: t.reported },
  },
  recordTask: {
    method: 'POST',
    path: '/tasks/record',
    role: 'worker',
    body: t.recordBody,
    summary: 'Record a value once per round, or ask what is recorded',
    answers: { 200: t.record },
  },
  listWorkers: {
    method: 'GET',
    path: '/workers',
    role: 'viewer',
    summary: 'Who performs attempts now: worker processes, and programs that claim tasks',
    answers: { 200: s.workers },
  },
  about: {
    method: 'GET',
    path: '/about',
    role: 'viewer',
    summary: 'Version, database settings, clock offset and figures, for `weft doctor`',
    answers: { 200: s.about },
  },
  health: {
    method: 'GET',
    path: '/healthz',
    role: 'open',
    ops: true,
    summary: 'The process lives',
    answers: { 200: s.health },
  },
  ready: {
    method: 'GET',
    path: '/readyz',
    role: 'open',
    ops: true,
    summary: 'The process and what it depends on can work',
    answers: { 200: s.readiness, 503: s.readiness },
  },
  metrics: {
    method: 'GET',
    path: '/metrics',
    role: 'open',
    ops: true,
    summary: 'Prometheus metrics; without a key from this machine only',
    types: ['text/plain'],
    answers: { 200: 'Prometheus text' },
  },
  openApi: {
    method: 'GET',
    path: '/openapi.json',
    role: 'open',
    ops: true,
    summary: 'This API as an OpenAPI 3.1 document',
    answers: { 200: 'an OpenAPI document' },
  },
  reference: {
    method: 'GET',
    path: '/docs',
    role: 'open',
    ops: true,
    summary: 'This API as a page to read',
    types: ['text/html'],
    answers: { 200: 'the page' },
  },
} as const satisfies Record<string, RouteContract>

export type RouteName = keyof typeof ROUTES

/** Every path under which a route answers. */
export function pathsOf(contract: RouteContract): string[] {
  if (contract.ops) return [contract.path]
  const { path, alias } = contract
  const atRoot = ROOT_RESOURCES.some((root) => path === root || path.startsWith(`${root}/`))
  return [path, ...(alias === undefined ? [] : [alias])].flatMap((each) => [
    `/api/v1${each}`,
    `/api${each}`,
    ...(atRoot ? [each] : []),
  ])
}
