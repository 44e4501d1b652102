/**
 * Group commit without a timer (R10): when idle, a batch of one commits at once; while commits are in flight, the next
 * batch gathers. Reads of single rows are grouped by the same rule.
 */

export interface GroupCommit<Row, Outcome> {
  /** Resolves with the row's outcome once its batch is committed. */
  add(row: Row): Promise<Outcome>
}

interface Waiting<Row, Outcome> {
  readonly row: Row
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (error: unknown) => void
}

export function groupCommit<Row, Outcome>(settings: {
  /** Commits the rows; outcomes in the same order, an `Error` for a row that was refused. */
  readonly commit: (rows: readonly Row[]) => Promise<readonly (Outcome | Error)[]>
  readonly rowsPerCommit: number
  readonly commitsInFlight: number
}): GroupCommit<Row, Outcome> {
  let waiting: Waiting<Row, Outcome>[] = []
  let inFlight = 0
  let scheduled = false

  async function commitNext(): Promise<void> {
    const batch = waiting.slice(0, settings.rowsPerCommit)
    waiting = waiting.slice(settings.rowsPerCommit)
    inFlight++
    try {
      const outcomes = await settings.commit(batch.map(({ row }) => row))
      for (const [index, { resolve, reject }] of batch.entries()) {
        const outcome = outcomes[index] as Outcome | Error
        if (outcome instanceof Error) reject(outcome)
        else resolve(outcome)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      inFlight--
      start()
    }
  }

  /** In a microtask, so that rows added in the same turn share a commit. */
  function start(): void {
    scheduled = false
    if (waiting.length > 0 && inFlight < settings.commitsInFlight) void commitNext()
  }

  return {
    add(row) {
      return new Promise((resolve, reject) => {
        waiting.push({ row, resolve, reject })
        if (scheduled) return
        scheduled = true
        queueMicrotask(start)
      })
    },
  }
}
