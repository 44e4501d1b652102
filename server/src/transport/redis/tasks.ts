/**
 * The task lane on Redis: per type a queue ordered by the time of the publish, the leases of what is taken by the
 * server's clock, and the set of halted runs (scripts/prelude.lua lists the keys).
 *
 * Invariants
 * 1. A task id is held once: queued, or taken by one worker (R5). Every change is one script.
 * 2. What a call of `take` took and could not bring home is given back before the next one (R7: no attempt is lost by
 *    a connection).
 */
import type { Task } from '@weft/engine'
import type { Clock } from '../../clock.ts'
import type {
  LaneDepth,
  LiveLane,
  TakenTask,
  TaskLane,
  TaskResult,
  TransportUnavailable,
} from '../transport.ts'
import { Gathering } from './gathering.ts'
import type { Keys } from './keys.ts'
import type { Link } from './link.ts'
import { Script } from './script.ts'
import { type Capacity, Taking } from './taking.ts'

/** As in memory: a halt is kept while the lane holds a task of the run, and for this long after. */
const HALT_KEPT_MS = 60_000
const LOST_KEPT_MS = 5 * 60_000
const REPORTED_KEPT_MS = 5 * 60_000
const MISSED_KEPT_MS = 60_000
/** Tasks in one script: some milliseconds of the server. */
const MAX_PER_CALL = 500

const PUBLISH = new Script('publish')
const TAKE = new Script('take')
const HEARTBEAT = new Script('heartbeat')
const REPORT = new Script('report')
const REPORTED_BY = new Script('reported-by')
const HAND_BACK = new Script('hand-back')
const RELEASE = new Script('release')
const HALT = new Script('halt')
const UNHALT = new Script('unhalt')
const REAP = new Script('reap')
const HELD = new Script('held')
const MISSING = new Script('missing')
const INSPECT = new Script('inspect')
const DEPTH = new Script('depth')

export interface RedisTasks extends TaskLane {
  /** A queue of this type may hold something; `null`: any may. */
  wake(type: string | null): void
  /** Ends every wait, and gives back what is at hand. */
  close(): Promise<void>
}

