/**
 * A simulated process: it can be killed and paused, and its clock may be wrong.
 *
 * What reaches a killed process is lost; what reaches a paused one waits until it goes on. A killed process's own calls
 * never return.
 */
import type { Random } from '../../engine/test/world/random.ts'
import type { Clock } from '../../server/src/clock.ts'
import type { VirtualTime } from './time.ts'

const MOMENT_MS = 100

export class SimProcess {
  readonly name: string
  readonly clock: Clock
  /** Whether it may be killed and paused. */
  readonly isMortal: boolean
  isDead = false
  /** How far its clock is off. */
  clockOffsetMs = 0
  readonly #time: VirtualTime
  readonly #random: Random
  #isPaused = false
  #resumedAt = Number.NEGATIVE_INFINITY
  #waiting: (() => void)[] = []
  readonly #endings = new Set<() => void>()
  #ids = 0

  constructor(name: string, time: VirtualTime, random: Random, isMortal = true) {
    this.name = name
    this.isMortal = isMortal
    this.#time = time
    this.#random = random
    this.clock = {
      now: () => time.now + this.clockOffsetMs,
      monotonic: () => time.elapsedMs,
      id: () => this.#id(),
      token: (bytes) => Array.from({ length: bytes }, () => hex(random.int(256), 2)).join(''),
      after: (delayMs, callback) => this.after(delayMs, `${name} timer`, callback),
      turn: () => new Promise((resolve) => void this.after(0, `${name} turn`, resolve)),
    }
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** A moment ago. */
  get hasStoodStill(): boolean {
    return this.#time.elapsedMs - this.#resumedAt < MOMENT_MS
  }

  after(delayMs: number, label: string, run: () => void): () => void {
    let isWanted = true
    const withdraw = this.#time.after(delayMs, label, () =>
      this.deliver(() => {
        if (isWanted) run()
      }),
    )
    return () => {
      isWanted = false
      withdraw()
    }
  }

  /** Something reaches the process. */
  deliver(run: () => void): void {
    if (this.isDead) return
    if (this.#isPaused) this.#waiting.push(run)
    else run()
  }

  pause(): void {
    this.#isPaused = true
  }

  /** What came meanwhile is taken up, one thing after the other. */
  resume(): void {
    if (!this.#isPaused || this.isDead) return
    this.#isPaused = false
    this.#resumedAt = this.#time.elapsedMs
    const waiting = this.#waiting
    this.#waiting = []
    for (const run of waiting) this.#time.after(0, `${this.name} catches up`, () => this.deliver(run))
  }

  kill(): void {
    if (this.isDead) return
    this.isDead = true
    this.#waiting = []
    this.#time.note(`${this.name} is killed`)
    for (const ending of this.#endings) ending()
  }

  /** Called when it is killed: its connections break. The returned function withdraws it. */
  onDeath(ending: () => void): () => void {
    this.#endings.add(ending)
    return () => void this.#endings.delete(ending)
  }

  #id(): string {
    const time = hex(this.clock.now(), 12)
    const count = hex(this.#ids++ % 4096, 3)
    const tail = `${hex(this.#random.int(2 ** 24), 6)}${hex(this.#random.int(2 ** 24), 6)}`
    return `${time.slice(0, 8)}-${time.slice(8)}-7${count}-8${hex(this.#random.int(4096), 3)}-${tail}`
  }
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0').slice(-digits)
