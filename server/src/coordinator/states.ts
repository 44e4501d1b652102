/**
 * The slots of the runs that this coordinator knows, bounded in bytes.
 *
 * Owns: which states stay in memory. A state can always be dropped when its slot is idle, since the log has it (R1).
 * Runs that wait for nothing but people, messages or far timers are `cold`: they get a small share of the memory, so that
 * ten thousand of them cost rows and not heap (R6).
 */
import type { RunState } from '@weft/engine'
import { type Entry, newSlot, type Slot } from './slot.ts'

/** A run that was begun longer ago is not built from its `begun` signal, but loaded. */
export const MAX_BEGUN_AGE_MS = 5_000

const MAX_COLD_BYTES = 4 * 1024 * 1024
const STEP_BYTES = 700
const EVENT_BYTES = 150
const STATE_BYTES = 2_000

export class States {
  readonly #hot = new Map<string, Slot>()
  readonly #cold = new Map<string, Slot>()
  readonly #maxBytes: number
  #hotBytes = 0
  #coldBytes = 0
  /** Young runs whose slot was dropped: a late `begun` signal must not build their state from event 1 again. */
  readonly #dropped = new Map<string, number>()

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#hot.size + this.#cold.size
  }

  get bytes(): number {
    return this.#hotBytes + this.#coldBytes
  }

  /** The run's slot, made when there is none, and now the most recently used one. */
  open(runId: string): Slot {
    const cold = this.#cold.get(runId)
    if (cold) {
      this.#cold.delete(runId)
      this.#coldBytes -= cold.bytes
      this.#hotBytes += cold.bytes
      this.#hot.set(runId, cold)
      return cold
    }
    const slot = this.#hot.get(runId) ?? newSlot(runId)
    this.#hot.delete(runId)
    this.#hot.set(runId, slot)
    return slot
  }

  /** Those of runs for which `wanted` says yes. */
  those(wanted: (runId: string) => boolean): Slot[] {
    return [...this.#hot.values(), ...this.#cold.values()].filter(({ runId }) => wanted(runId))
  }

  peek(runId: string): Slot | undefined {
    return this.#hot.get(runId) ?? this.#cold.get(runId)
  }

  /** Whether a `begun` signal may still stand for the whole log of the run. */
  mayBeNew(runId: string): boolean {
    return !this.#dropped.has(runId)
  }

  resize(slot: Slot, bytes: number): void {
    if (this.#cold.has(slot.runId)) this.#coldBytes += bytes - slot.bytes
    else this.#hotBytes += bytes - slot.bytes
    slot.bytes = bytes
  }

  /** The slot is idle: it stays while there is room, among the cold ones when `cold`. */
  rest(slot: Slot, cold: boolean): void {
    if (cold && this.#hot.delete(slot.runId)) {
      this.#hotBytes -= slot.bytes
      this.#coldBytes += slot.bytes
      this.#cold.set(slot.runId, slot)
    }
    if (this.#coldBytes > MAX_COLD_BYTES) this.#evict(this.#cold, () => this.#coldBytes > MAX_COLD_BYTES)
    if (this.bytes > this.#maxBytes) this.#evict(this.#cold, () => this.bytes > this.#maxBytes)
    if (this.bytes > this.#maxBytes) this.#evict(this.#hot, () => this.bytes > this.#maxBytes)
  }

  #evict(slots: Map<string, Slot>, tooMuch: () => boolean): void {
    for (const slot of slots.values()) {
      if (!tooMuch()) return
      if (slot.phase === 'idle' && slot.mailbox.length === 0) this.forget(slot)
    }
  }

  /** Forgets the run. */
  forget(slot: Slot): void {
    if (this.#cold.delete(slot.runId)) this.#coldBytes -= slot.bytes
    else if (this.#hot.delete(slot.runId)) this.#hotBytes -= slot.bytes
    if (slot.state) this.#dropped.set(slot.runId, slot.state.startedAt)
    slot.state = null
    slot.bytes = 0
  }

  /** Throws the state away and keeps the slot with its signals: the log will be folded again. */
  spoil(slot: Slot): void {
    slot.state = null
    slot.entry = null
    slot.fresh = false
    slot.missing = null
    this.resize(slot, 0)
  }

  /** Everything is forgotten: the session ended, and with it what was known about the log (R3). */
  clear(): void {
    this.#hot.clear()
    this.#cold.clear()
    this.#dropped.clear()
    this.#hotBytes = 0
    this.#coldBytes = 0
  }

  /** Runs that are too old for the `begun` shortcut need not be remembered. */
  prune(now: number): void {
    for (const [runId, startedAt] of this.#dropped) {
      if (now - startedAt > 2 * MAX_BEGUN_AGE_MS) this.#dropped.delete(runId)
    }
  }
}

/** A rough size of a whole state, after it was loaded or begun. */
export function stateBytes(state: RunState): number {
  let bytes = STATE_BYTES + state.steps.size * STEP_BYTES + state.seq * EVENT_BYTES + valueBytes(state.input)
  for (const step of state.steps.values()) {
    bytes += valueBytes(step.output)
    if (step.items) for (const output of step.items.outputs.values()) bytes += valueBytes(output)
  }
  for (const message of state.messages) bytes += valueBytes(message.data)
  for (const definition of state.earlier.values()) bytes += valueBytes(definition)
  return bytes
}

/** What an entry's events added. */
export function entryBytes(entry: Entry): number {
  let bytes = 0
  for (const event of entry.events) {
    bytes += EVENT_BYTES
    if ('output' in event) bytes += valueBytes(event.output)
    else if ('data' in event) bytes += valueBytes(event.data)
    else if ('items' in event) bytes += valueBytes(event.items)
    else if (event.type === 'patch.proposed') bytes += valueBytes(event.operations)
  }
  // The definition before a patch stays for patches that were written against it.
  for (const graph of entry.graphs) bytes += valueBytes(graph.definition)
  return bytes
}

/** Roughly what a JSON value occupies. Recursion is safe: values are at most 256 levels deep. */
export function valueBytes(value: unknown): number {
  if (typeof value === 'string') return 24 + value.length
  if (typeof value !== 'object' || value === null) return 8
  let bytes = 32
  if (Array.isArray(value)) for (const item of value) bytes += valueBytes(item)
  else for (const key in value) bytes += 16 + key.length + valueBytes((value as Record<string, unknown>)[key])
  return bytes
}