export function redisTasks(lane: {
  readonly link: Link
  readonly keys: Keys
  readonly clock: Clock
  readonly leaseMs: number
  readonly live: Pick<LiveLane, 'publish'>
}): RedisTasks {
  const { link, clock, leaseMs, live } = lane
  const { prefix } = lane.keys
  const run = (script: Script, args: readonly (string | number)[]): Promise<unknown> =>
    link.call((redis) => script.run(redis, [prefix, ...args]))

  const publishing = new Gathering<Task>((tasks) => {
    const published = run(
      PUBLISH,
      tasks.flatMap((task) => [task.type, task.id, JSON.stringify(task)]),
    )
    // Who waits in this process need not wait for the channel: what it sends now is read right after the publish.
    for (const type of new Set(tasks.map((task) => task.type))) taking.wake(type)
    return published
  }, MAX_PER_CALL)
  const reporting = new Gathering<TaskResult & { readonly worker: string }>(
    (results) =>
      run(REPORT, [
        REPORTED_KEPT_MS,
        ...results.flatMap(({ worker, taskId, runId, signal, mayRepeat }) => [
          worker,
          taskId,
          runId,
          JSON.stringify(signal),
          mayRepeat ? '1' : '',
        ]),
      ]),
    MAX_PER_CALL,
  )
  /** Tokens of takes whose answer never came; see 2. */
  let unconfirmed: string[] = []
  const process = clock.token(6)
  let takes = 0

  async function takeNow(worker: string, capacity: Capacity): Promise<TakenTask[]> {
    if (unconfirmed.length > 0) {
      const tokens = unconfirmed
      await run(RELEASE, tokens)
      unconfirmed = unconfirmed.filter((token) => !tokens.includes(token))
    }
    const token = `${process}.${++takes}`
    try {
      const answer = (await run(TAKE, [worker, token, leaseMs, ...[...capacity].flat()])) as (
        | string
        | number
      )[]
      const taken: TakenTask[] = []
      for (let at = 0; at < answer.length; at += 2) {
        taken.push({ task: JSON.parse(answer[at + 1] as string) as Task, deliveries: Number(answer[at]) })
      }
      return taken
    } catch (error) {
      unconfirmed.push(token)
      throw error as TransportUnavailable
    }
  }

  const handBack = async (taskIds: readonly string[]): Promise<void> => {
    if (taskIds.length > 0) await run(HAND_BACK, taskIds)
  }

  const taking = new Taking({ clock, take: takeNow, handBack })

  return {
    wake: (type) => taking.wake(type),
    publish: (tasks) => publishing.add(tasks),

    take: (worker, capacity, signal) => taking.next(worker, capacity, signal),

    async heartbeat(worker, tasks) {
      const beat = async (args: readonly string[]) =>
        (await run(HEARTBEAT, [worker, leaseMs, ...args])) as [string[], string[], string[]]
      const abort: string[] = []
      const lost: string[] = []
      for (let from = 0; from < tasks.length; from += MAX_PER_CALL) {
        const portion = tasks.slice(from, from + MAX_PER_CALL)
        const [abortNow, lostNow, unknown] = await beat(portion.flatMap(({ id, type }) => [id, type, '']))
        abort.push(...abortNow)
        lost.push(...lostNow)
        if (unknown.length === 0) continue
        const forgotten = new Set(unknown)
        const [abortToo, lostToo] = await beat(
          portion
            .filter(({ id }) => forgotten.has(id))
            .flatMap((task) => [task.id, task.type, JSON.stringify(task)]),
        )
        abort.push(...abortToo)
        lost.push(...lostToo)
      }
      return { abort, lost }
    },

    report: (worker, results) => reporting.add(results.map((result) => ({ ...result, worker }))),
    reportedBy: async (taskId) => (await run(REPORTED_BY, [taskId])) as string | null,

    handBack,

    async halt(runId, abort) {
      await run(HALT, [runId, abort ? '1' : '0', HALT_KEPT_MS])
      // The heartbeat's answer carries the abort (R11); this only makes it quicker.
      if (abort) live.publish([{ kind: 'halted', runId }])
    },

    async unhalt(runId) {
      await run(UNHALT, [runId])
    },

    async reap() {
      while ((await run(REAP, [leaseMs, LOST_KEPT_MS, HALT_KEPT_MS, MAX_PER_CALL])) === MAX_PER_CALL);
    },

    async held(worker, taskIds) {
      if (taskIds.length === 0) return []
      const answer = (await run(HELD, [worker, ...taskIds])) as string[]
      return answer.map((json) => JSON.parse(json) as Task)
    },

    async missing(taskIds) {
      if (taskIds.length === 0) return []
      // What this process has published is not missing because it is still on its way.
      await publishing.settled()
      return (await run(MISSING, [MISSED_KEPT_MS, ...taskIds])) as string[]
    },

    async inspect(taskIds) {
      const found = new Map<string, 'queued' | 'taken'>()
      if (taskIds.length === 0) return found
      await publishing.settled()
      const answer = (await run(INSPECT, taskIds)) as number[]
      for (const [index, state] of answer.entries()) {
        if (state > 0) found.set(taskIds[index] as string, state === 1 ? 'queued' : 'taken')
      }
      return found
    },

    async depth() {
      const answer = (await run(DEPTH, [])) as (string | number)[]
      const depths: LaneDepth[] = []
      for (let at = 0; at < answer.length; at += 4) {
        const [type, waits, active, age] = answer.slice(at, at + 4)
        depths.push({
          type: String(type),
          waiting: Number(waits),
          active: Number(active),
          oldestAgeMs: Number(age),
        })
      }
      return depths.sort((a, b) => (a.type < b.type ? -1 : 1))
    },

    close: () => taking.close(),
  }
}
