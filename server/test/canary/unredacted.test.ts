/** The search itself: without redaction it finds the secret wherever a run could leave it. */
import { expect, test, vi } from 'vitest'
import type * as redaction from '../../src/worker/redaction.ts'
import { isOnRedis } from '../stack.ts'
import { canaryPlaces } from './canary.ts'

vi.mock('../../src/worker/redaction.ts', async (original) => ({
  ...(await original<typeof redaction>()),
  redactKnown: (text: string) => text,
  redactText: (text: string) => text,
  redactBytes: (bytes: Uint8Array) => bytes,
}))

test('the same search without redaction finds the secret in ten places and more', async () => {
  const places = await canaryPlaces()
  expect(places.length).toBeGreaterThanOrEqual(10)
  // A given database keeps its files elsewhere than in the data directory.
  const kinds = ['log', 'live', 'api', 'cli', 'database', ...(isOnRedis ? [] : ['file'])]
  for (const kind of kinds)
    expect([kind, places.some((place) => place.startsWith(kind))]).toEqual([kind, true])
})
