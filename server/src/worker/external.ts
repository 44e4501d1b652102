/**
 * Tasks in the hands of programs outside: claimed, resolved, kept alive by their heartbeats, and reported.
 *
 * Owns which program holds which task, their timeouts and what they may say. Does not own leases: the lane does, so a
 * program that is gone loses its task to the next attempt as a worker in this process would (R7).
 *
 * Invariants
 * 1. A task is reported once: by its program, by its timeout, or as `lost` by the lane.
 * 2. What is told about a task counts only while the lane says that the program still has it.
 * 3. A program gets no secret (R14); what it tells is normalised by the caller (R1) and bounded here.
 */
import {
  attemptOfTask,
  CONTROL_TYPES,
  checkAgainstSchema,
  type NodeTypeInfo,
  nearestName,
  type Task,
} from '@weft/engine'
import type { Clock } from '../clock.ts'
import {
  type ClaimedTask,
  type ExternalTasks,
  isAllowed,
  requireAllowed,
  type TaskName,
  TaskRefused,
} from '../external-tasks.ts'
import type { Log } from '../log.ts'
import { NodeError, nodeError } from '../nodes/errors.ts'
import type { NodeRegistry } from '../nodes/registry.ts'
import type { Store } from '../store/store.ts'
import type { Transport } from '../transport/transport.ts'
import { beginForGood } from './begin-for-good.ts'
import { persistently, workerBlobs } from './blobs.ts'
import { type ConfigurableType, configResolver } from './config.ts'
import { completed, failed } from './outcome.ts'
import { NO_SECRETS } from './redaction.ts'
import { uncompleted } from './uncompleted.ts'

export interface ExternalParts {
  readonly transport: Transport
  readonly store: Pick<Store, 'blobs' | 'records'>
  readonly registry: Pick<NodeRegistry, 'get'>
  readonly types: {
    current(): ReadonlyMap<string, NodeTypeInfo>
    add(types: readonly NodeTypeInfo[]): Promise<void>
  }
  readonly workspace: string
  /** Of the transport. */
  readonly leaseMs: number
  readonly clock: Clock
  readonly log: Log
}

interface Held {
  readonly task: Task
  readonly info: NodeTypeInfo
  readonly worker: string
  readonly startedAt: number
  /** Ends the timers of the task. */
  withdrawTimeout: () => void
  withdrawSilence: () => void
}

const MAX_TIMER_MS = 2 ** 31 - 1
/** A type counts as served for this long after a program asked for it. */
const SERVED_FOR_MS = 60_000

/** A program and a type that it asks for. */
interface Asking {
  /** Claims that wait now. */
  waiting: number
  lastAt: number
  /** Since it was last told who was heard. */
  isNews: boolean
}

