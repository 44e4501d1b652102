/** Whether what clients have seen is the log: every event, once, in order, with all that stands in it. */
import { isDeepStrictEqual } from 'node:util'
import pg from 'pg'
import type { Follower, SeenEvent } from './followers.ts'

export type Logs = ReadonlyMap<string, readonly SeenEvent[]>

export async function readLogs(databaseUrl: string): Promise<Logs> {
  const database = new pg.Client({ connectionString: databaseUrl })
  await database.connect()
  try {
    const { rows } = await database.query<{ run_id: string; seq: number; data: object }>(
      'select run_id, seq, data from run_events order by run_id, seq',
    )
    const logs = new Map<string, SeenEvent[]>()
    for (const { run_id, seq, data } of rows) {
      const log = logs.get(run_id) ?? []
      log.push({ seq, ...data })
      logs.set(run_id, log)
    }
    return logs
  } finally {
    await database.end()
  }
}

/** The first place at which a follower's list is not the log, for every run it followed. */
export function differences(follower: Pick<Follower, 'name' | 'seen'>, logs: Logs): string[] {
  const problems: string[] = []
  for (const [runId, seen] of follower.seen) {
    const log = logs.get(runId) ?? []
    for (let index = 0; index < Math.max(seen.length, log.length); index++) {
      if (isDeepStrictEqual(seen[index], log[index])) continue
      const has = seen[index] === undefined ? 'nothing' : `event ${seen[index]?.seq} (${seen[index]?.type})`
      const should = log[index] === undefined ? 'nothing' : `event ${log[index]?.seq} (${log[index]?.type})`
      problems.push(
        `${follower.name} has ${has} in place ${index + 1} of run ${runId}, and the log ${should}`,
      )
      break
    }
  }
  return problems
}
