/**
 * Idempotency keys: the same key with the same body is the same request, with another body a mistake. Keys are unique
 * per workspace and route and hold for 7 days. (A submit carries its key into the statement that begins the run.)
 */
import { createHash } from 'node:crypto'
import { canonicalJson, type Json, normalise } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { Store } from '../store/store.ts'
import { ApiError } from './errors.ts'

export function bodyHash(body: unknown): string {
  const plain = normalise(body ?? null)
  return createHash('sha256')
    .update(canonicalJson(plain.ok ? plain.value : null))
    .digest('hex')
}

export const keyReused = (key: string, route: string): ApiError =>
  ApiError.of(
    'idempotency_key_reused',
    `The idempotency key \`${key}\` came with another body to ${route} within the last 7 days. Use a new key for a new request, or send the first body again.`,
  )

export interface KeyedRequest {
  readonly workspace: string
  readonly route: string
  readonly key: string
  readonly body: unknown
}

/** The answer that was given to this key before, or `undefined`. */
export async function recall(
  store: Pick<Store, 'idempotency'>,
  request: KeyedRequest,
): Promise<Json | undefined> {
  const { body, ...names } = request
  const known = await store.idempotency.recall({ ...names, bodyHash: bodyHash(body) })
  if (known.kind === 'key_reused') throw keyReused(request.key, request.route)
  return known.kind === 'exists' ? known.answer : undefined
}

/** Remembers an answer, or gives the one that another request with this key left first. */
export async function remember(
  store: Pick<Store, 'idempotency'>,
  clock: Pick<Clock, 'now'>,
  request: KeyedRequest,
  answer: Json,
): Promise<Json> {
  const { body, ...names } = request
  const outcome = await store.idempotency.remember({
    ...names,
    bodyHash: bodyHash(body),
    answer,
    at: clock.now(),
  })
  if (outcome.kind === 'key_reused') throw keyReused(request.key, request.route)
  return outcome.kind === 'exists' ? outcome.answer : answer
}
