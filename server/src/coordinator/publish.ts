/**
 * What leaves the coordinator once its events are committed (R2): tasks, live messages, looks at other runs, and the
 * deletion of the signals that were consumed.
 *
 * 1. The order of one run's effects is kept: a halt comes after the tasks that it is to stop.
 * 2. A publish that fails does not undo a commit: the run is marked, and what it owes is published when the transport
 *    answers (R5).
 * 3. A task is published blindly only the first time. When one may have been published before (the run was loaded,
 *    resumed, or its dead-man's switch fired), the lane is asked; a task that it does not hold may just have been
 *    reported, so a marker follows that report through the run's own lane, and what is still owed when that very marker
 *    comes back is published. Without it a step that was finished could be called once more. A report that comes after
 *    the marker keeps the lane from queueing the task; one that is older than the lane's memory is seen by the log alone:
 *    such a task says `again`, and its worker looks there before it begins.
 */
import { type Effect, type Json, type RunEvent, type Task, taskId } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { Listener } from '../correlation.ts'
import type { CoordinatorMetrics } from '../metrics.ts'
import type { LiveMessage, SignalEnvelope, Transport } from '../transport/transport.ts'
import { type Children, itemValue } from './children.ts'
import { Errands } from './errands.ts'
import type { Entry, OwedEffect, Slot } from './slot.ts'

export interface PublisherParts {
  readonly transport: Transport
  readonly children: Children
  readonly metrics: CoordinatorMetrics
  readonly blob: (workspace: string, hash: string) => Promise<Json>
  /** Asked again after a wait, before anything is published: the run may be somebody else's by then. */
  readonly isOwner: (runId: string) => boolean
  /** Something stands in the inbox of this run. */
  readonly look: (runId: string) => void
  /** What this failed run was to start has begun, or cannot. */
  readonly failureAnswered: (runId: string, startedId: string) => void
  /** Holds the messages that are kept against waits that have opened. */
  readonly listen: (listeners: readonly Listener[]) => Promise<void>
  /** What this run owes could not be published. */
  readonly unpublished: (runId: string, error: unknown) => void
  readonly clock: Clock
  /** The lane does not hold these tasks of the run; the marker of that name is on its way. */
  readonly missing: (slot: Slot, token: string, taskIds: readonly string[]) => void
}

type DispatchEffect = Extract<Effect, { kind: 'dispatch' }>
type HaltEffect = Extract<Effect, { kind: 'halt' }>

export class Publisher {
  readonly #parts: PublisherParts
  readonly errands: Errands
  /** Tasks on their way to the lane. */
  readonly #sending = new Set<Promise<void>>()

  constructor(parts: PublisherParts) {
    this.#parts = parts
    this.errands = new Errands(parts.unpublished)
  }

  /** The entries are in the log, or had nothing for it. */
  publish(entries: readonly Entry[]): void {
    const tasks: Task[] = []
    const live: LiveMessage[] = []
    const receipts: string[] = []
    for (const entry of entries) {
      const { slot, events, verdicts } = entry
      const { runId, workspace } = slot
      for (const [index, event] of events.entries()) {
        live.push({ kind: 'event', runId, workspace, seq: entry.firstSeq + index, event })
        this.#count(event)
      }
      for (const { commandId, verdict } of verdicts) {
        live.push({ kind: 'verdict', commandId })
        if (!verdict.accepted) this.#parts.metrics.refused(verdict.code)
      }
      for (const { receipt } of entry.items) if (receipt !== null) receipts.push(receipt)
      this.#effects(slot, entry.effects, tasks)
      if (entry.recheck.length > 0) this.#recheckUnpublished(entry)
      if (entry.report) this.#parts.look(entry.report.parentId)
    }
    if (live.length > 0) this.#parts.transport.live.publish(live)
    this.#send(tasks)
    this.forget(receipts)
  }

