import { expect, test } from 'vitest'
import { Batch } from '../../src/coordinator/batch.ts'
import { type Entry, newSlot } from '../../src/coordinator/slot.ts'

const entryOf = (runId: string): Entry => ({
  slot: newSlot(runId),
  items: [],
  firstSeq: 2,
  events: [],
  effects: [],
  recheck: [],
  verdicts: [],
  messagesRefused: [],
  opened: [],
  closed: [],
  blobs: [],
  graphs: [],
  report: null,
  append: null,
})

const ids = (entries: readonly Entry[]): string[] => entries.map(({ slot }) => slot.runId)

test('a run over which the session broke three times alone is blamed; its neighbours of the first time are not', () => {
  const batch = new Batch()
  const gather = (...runIds: string[]): void => {
    for (const runId of runIds) batch.add(entryOf(runId))
  }
  gather('poison', 'good')
  batch.lost(batch.take().entries)
  for (let loss = 1; loss <= 3; loss++) {
    gather('poison', 'good')
    const alone = batch.take()
    expect(ids(alone.entries)).toEqual(['poison'])
    batch.lost(alone.entries)
    batch.clear()
  }
  gather('poison', 'good', 'other')
  const blamed = batch.take()
  expect(ids(blamed.blamed)).toEqual(['poison'])
  // The neighbour of the first loss is tried alone once, then it is like any other.
  expect(ids(blamed.entries)).toEqual(['good'])
  for (const entry of blamed.entries) batch.committed(entry)
  gather('good')
  expect(ids(batch.take().entries)).toEqual(['other', 'good'])
})
