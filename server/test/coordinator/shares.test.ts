/** Everybody who sees the same list comes to shares that fit together, and nothing moves without need (R4). */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { planShares, SILENT_MS } from '../../src/coordinator/shares.ts'
import type { CoordinatorRow } from '../../src/store/store.ts'
import { PARTITIONS } from '../../src/transport/transport.ts'

const member = (id: string, partitions: readonly number[], changes: Partial<CoordinatorRow> = {}) => ({
  id,
  name: id,
  partitions,
  leaving: false,
  startedAt: 1,
  silentMs: 0,
  ...changes,
})

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, n) => from + n)

const ofMember = (rows: readonly CoordinatorRow[], id: string) =>
  planShares(id, new Set(rows.find((row) => row.id === id)?.partitions), rows)

/** Everybody plans on the same list, and does what the plan says. */
function turn(rows: readonly CoordinatorRow[]): CoordinatorRow[] {
  const plans = rows.map((row) => ofMember(rows, row.id as string))
  const claimed = plans.flatMap(({ claim }) => claim)
  expect(new Set(claimed).size, 'nobody reaches for what another one claims').toBe(claimed.length)
  return rows.map((row, index) => {
    const { claim, giveUp } = plans[index]!
    return { ...row, partitions: [...row.partitions.filter((number) => !giveUp.includes(number)), ...claim] }
  })
}

/** Partitions that nobody owns, or one of so many members. */
const someOwners = fc.integer({ min: 1, max: 20 }).chain((members) =>
  fc
    .array(fc.integer({ min: -1, max: members - 1 }), { minLength: PARTITIONS, maxLength: PARTITIONS })
    .map((owners): CoordinatorRow[] =>
      range(0, members).map((number) =>
        member(
          `m${number}`,
          range(0, PARTITIONS).filter((partition) => owners[partition] === number),
          { startedAt: members - number },
        ),
      ),
    ),
)

describe('shares of the partitions', () => {
  test('are even after two turns, from wherever they were, and stay as they are then', () => {
    fc.assert(
      fc.property(someOwners, (rows) => {
        const even = turn(turn(rows))
        const sizes = even.map(({ partitions }) => partitions.length)
        expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(PARTITIONS)
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
        expect(turn(even)).toEqual(even)
      }),
    )
  })

  test('keep what they have when one more comes, but for what it is short of', () => {
    const before = [member('a', range(0, 8)), member('b', range(8, 16), { startedAt: 2 })]
    const after = turn([...before, member('c', [], { startedAt: 3 })])
    expect(after.map(({ partitions }) => partitions.length)).toEqual([6, 5, 0])
    for (const [index, { partitions }] of before.entries())
      expect(partitions).toEqual(expect.arrayContaining([...after[index]!.partitions]))
  })

  test('one who leaves counts no more, and what it still holds is nobody else’s yet', () => {
    const rows = [member('a', range(0, 8)), member('b', range(8, 16), { leaving: true })]
    expect(ofMember(rows, 'a')).toMatchObject({ claim: [], giveUp: [] })
    expect(ofMember([rows[0]!, member('b', [], { leaving: true })], 'a').claim).toEqual(range(8, 16))
  })

  test('one who is silent for too long is named, and counts no more', () => {
    const silent = member('b', range(8, 16), { silentMs: SILENT_MS })
    expect(ofMember([member('a', range(0, 8)), silent], 'a')).toMatchObject({ silent: ['b'], giveUp: [] })
    const almost = { ...silent, silentMs: SILENT_MS - 1 }
    expect(ofMember([member('a', range(0, 8)), almost], 'a').silent).toEqual([])
  })

  test('a session that owns partitions without sharing them is no member', () => {
    const stranger = { ...member('', range(0, 16)), id: null, name: 'weft of old' }
    expect(ofMember([member('a', []), stranger], 'a')).toEqual({
      claim: [],
      giveUp: [],
      silent: [],
      stranger,
    })
  })
})