  /** What a run owes that was loaded: everything but its tasks, which the lane may hold; those are asked for. */
  publishOwed(slot: Slot, effects: readonly OwedEffect[]): void {
    const tasks: Task[] = []
    this.#effects(
      slot,
      effects.filter(({ effect }) => effect.kind !== 'dispatch'),
      tasks,
    )
    const taskIds = effects.flatMap(({ effect }) => (effect.kind === 'dispatch' ? [effect.task.id] : []))
    if (taskIds.length > 0) this.recheck(slot, taskIds)
  }

  /** What the entry itself publishes is not asked for: the lane would not hold it yet, and get it a second time. */
  #recheckUnpublished({ slot, effects, recheck }: Entry): void {
    const published = new Set(
      effects.map(({ effect }) => (effect.kind === 'dispatch' ? effect.task.id : null)),
    )
    const taskIds = recheck.filter((id) => !published.has(id))
    if (taskIds.length > 0) this.recheck(slot, taskIds)
  }

  /** Asks the lane which of these tasks it holds; see 3. */
  recheck(slot: Slot, taskIds: readonly string[]): void {
    const { tasks, signals } = this.#parts.transport
    this.errands.run(slot.runId, async () => {
      const missing = await tasks.missing(taskIds)
      if (missing.length === 0) return
      const token = this.#parts.clock.id()
      this.#parts.missing(slot, token, missing)
      await signals.send([{ runId: slot.runId, signal: { kind: 'marker', token } }])
    })
  }

  /** Signals that are decided, or of runs that are gone. */
  forget(receipts: readonly string[]): void {
    if (receipts.length === 0) return
    // One that stays is handed out again and decided to be known.
    this.#parts.transport.signals.delete(receipts).catch(() => {})
  }

  #effects(slot: Slot, effects: readonly OwedEffect[], tasks: Task[]): void {
    const listeners: Listener[] = []
    for (const owed of effects) {
      const { effect } = owed
      switch (effect.kind) {
        case 'dispatch':
          if (!effect.item) tasks.push({ ...effect.task, workspace: slot.workspace })
          else if ('value' in effect.item) tasks.push(withItem(slot, effect, effect.item.value))
          else this.errands.run(slot.runId, () => this.#dispatchItem(slot, effect))
          break
        case 'child':
          this.errands.run(slot.runId, () => this.#parts.children.begin(slot.workspace, effect, owed))
          break
        case 'on_failure':
          this.errands.run(slot.runId, async () => {
            await this.#parts.children.beginOnFailure(slot.workspace, effect, owed)
            this.#parts.failureAnswered(slot.runId, effect.runId)
          })
          break
        case 'listen': {
          const { kind: _, ...wait } = effect
          listeners.push({ ...wait, runId: slot.runId, workspace: slot.workspace })
          break
        }
        case 'cancel_child':
          this.errands.run(slot.runId, () =>
            this.#parts.children.cancel(slot.workspace, effect.childId, owed),
          )
          break
        case 'halt':
          this.#send(tasks.splice(0))
          this.errands.run(slot.runId, () => this.#halt(slot.runId, effect))
          break
        case 'unhalt':
          this.errands.run(slot.runId, () => this.#parts.transport.tasks.unhalt(slot.runId))
          break
      }
    }
    if (listeners.length > 0) this.errands.run(slot.runId, () => this.#parts.listen(listeners))
  }

  #send(tasks: readonly Task[]): void {
    if (tasks.length === 0) return
    const sending: Promise<void> = this.#parts.transport.tasks
      .publish(tasks)
      .catch((error: unknown) => {
        for (const runId of new Set(tasks.map((task) => task.runId))) this.#parts.unpublished(runId, error)
      })
      .then(() => {
        this.#sending.delete(sending)
      })
    this.#sending.add(sending)
  }

  /**
   * Resolves when nothing that these runs owe is on its way any more. A partition is let go only then: a task that
   * reaches the lane after its next owner has seen it reported would be performed once more.
   */
  async settled(runs: (runId: string) => boolean): Promise<void> {
    await this.errands.settled(runs)
    await Promise.all(this.#sending)
  }

  async #dispatchItem(slot: Slot, effect: DispatchEffect): Promise<void> {
    if (!effect.item) return
    const value = await itemValue(effect.item, (hash) => this.#parts.blob(slot.workspace, hash))
    if (!this.#parts.isOwner(slot.runId)) return
    await this.#parts.transport.tasks.publish([withItem(slot, effect, value)])
  }

  /** Attempts that the lane does not hold will not report; the signal that says so stands behind any that just did. */
  async #halt(runId: string, { abort, attempts }: HaltEffect): Promise<void> {
    const { tasks, signals } = this.#parts.transport
    await tasks.halt(runId, abort)
    if (attempts.length === 0) return
    const ids = attempts.map(({ key, round, attempt }) => taskId(runId, key, round, attempt))
    const held = await tasks.inspect(ids)
    const dropped = attempts
      .filter((_, index) => !held.has(ids[index] as string))
      .map(
        ({ key, round, attempt }): SignalEnvelope => ({
          runId,
          signal: { kind: 'dropped', key, round, attempt },
        }),
      )
    if (dropped.length > 0) await signals.send(dropped)
  }

  #count(event: RunEvent): void {
    const { metrics } = this.#parts
    switch (event.type) {
      case 'step.completed':
        metrics.stepSettled('completed')
        break
      case 'step.failed':
        metrics.stepSettled('failed')
        metrics.failed(event.error.code)
        break
      case 'step.skipped':
        metrics.stepSettled('skipped')
        break
      case 'step.cancelled':
        metrics.stepSettled('cancelled')
        break
      case 'attempt.failed':
        metrics.attemptFailed()
        metrics.failed(event.error.code)
        break
      case 'run.failed':
        metrics.failed(event.error.code)
        break
    }
  }
}

const withItem = (slot: Slot, { task }: DispatchEffect, item: Json): Task => ({
  ...task,
  workspace: slot.workspace,
  scope: { ...task.scope, item },
})