export function createExternalTasks(parts: ExternalParts): ExternalTasks {
  const { transport, store, types, clock, leaseMs, workspace } = parts
  const { tasks, live } = transport
  const log = parts.log.child({ part: 'external workers' })
  const blobs = workerBlobs(store, clock)
  const configs = configResolver(blobs)
  const held = new Map<string, Held>()
  /** What each program asks for, by its name and then by type. */
  const asking = new Map<string, Map<string, Asking>>()

  function checkTypes(names: readonly string[]): void {
    const known = types.current()
    const own = [...known.values()].filter(({ type, kind }) => kind === 'task' && !parts.registry.get(type))
    for (const type of names) {
      if (parts.registry.get(type) !== undefined || known.get(type)?.kind === 'control')
        throw new TaskRefused(
          'node_type_taken',
          `Weft performs \`${type}\` itself, so its tasks cannot be claimed. Claim types that were registered with POST /node-types.`,
        )
      if (known.has(type)) continue
      const nearest = nearestName(
        type,
        own.map((info) => info.type),
      )
      throw new TaskRefused(
        'unknown_node_type',
        `Nobody has registered the node type \`${type}\`.${nearest === undefined ? '' : ` Did you mean \`${nearest}\`?`} Register it with POST /node-types, then claim again.`,
      )
    }
  }

  function drop(entry: Held): void {
    entry.withdrawTimeout()
    entry.withdrawSilence()
    held.delete(entry.task.id)
  }

  /** After twice the lease the lane has long given the task away; this only frees the memory. */
  function heard(entry: Held): void {
    entry.withdrawSilence()
    entry.withdrawSilence = clock.after(leaseMs * 2, () => drop(entry))
  }

  function startTimeout(entry: Held, leftMs: number): void {
    const portionMs = Math.min(leftMs, MAX_TIMER_MS)
    entry.withdrawTimeout = clock.after(portionMs, () => {
      if (leftMs > portionMs) startTimeout(entry, leftMs - portionMs)
      else
        timeOut(entry).catch((error) =>
          log.warn({ error, task: entry.task.id }, 'a timeout could not be reported'),
        )
    })
  }

  async function timeOut(entry: Held): Promise<void> {
    const { id, key, type, timeoutMs } = entry.task
    // It may have been reported at another process.
    if ((await tasks.held(entry.worker, [id])).length === 0) {
      drop(entry)
      return
    }
    const sentence = `\`${key}\` (${type}) did not end within ${timeoutMs} ms. Give the step a longer \`timeout\` if it needs more time.`
    await fail(entry, nodeError('timeout', sentence))
  }

  async function fail(entry: Held, thrown: unknown, mayRepeat = false): Promise<void> {
    await report(entry, failed(entry, thrown, NO_SECRETS), mayRepeat)
    drop(entry)
  }

  /** `mayRepeat`: the program reports it itself, and may do so again when the answer is lost. */
  const report = (
    { worker, task: { id, runId } }: Held,
    signal: ReturnType<typeof failed> | Awaited<ReturnType<typeof completed>>,
    mayRepeat = false,
  ) => tasks.report(worker, [{ taskId: id, runId, signal, mayRepeat }])

  /**
   * Whether this program has reported the task, here or at another process: the lane knows it for a while, and the log
   * what was completed before the lane was emptied, or this process started again.
   */
  async function hasReported({ worker, task: taskId }: TaskName): Promise<boolean> {
    const attempt = attemptOfTask(taskId)
    if (attempt === null) return false
    if ((await tasks.reportedBy(taskId)) === worker) return true
    const completion = await persistently(clock, () => store.records.completion(attempt))
    return completion?.attempt === attempt.attempt && completion.worker === worker
  }

  /** The task as this process knows it, or as the lane does: a program may claim it at one API and report it at another. */
  async function entryOf(worker: string, taskId: string): Promise<Held | null> {
    await adopt(worker, [taskId])
    const entry = held.get(taskId)
    return entry !== undefined && entry.worker === worker ? entry : null
  }

  /** Looks after tasks from here on that the program claimed at another process. */
  async function adopt(worker: string, taskIds: readonly string[]): Promise<void> {
    const unknown = taskIds.filter((id) => !held.has(id))
    if (unknown.length === 0) return
    for (const task of await tasks.held(worker, unknown)) {
      const info = types.current().get(task.type)
      // A program cannot hold what Weft performs itself, whatever name it gives itself.
      if (info === undefined || task.workspace !== workspace || parts.registry.get(task.type) !== undefined)
        continue
      if (!held.has(task.id)) hold(newEntry(worker, task, info))
    }
  }

  const newEntry = (worker: string, task: Task, info: NodeTypeInfo): Held => ({
    task,
    worker,
    startedAt: clock.now(),
    info,
    withdrawTimeout: () => {},
    withdrawSilence: () => {},
  })

  function hold(entry: Held): void {
    held.set(entry.task.id, entry)
    heard(entry)
    if (entry.task.timeoutMs !== null) startTimeout(entry, entry.task.timeoutMs)
  }

  /** The task, if the lane agrees that this program has it. Nothing when the program has reported it before. */
  async function find(name: TaskName): Promise<Held | null> {
    const { worker, task: taskId } = name
    const entry = await entryOf(worker, taskId)
    if (entry !== null) {
      requireAllowed([entry.task.type], name)
      const { lost } = await tasks.heartbeat(worker, [entry.task])
      if (lost.length === 0 && held.get(taskId) === entry) return entry
      if (lost.length > 0) drop(entry)
    }
    if (await hasReported(name)) return null
    throw new TaskRefused(
      'task_lost',
      `This worker does not hold the task \`${taskId}\`: it has timed out, its heartbeats stayed away for ${leaseMs} ms, its run has ended, or another worker claimed it. Stop working on it, and claim the next one.`,
    )
  }

  async function findOpen(name: TaskName): Promise<Held> {
    const entry = await find(name)
    if (entry !== null) return entry
    throw new TaskRefused('task_lost', `The task \`${name.task}\` was reported before. Claim the next one.`)
  }

  /** `null` when the attempt has failed before it began; that was reported. */
  async function begin(worker: string, task: Task): Promise<ClaimedTask | null> {
    const info = types.current().get(task.type)
    const entry = newEntry(worker, task, info as NodeTypeInfo)
    try {
      if (task.workspace !== workspace || info === undefined)
        throw nodeError(
          'invalid_config',
          `The node type \`${task.type}\` belongs to the workspace \`${workspace}\`, and no worker performs it for another one.`,
        )
      const config = (await configs.resolve(task, typeOf(info), clock.now())) as ClaimedTask['config']
      if (info.effect === 'irreversible') await beginForGood(task, entry.startedAt, { store, clock })
      hold(entry)
      const { id, type, runId, workspace: _, workflow, key, round, attempt, credentials, timeoutMs } = task
      live.publish([
        { kind: 'attempt', runId, workspace, key, attempt, state: 'started', at: entry.startedAt },
      ])
      const idempotencyKey = `${runId}/${key}/${round}`
      return {
        id,
        type,
        runId,
        workflow,
        step: key,
        round,
        attempt,
        idempotencyKey,
        config,
        credentials,
        timeoutMs,
      }
    } catch (thrown) {
      await report(entry, failed(entry, thrown, NO_SECRETS))
      return null
    }
  }

  async function take(worker: string, names: readonly string[], max: number, signal: AbortSignal) {
    const taken = (await tasks.take(worker, new Map(names.map((type) => [type, max])), signal)).map(
      ({ task }) => task,
    )
    // Who has hung up gets nothing, and `max` counts over all types.
    const kept = signal.aborted ? [] : taken.slice(0, max)
    const surplus = taken.slice(kept.length)
    if (surplus.length > 0) await tasks.handBack(surplus.map(({ id }) => id))
    const again = kept.filter((task) => task.again)
    if (again.length === 0) return kept
    const open = new Set(await uncompleted({ worker, store, tasks, clock, log }, again))
    const wanted = kept.filter((task) => !task.again || open.has(task))
    // The answer may have taken longer than the leases: who has them now is the lane's to say.
    const { lost } = await tasks.heartbeat(worker, wanted)
    return wanted.filter((task) => !lost.includes(task.id))
  }

  function markOf(worker: string, type: string): Asking {
    let marks = asking.get(worker)
    if (marks === undefined) {
      marks = new Map()
      asking.set(worker, marks)
    }
    let mark = marks.get(type)
    if (mark === undefined) {
      mark = { waiting: 0, lastAt: clock.monotonic(), isNews: true }
      marks.set(type, mark)
    }
    return mark
  }

  function touch(mark: Asking): void {
    mark.lastAt = clock.monotonic()
    mark.isNews = true
  }

  function forgetSilent(): void {
    const since = clock.monotonic() - SERVED_FOR_MS
    for (const [worker, marks] of asking) {
      for (const [type, { waiting, lastAt }] of marks) if (waiting === 0 && lastAt < since) marks.delete(type)
      if (marks.size === 0) asking.delete(worker)
    }
  }

  return {
    leaseMs,
    workspace,

    async register(infos, allowed) {
      requireAllowed(
        infos.map(({ type }) => type),
        { allowed },
      )
      for (const { type } of infos) {
        if (parts.registry.get(type) === undefined && !(CONTROL_TYPES as readonly string[]).includes(type))
          continue
        throw new TaskRefused(
          'node_type_taken',
          `Weft brings the node type \`${type}\` itself. Give yours another name, such as \`my.${type}\`.`,
        )
      }
      await types.add(infos)
    },

    async claim({ worker, allowed, types: names, max, signal }) {
      requireAllowed(names, { allowed })
      checkTypes(names)
      const marks = names.map((type) => markOf(worker, type))
      for (const mark of marks) mark.waiting++
      try {
        while (!signal.aborted) {
          const taken = await take(worker, names, max, signal)
          const begun = await Promise.all(taken.map((task) => begin(worker, task)))
          const claimed = begun.filter((task) => task !== null)
          if (claimed.length > 0) return claimed
        }
        return []
      } finally {
        for (const mark of marks) {
          mark.waiting--
          touch(mark)
        }
      }
    },

    async heartbeat({ worker, allowed, tasks: ids }) {
      await adopt(worker, ids)
      const own = (id: string): Held | undefined => {
        const entry = held.get(id)
        return entry?.worker === worker && isAllowed(entry.task.type, { allowed }) ? entry : undefined
      }
      const entries = ids.map(own).filter((entry) => entry !== undefined)
      const answer = await tasks.heartbeat(
        worker,
        entries.map(({ task }) => task),
      )
      const lost = new Set(answer.lost)
      for (const entry of entries) {
        if (lost.has(entry.task.id)) drop(entry)
        else if (held.get(entry.task.id) === entry) heard(entry)
        touch(markOf(worker, entry.task.type))
      }
      return { abort: answer.abort, lost: ids.filter((id) => own(id) === undefined) }
    },

    async complete({ output, label, ...name }, keep) {
      const entry = await find(name)
      if (entry === null) return
      const { info, task } = entry
      const checked = info.output === undefined ? null : checkAgainstSchema(info.output, output)
      if (checked !== null && !checked.ok)
        throw new TaskRefused(
          'invalid_output',
          `The output does not match the output schema of \`${info.type}\`. The task is still yours: complete it with another output, or report it with POST /tasks/fail.`,
          checked.problems.map((problem) => ({ ...problem, pointer: `/output${problem.pointer}` })),
        )
      let signal: Awaited<ReturnType<typeof completed>>
      try {
        const result = { output: await keep(output), ...(label !== undefined && { label }) }
        signal = await completed(entry, { info }, result, NO_SECRETS, blobs)
      } catch (error) {
        if (!(error instanceof NodeError)) throw error
        throw new TaskRefused('invalid_output', error.message)
      }
      // Its time may have run out while the value was stored.
      if (held.get(task.id) !== entry && (await find(name)) === null) return
      await report(entry, signal, true)
      drop(entry)
    },

    async fail({ error, ...name }) {
      const entry = await find(name)
      if (entry === null) return
      await fail(entry, new NodeError(error.code, error.message, error), true)
    },

    async recorded({ name, ...of }) {
      const { runId, key, round } = (await findOpen(of)).task
      return persistently(clock, () => store.records.get({ runId, key, round, name }))
    },

    async record({ name, value, ...of }) {
      const { runId, key, round, attempt } = (await findOpen(of)).task
      const at = clock.now()
      const written = await persistently(clock, () =>
        store.records.once({ runId, key, round, attempt, name, value, at }),
      )
      if ('value' in written) return { value: written.value }
      throw new TaskRefused(
        'task_lost',
        `Attempt ${attempt} of \`${key}\` is over: a newer one has recorded \`${name}\`. Stop working on it.`,
      )
    },

    served() {
      forgetSilent()
      return new Set([...asking.values()].flatMap((marks) => [...marks.keys()]))
    },

    programs() {
      forgetSilent()
      return [...asking].flatMap(([name, marks]) => {
        if (![...marks.values()].some(({ waiting, isNews }) => waiting > 0 || isNews)) return []
        const types = [...marks].map(([type, mark]) => {
          mark.isNews = false
          const active = [...held.values()].filter(
            (entry) => entry.worker === name && entry.info.type === type,
          )
          return { type, active: active.length, limit: null }
        })
        return [{ name, workspace, types }]
      })
    },
  }
}

/** A registered type, as far as its config goes. */
const typeOf = (info: NodeTypeInfo): ConfigurableType => ({
  info,
  parse(config) {
    const checked = checkAgainstSchema(info.config, config)
    return checked.ok ? { ok: true, config: checked.value } : { ok: false, problems: checked.problems }
  },
})
