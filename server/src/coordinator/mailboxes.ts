/**
 * Who has something to decide: the slots whose mailbox is not empty, in the order in which that came about.
 */
import type { Item, Slot } from './slot.ts'

export class Mailboxes {
  #ready: Slot[] = []
  #backlog = 0

  /** Signals that are not decided yet. */
  get backlog(): number {
    return this.#backlog
  }

  get isEmpty(): boolean {
    return this.#ready.length === 0
  }

  put(slot: Slot, items: readonly Item[], where: 'front' | 'back' = 'back'): void {
    if (where === 'back') slot.mailbox.push(...items)
    else slot.mailbox.unshift(...items)
    this.#backlog += items.length
    this.queue(slot)
  }

  /** Puts the slot in line, unless it is busy or has nothing to decide; whoever ends its business calls again. */
  queue(slot: Slot): void {
    if (slot.queued || slot.isAbandoned || slot.phase === 'reading' || slot.phase === 'committing') return
    if (slot.mailbox.length === 0 && !slot.needsInbox) return
    slot.queued = true
    this.#ready.push(slot)
  }

  /** The slots in line; the line is empty then. */
  takeReady(): Slot[] {
    const ready = this.#ready
    this.#ready = []
    for (const slot of ready) slot.queued = false
    return ready
  }

  /** That many signals left a mailbox. */
  taken(count: number): void {
    this.#backlog -= count
  }

  /** Throws the slot's signals away. */
  empty(slot: Slot): void {
    this.#backlog -= slot.mailbox.length
    slot.mailbox.length = 0
    slot.needsInbox = false
  }

  clear(): void {
    this.#ready = []
    this.#backlog = 0
  }
}
