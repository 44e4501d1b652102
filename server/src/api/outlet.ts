/**
 * The way out of one live connection, of either transport: how far its reader is behind, and what that means for those
 * who write.
 *
 * Owns: the bound of what a connection may hold unread. Beyond it nobody writes and nobody gathers: what happens
 * meanwhile is dropped, and read from the log when the reader has caught up. A reader who takes nothing of it for two
 * minutes is cut.
 */
import type { Writable } from 'node:stream'
import type { Clock } from '../clock.ts'

export const MAX_UNREAD_BYTES = 1024 * 1024
const GIVE_UP_AFTER_MS = 120_000
/** Followers of one connection that hold a page of the log at the same time: the others wait, and hold nothing. */
const PAGES_AT_ONCE = 4

/** How fast the reader of a connection takes what it is given; shared by all who follow something for it. */
export interface Pace {
  /** More than `MAX_UNREAD_BYTES` are on their way. */
  readonly isBehind: boolean
  /** Resolves when this follower may hold a page of the log; the returned function makes room for the next one. */
  turn(): Promise<() => void>
}

export class Outlet implements Pace {
  readonly #stream: Writable
  readonly #clock: Clock
  readonly #waiting = new Set<() => void>()
  readonly #line: (() => void)[] = []
  #holders = 0
  #withdrawGivingUp: (() => void) | null = null

  constructor(stream: Writable, clock: Clock) {
    this.#stream = stream
    this.#clock = clock
    const release = (): void => {
      this.#withdrawGivingUp?.()
      this.#withdrawGivingUp = null
      for (const go of [...this.#waiting]) go()
    }
    stream.on('drain', release)
    stream.on('close', release)
  }

  get isBehind(): boolean {
    return this.#stream.writableLength > MAX_UNREAD_BYTES && !this.#stream.destroyed
  }

  /** Resolves when the reader is not behind any more, when the connection has ended, or when `signal` fires. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    while (this.isBehind && !signal.aborted) {
      this.#withdrawGivingUp ??= this.#clock.after(GIVE_UP_AFTER_MS, () => this.#stream.destroy())
      await new Promise<void>((resolve) => {
        const go = (): void => {
          this.#waiting.delete(go)
          signal.removeEventListener('abort', go)
          resolve()
        }
        this.#waiting.add(go)
        signal.addEventListener('abort', go)
      })
    }
  }

  async turn(): Promise<() => void> {
    if (this.#holders < PAGES_AT_ONCE) this.#holders++
    else await new Promise<void>((resolve) => this.#line.push(resolve))
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const next = this.#line.shift()
      if (next) next()
      else this.#holders--
    }
  }

  /** Writes what is followed, at the pace of the reader, until there is no more or `signal` fires. */
  async pour<Item>(
    items: AsyncIterable<Item>,
    write: (item: Item) => void,
    signal: AbortSignal,
  ): Promise<void> {
    for await (const item of items) {
      if (signal.aborted || this.#stream.destroyed) return
      write(item)
      if (this.isBehind) await this.caughtUp(signal)
    }
  }
}
