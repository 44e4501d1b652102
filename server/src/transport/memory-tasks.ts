/**
 * The task lane in memory: a queue per node type, the leases of what is taken, and the set of halted runs.
 *
 * Invariants
 * 1. A task id is held once: queued, or taken by one worker (R5).
 * 2. Every change is one synchronous step, so that a signal and the end of its task are both there or neither.
 * 3. `leases` is ordered by expiry, because every lease is equally long: reaping costs what has run out.
 */
import type { Task } from '@weft/engine'
import type { Clock } from '../clock.ts'
import { type Linked, LinkedList } from './linked-list.ts'
import type { LiveLane, SignalEnvelope, TakenTask, TaskLane } from './transport.ts'
import { Waiters } from './waiters.ts'

interface Held extends Linked {
  readonly task: Task
  readonly queuedAt: number
  deliveries: number
  /** Who has taken it; `null` while it is queued. */
  worker: string | null
  leaseEndsAt: number
  /** The run was halted with `abort` while this was taken. */
  abort: boolean
}

interface Queue {
  readonly waiting: LinkedList<Held>
  active: number
}

interface Halt {
  readonly abort: boolean
  readonly at: number
}

/**
 * A halt stops what the engine had already sent when it decided to stop. It is kept while the lane holds a task of the
 * run, and for this long after: many runs that fail at once must not leave their ids here.
 */
const HALT_KEPT_MS = 60_000
/** How long the lane knows that a task was reported lost, so that a worker that comes back is told to abort it. */
const LOST_KEPT_MS = 5 * 60_000
/** How long it knows who reported a task. */
const REPORTED_KEPT_MS = 5 * 60_000
/** As long as whoever asked may need to publish it. */
const MISSED_KEPT_MS = 60_000

export interface MemoryTasks extends TaskLane {
  close(): void
}

