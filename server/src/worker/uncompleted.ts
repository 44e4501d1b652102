/**
 * Tasks that may have been performed already, held against the log before they begin: those that were published more than
 * once (the second publish may have come behind the report of the first), and those that were taken before this process
 * stood still. One whose completion is committed is not begun: no call begins after its step's completion was.
 */
import type { Task } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'
import type { TaskLane } from '../transport/transport.ts'
import { persistently } from './blobs.ts'

export interface UncompletedParts {
  readonly worker: string
  readonly store: Pick<Store, 'records'>
  readonly tasks: TaskLane
  readonly clock: Clock
  readonly log: Log
}

/** Those that are to be performed. The lane is told to forget the others; what could not be asked is left to its lease. */
export async function uncompleted(parts: UncompletedParts, taken: readonly Task[]): Promise<readonly Task[]> {
  const { worker, store, tasks, clock, log } = parts
  const completed: Task[] = []
  const open: Task[] = []
  await Promise.all(
    taken.map(async (task) => {
      try {
        const completion = await persistently(clock, () => store.records.completion(task))
        if (completion !== null) completed.push(task)
        else open.push(task)
      } catch (error) {
        log.warn(
          { error, runId: task.runId, stepKey: task.key },
          'it could not be asked whether a task was done before; it is left to its lease',
        )
      }
    }),
  )
  if (completed.length === 0) return open
  const ends = completed.map(({ id: taskId, runId, key, round, attempt }) => {
    return { taskId, runId, signal: { kind: 'dropped', key, round, attempt } } as const
  })
  tasks.report(worker, ends).catch((error: unknown) => {
    log.warn(
      { error },
      'tasks that were done before could not be taken out of the lane; their lease ends by itself',
    )
  })
  return open
}
