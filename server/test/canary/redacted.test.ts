import { expect, test } from 'vitest'
import { canaryPlaces } from './canary.ts'

test('a secret that a run uses is nowhere: not in the database, the files, logs, live messages, API or CLI', async () => {
  expect(await canaryPlaces()).toEqual([])
})
