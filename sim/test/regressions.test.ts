/**
 * Worlds that found something once. A seed means what it meant as long as worlds are made in the same way; each of these
 * bugs has a test of its own beside the code that was mended.
 */
import { expect, test } from 'vitest'
import { playWorld } from '../src/world.ts'

const FOUND: readonly { readonly seed: number; readonly what: string }[] = [
  { seed: 122, what: 'an owner that could not read what is due when it came back never swept again' },
  {
    seed: 225,
    what: 'a task was asked for while it was being published, and published once more after its end',
  },
  { seed: 229, what: 'a worker that had stood still began a task that somebody else had done meanwhile' },
  { seed: 5688, what: 'the same, after the transport had forgotten who did it' },
  {
    seed: 466,
    what: 'of two patches in one commit only the last graph was stored, and the run could not be read again',
  },
]

test.each(FOUND)('seed $seed: $what', async ({ seed }) => {
  const { violation } = await playWorld(seed)
  expect(violation).toBeNull()
})
