/** Submits share commits without waiting for one another (R10). */
import { describe, expect, it } from 'vitest'
import { groupCommit } from '../../src/store/group-commit.ts'
import { failureOf } from '../suites/store-fixture.ts'

/** Commits that end when the test says so. */
function heldCommits(settings: { rowsPerCommit: number; commitsInFlight: number }) {
  const started: {
    rows: readonly number[]
    end(outcomes?: readonly (string | Error)[]): void
    fail(error: Error): void
  }[] = []
  const group = groupCommit<number, string>({
    ...settings,
    commit: (rows) =>
      new Promise((resolve, reject) => {
        started.push({
          rows,
          end: (outcomes = rows.map((row) => `done ${row}`)) => resolve(outcomes),
          fail: reject,
        })
      }),
  })
  return { group, started }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('group commit', () => {
  it('commits a single row at once', async () => {
    const { group, started } = heldCommits({ rowsPerCommit: 10, commitsInFlight: 1 })
    const added = group.add(1)
    await turn()
    expect(started.map((commit) => commit.rows)).toEqual([[1]])
    started[0]?.end()
    expect(await added).toBe('done 1')
  })

  it('commits rows of one turn together, and gathers the next batch while one is in flight', async () => {
    const { group, started } = heldCommits({ rowsPerCommit: 10, commitsInFlight: 1 })
    const first = [group.add(1), group.add(2)]
    await turn()
    const second = [group.add(3), group.add(4)]
    await turn()
    expect(started.map((commit) => commit.rows)).toEqual([[1, 2]])
    started[0]?.end()
    expect(await Promise.all(first)).toEqual(['done 1', 'done 2'])
    await turn()
    expect(started.map((commit) => commit.rows)).toEqual([
      [1, 2],
      [3, 4],
    ])
    started[1]?.end()
    expect(await Promise.all(second)).toEqual(['done 3', 'done 4'])
  })

  it('keeps to the size of a batch and the number in flight, and drops no row', async () => {
    const { group, started } = heldCommits({ rowsPerCommit: 2, commitsInFlight: 2 })
    const added: Promise<string>[] = []
    for (let row = 1; row <= 5; row++) {
      added.push(group.add(row))
      await turn()
    }
    expect(started.map((commit) => commit.rows)).toEqual([[1], [2]])
    started[0]?.end()
    await turn()
    expect(started.map((commit) => commit.rows)).toEqual([[1], [2], [3, 4]])
    started[1]?.end()
    await turn()
    started[2]?.end()
    started[3]?.end()
    expect(await Promise.all(added)).toEqual(['done 1', 'done 2', 'done 3', 'done 4', 'done 5'])
  })

  it('fails the rows of a failed commit, one refused row alone, and goes on', async () => {
    const { group, started } = heldCommits({ rowsPerCommit: 10, commitsInFlight: 1 })
    const failed = group.add(1)
    await turn()
    const [good, bad] = [group.add(2), group.add(3)]
    started[0]?.fail(new Error('no database'))
    expect((await failureOf(failed)).message).toBe('no database')
    await turn()
    started[1]?.end(['done 2', new Error('refused')])
    expect(await good).toBe('done 2')
    expect((await failureOf(bad)).message).toBe('refused')
  })
})
