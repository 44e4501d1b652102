/**
 * The HTTP API as data: every route with its method, path, role, shapes and answers. `app.ts` registers the routes from
 * this table, and everything that describes the API is generated from it. The routes of runs and of what steers them
 * stand here, those of other resources in `contract/`.
 *
 * Invariant: what is not here cannot be called, and a route without a handler does not compile.
 */
import type { z } from 'zod'
import { deadLetterRoutes } from './contract/dead-letters.ts'
import { opsRoutes } from './contract/ops.ts'
import { taskRoutes } from './contract/tasks.ts'
import { workflowRoutes } from './contract/workflows.ts'
import { workspaceRoutes } from './contract/workspace.ts'
import { liveClientMessage, liveServerMessage } from './live-messages.ts'
import * as s from './schemas.ts'

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
  ...workflowRoutes,
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
    limited: true,
    body: s.retryRunsBody,
    summary:
      'Retry every run that a filter finds, a page per call, or say which it would be (`dryRun`); each counts as a call that starts work',
    answers: { 202: s.bulkRetryAnswer, 200: s.bulkRetryAnswer },
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
  postMessage: {
    method: 'POST',
    path: '/messages',
    role: 'operator',
    keyed: true,
    body: s.correlatedMessageBody,
    summary: 'Send a message to every run that waits for it; without one it is kept for the first that does',
    answers: { 202: s.sentMessage, 200: s.sentMessage },
  },
  listMessages: {
    method: 'GET',
    path: '/messages',
    role: 'viewer',
    query: s.messagesQuery,
    summary: 'List messages that are kept for whoever waits for them, the newest first',
    answers: { 200: s.messagePage },
  },
  getMessage: {
    method: 'GET',
    path: '/messages/:id',
    role: 'viewer',
    summary: 'Get a message, and who has it',
    answers: { 200: s.keptMessage },
  },
  deleteMessage: {
    method: 'DELETE',
    path: '/messages/:id',
    role: 'operator',
    summary: 'Delete a message that nobody has taken; its id may be used again',
    answers: { 204: 'deleted' },
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
  ...workspaceRoutes,
  ...deadLetterRoutes,
  ...taskRoutes,
  ...opsRoutes,
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