export function memoryTasks(lane: {
  readonly clock: Clock
  readonly leaseMs: number
  readonly signals: { put(signals: readonly SignalEnvelope[]): void }
  readonly live: LiveLane
}): MemoryTasks {
  const { clock, leaseMs, signals, live } = lane
  const held = new Map<string, Held>()
  const byRun = new Map<string, Set<Held>>()
  const queues = new Map<string, Queue>()
  const leases = new LinkedList<Held>()
  const halts = new Map<string, Halt>()
  const lost = new Map<string, { readonly at: number }>()
  const reported = new Map<string, { readonly by: string; readonly at: number }>()
  /** Tasks that were asked for and not held: when, and whether they were reported since. */
  const missed = new Map<string, { readonly at: number; readonly isReported: boolean }>()
  const waiters = new Waiters<TakenTask>()
  let reapedAt = clock.monotonic()

  function queueOf(type: string): Queue {
    let queue = queues.get(type)
    if (queue === undefined) {
      queue = { waiting: new LinkedList(), active: 0 }
      queues.set(type, queue)
    }
    return queue
  }

  function hold(task: Task): Held {
    const entry: Held = {
      task,
      queuedAt: clock.monotonic(),
      deliveries: 0,
      worker: null,
      leaseEndsAt: 0,
      abort: false,
      previous: null,
      next: null,
    }
    held.set(task.id, entry)
    const ofRun = byRun.get(task.runId)
    if (ofRun === undefined) byRun.set(task.runId, new Set([entry]))
    else ofRun.add(entry)
    return entry
  }

  function lease(entry: Held, worker: string): void {
    entry.worker = worker
    entry.leaseEndsAt = clock.monotonic() + leaseMs
    leases.append(entry)
    queueOf(entry.task.type).active++
  }

  function unlease(entry: Held): void {
    entry.worker = null
    leases.remove(entry)
    queueOf(entry.task.type).active--
  }

  function forget(entry: Held): void {
    if (entry.worker === null) queueOf(entry.task.type).waiting.remove(entry)
    else unlease(entry)
    held.delete(entry.task.id)
    const ofRun = byRun.get(entry.task.runId)!
    ofRun.delete(entry)
    if (ofRun.size === 0) byRun.delete(entry.task.runId)
  }

  function collect(worker: string, capacity: ReadonlyMap<string, number>): TakenTask[] {
    const taken: TakenTask[] = []
    for (const [type, limit] of capacity) {
      const queue = queues.get(type)
      if (queue === undefined) continue
      for (let free = limit; free > 0; free--) {
        const entry = queue.waiting.shift()
        if (entry === null) break
        entry.deliveries++
        lease(entry, worker)
        taken.push({ task: entry.task, deliveries: entry.deliveries })
      }
    }
    return taken
  }

  function forgetOld(now: number): void {
    for (const [runId, halt] of halts) {
      if (now - halt.at < HALT_KEPT_MS) break
      halts.delete(runId)
      if (byRun.has(runId)) halts.set(runId, { ...halt, at: now })
    }
    forgetBefore(lost, now - LOST_KEPT_MS)
    forgetBefore(reported, now - REPORTED_KEPT_MS)
    forgetBefore(missed, now - MISSED_KEPT_MS)
  }

  return {
    async publish(tasks) {
      const dropped: SignalEnvelope[] = []
      for (const task of tasks) {
        if (held.has(task.id) || missed.get(task.id)?.isReported) continue
        lost.delete(task.id)
        if (halts.has(task.runId)) dropped.push(outcome(task, 'dropped'))
        else queueOf(task.type).waiting.append(hold(task))
      }
      signals.put(dropped)
      waiters.wake()
    },

    take: (worker, capacity, signal) => waiters.wait(() => collect(worker, capacity), signal),

    async heartbeat(worker, tasks) {
      const abort: string[] = []
      const gone: string[] = []
      for (const task of tasks) {
        let entry = held.get(task.id)
        if (lost.has(task.id) || (entry !== undefined && entry.worker !== null && entry.worker !== worker)) {
          gone.push(task.id)
          continue
        }
        if (entry === undefined) entry = hold(task)
        else if (entry.worker === null) queueOf(task.type).waiting.remove(entry)
        else unlease(entry)
        lease(entry, worker)
        if (entry.abort || halts.get(task.runId)?.abort) abort.push(task.id)
      }
      return { abort, lost: gone }
    },

    async report(worker, results) {
      const wanted = results.filter(({ taskId }) => {
        const owner = held.get(taskId)?.worker ?? worker
        return owner === worker
      })
      for (const { taskId, mayRepeat } of wanted) {
        const entry = held.get(taskId)
        if (entry !== undefined) forget(entry)
        const miss = missed.get(taskId)
        if (miss !== undefined) missed.set(taskId, { ...miss, isReported: true })
        if (!mayRepeat) continue
        reported.delete(taskId)
        reported.set(taskId, { by: worker, at: clock.monotonic() })
      }
      signals.put(wanted)
    },

    async reportedBy(taskId) {
      return reported.get(taskId)?.by ?? null
    },

    async handBack(taskIds) {
      // Last first, so that they stand in front in the order in which they were taken.
      for (const taskId of [...taskIds].reverse()) {
        const entry = held.get(taskId)
        if (entry === undefined || entry.worker === null) continue
        if (halts.has(entry.task.runId)) {
          forget(entry)
          signals.put([outcome(entry.task, 'dropped')])
        } else {
          unlease(entry)
          queueOf(entry.task.type).waiting.prepend(entry)
        }
      }
      waiters.wake()
    },

    async halt(runId, abort) {
      const known = halts.get(runId)
      halts.delete(runId)
      halts.set(runId, { abort: abort || known?.abort === true, at: clock.monotonic() })
      const dropped: SignalEnvelope[] = []
      for (const entry of byRun.get(runId) ?? []) {
        if (entry.worker !== null) entry.abort ||= abort
        else {
          forget(entry)
          dropped.push(outcome(entry.task, 'dropped'))
        }
      }
      signals.put(dropped)
      // The heartbeat's answer carries the abort (R11); this only makes it quicker.
      if (abort) live.publish([{ kind: 'halted', runId }])
    },

    async unhalt(runId) {
      halts.delete(runId)
    },

    async reap() {
      const now = clock.monotonic()
      // After a pause of the whole process (SIGSTOP, a starved machine) leases ran out that nobody could prolong: the
      // workers get one more turn to do so.
      const paused = now - reapedAt > leaseMs / 2
      reapedAt = now
      if (paused) return
      const gone: SignalEnvelope[] = []
      for (let entry = leases.first; entry !== null && entry.leaseEndsAt <= now; entry = leases.first) {
        forget(entry)
        lost.set(entry.task.id, { at: now })
        gone.push(outcome(entry.task, 'lost'))
      }
      signals.put(gone)
      forgetOld(now)
    },

    async held(worker, taskIds) {
      return taskIds.flatMap((taskId) => {
        const entry = held.get(taskId)
        return entry !== undefined && entry.worker === worker ? [entry.task] : []
      })
    },

    async missing(taskIds) {
      const at = clock.monotonic()
      const ids = taskIds.filter((taskId) => !held.has(taskId))
      for (const taskId of ids) {
        if (missed.get(taskId)?.isReported) continue
        missed.delete(taskId)
        missed.set(taskId, { at, isReported: false })
      }
      return ids
    },

    async inspect(taskIds) {
      const found = new Map<string, 'queued' | 'taken'>()
      for (const taskId of taskIds) {
        const entry = held.get(taskId)
        if (entry !== undefined) found.set(taskId, entry.worker === null ? 'queued' : 'taken')
      }
      return found
    },

    async depth() {
      const now = clock.monotonic()
      return [...queues].map(([type, { waiting, active }]) => ({
        type,
        waiting: waiting.size,
        active,
        oldestAgeMs: waiting.first === null ? 0 : Math.max(0, now - waiting.first.queuedAt),
      }))
    },

    close: () => waiters.dismiss(),
  }
}

/** What a map that keeps the order of its entries' times knows from this time or earlier. */
function forgetBefore(known: Map<string, { readonly at: number }>, time: number): void {
  for (const [taskId, { at }] of known) {
    if (at > time) break
    known.delete(taskId)
  }
}

/** What becomes of a task that nobody will report. */
const outcome = (task: Task, kind: 'lost' | 'dropped'): SignalEnvelope => ({
  runId: task.runId,
  signal: { kind, key: task.key, round: task.round, attempt: task.attempt },
})
