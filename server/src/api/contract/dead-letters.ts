/** Dead letters and their replay. */
import type { RouteContract } from '../contract.ts'
import * as s from '../schemas.ts'

export const deadLetterRoutes = {
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
    answers: { 200: s.verdict, 202: s.pendingCommand },
  },
  replayDeadLetters: {
    method: 'POST',
    path: '/dead-letters/replay',
    role: 'operator',
    limited: true,
    body: s.replayBody,
    summary:
      'Retry the runs of every dead letter that a filter finds, or say which it would be (`dryRun`); each run counts as a call that starts work',
    answers: { 202: s.replayAnswer, 200: s.replayAnswer },
  },
} as const satisfies Record<string, RouteContract>
