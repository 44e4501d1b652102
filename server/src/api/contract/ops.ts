/** How the server is, and what describes it. */
import type { RouteContract } from '../contract.ts'
import * as s from '../schemas.ts'

export const opsRoutes = {
  about: {
    method: 'GET',
    path: '/about',
    role: 'viewer',
    summary: 'Version, database settings, clock offset and figures, for `weft doctor`',
    answers: { 200: s.about },
  },
  resumeAll: {
    method: 'POST',
    path: '/resume',
    role: 'admin',
    summary: 'Let every process go on that was started with WEFT_START_PAUSED; paused runs stay paused',
    answers: { 200: s.resumedAll },
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
