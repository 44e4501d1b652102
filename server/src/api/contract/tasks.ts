/** Tasks and node types of programs outside, live workers and queues. */
import type { RouteContract } from '../contract.ts'
import * as s from '../schemas.ts'

export const taskRoutes = {
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
    body: s.nodeTypesBody,
    summary: 'Make node types known that programs outside perform',
    answers: { 200: s.registeredTypes },
  },
  claimTasks: {
    method: 'POST',
    path: '/tasks/claim',
    role: 'worker',
    body: s.claimBody,
    summary: 'Take tasks of some types to perform them; waits until there is one',
    answers: { 200: s.claimed },
  },
  heartbeatTasks: {
    method: 'POST',
    path: '/tasks/heartbeat',
    role: 'worker',
    body: s.heartbeatBody,
    summary: 'Say that tasks are being worked on; the answer names those to end',
    answers: { 200: s.heartbeat },
  },
  completeTask: {
    method: 'POST',
    path: '/tasks/complete',
    role: 'worker',
    body: s.completeBody,
    summary: 'Report the output of a task; may be repeated when the answer was lost',
    answers: { 200: s.reported },
  },
  failTask: {
    method: 'POST',
    path: '/tasks/fail',
    role: 'worker',
    body: s.failBody,
    summary:
      'Report that an attempt failed, and whether it may be tried again; may be repeated when the answer was lost',
    answers: { 200: s.reported },
  },
  recordTask: {
    method: 'POST',
    path: '/tasks/record',
    role: 'worker',
    body: s.recordBody,
    summary: 'Record a value once per round, or ask what is recorded',
    answers: { 200: s.record },
  },
  listWorkers: {
    method: 'GET',
    path: '/workers',
    role: 'viewer',
    summary: 'Who performs attempts now: worker processes, and programs that claim tasks',
    answers: { 200: s.workers },
  },
  listQueues: {
    method: 'GET',
    path: '/queues',
    role: 'viewer',
    summary: 'How many tasks of each node type wait and are at work, and how long the oldest waits',
    answers: { 200: s.queues },
  },
} as const satisfies Record<string, RouteContract>
