/**
 * Sends the ends of attempts: at once when idle, and gathered while a call is under way, so that many results of one
 * turn go out in one (as R10 has it for commits). A call that fails is repeated until it succeeds: the lane counts a
 * result once however often it comes.
 */
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import { type TaskLane, type TaskResult, TransportUnavailable } from '../transport/transport.ts'

const PAUSE_AFTER_FAILURE_MS = 250

export class Reporter {
  readonly #worker: string
  readonly #tasks: TaskLane
  readonly #clock: Clock
  readonly #log: Log
  #gathered: TaskResult[] = []
  #sending: Promise<void> | null = null

  constructor(worker: string, tasks: TaskLane, clock: Clock, log: Log) {
    this.#worker = worker
    this.#tasks = tasks
    this.#clock = clock
    this.#log = log
  }

  add(result: TaskResult): void {
    this.#gathered.push(result)
    this.#sending ??= this.#send()
  }

  /** Resolves when everything that was added has been sent. */
  async drained(): Promise<void> {
    await this.#sending
  }

  async #send(): Promise<void> {
    // One turn of the microtasks: attempts that end together are sent together.
    await Promise.resolve()
    while (this.#gathered.length > 0) {
      const results = this.#gathered
      this.#gathered = []
      try {
        await this.#tasks.report(this.#worker, results)
      } catch (error) {
        // A transport that is away says so itself, once, and not at each try.
        if (!(error instanceof TransportUnavailable))
          this.#log.warn(
            { error, results: results.length },
            'results of attempts could not be sent; trying again',
          )
        this.#gathered = [...results, ...this.#gathered]
        await new Promise<void>((resolve) => this.#clock.after(PAUSE_AFTER_FAILURE_MS, resolve))
      }
    }
    this.#sending = null
  }
}
