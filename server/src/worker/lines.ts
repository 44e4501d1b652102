/**
 * What an attempt says while it runs: progress and log lines, live and not durable. Bounded, so that a loop that logs
 * cannot drown those who watch: a burst of lines, then so many per second; of progress the newest, ten times a second.
 */
import type { Json, Task } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { LogLineLevel } from '../nodes/node-type.ts'
import type { LiveLane } from '../transport/transport.ts'
import { redactText, type Secrets } from './redaction.ts'

const LINES_AT_ONCE = 200
const LINES_PER_SECOND = 50
const MAX_LINE_CHARACTERS = 2_000
const PROGRESS_EVERY_MS = 100

export interface LineMeans {
  readonly live: LiveLane
  readonly log: Log
  readonly clock: Clock
}

export class AttemptLines {
  readonly #task: Task
  readonly #means: LineMeans
  readonly #secrets: () => Secrets
  #allowance = LINES_AT_ONCE
  #countedAt: number
  #leftOut = 0
  #progressAt = Number.NEGATIVE_INFINITY
  #waiting: { percent: number; text: string | undefined } | null = null
  #ended = false

  constructor(task: Task, means: LineMeans, secrets: () => Secrets) {
    this.#task = task
    this.#means = means
    this.#secrets = secrets
    this.#countedAt = means.clock.monotonic()
  }

  log(message: string, data: Json | undefined, level: LogLineLevel): void {
    if (this.#ended) return
    if (!this.#mayWrite()) {
      this.#leftOut++
      return
    }
    this.#write(data === undefined ? message : `${message} ${JSON.stringify(data)}`, level)
  }

  progress(percent: number, text: string | undefined): void {
    if (this.#ended || !Number.isFinite(percent)) return
    const { clock } = this.#means
    const waited = this.#waiting !== null
    this.#waiting = { percent: Math.min(100, Math.max(0, percent)), text }
    const pauseMs = this.#progressAt + PROGRESS_EVERY_MS - clock.monotonic()
    if (pauseMs <= 0) this.#sendProgress()
    else if (!waited) clock.after(pauseMs, () => this.#sendProgress())
  }

  /** Nothing of the attempt is said after this. */
  end(): void {
    if (this.#ended) return
    if (this.#leftOut > 0)
      this.#write(
        `… ${this.#leftOut} more lines were left out: more than ${LINES_PER_SECOND} a second.`,
        'warn',
      )
    this.#sendProgress()
    this.#ended = true
  }

  #mayWrite(): boolean {
    const now = this.#means.clock.monotonic()
    const earned = ((now - this.#countedAt) * LINES_PER_SECOND) / 1000
    this.#allowance = Math.min(LINES_AT_ONCE, this.#allowance + earned)
    this.#countedAt = now
    if (this.#allowance < 1) return false
    this.#allowance--
    return true
  }

  #write(line: string, level: LogLineLevel): void {
    const { live, log, clock } = this.#means
    const { runId, workspace, key, attempt } = this.#task
    const text = redactText(
      line.length > MAX_LINE_CHARACTERS ? `${line.slice(0, MAX_LINE_CHARACTERS)}…` : line,
      this.#secrets(),
    )
    live.publish([{ kind: 'attempt', runId, workspace, key, attempt, state: 'log', text, at: clock.now() }])
    const loudness = level === 'info' ? 'debug' : level
    if (log.isLevelEnabled(loudness)) log[loudness]({ runId, stepKey: key, attempt }, text)
  }

  #sendProgress(): void {
    if (this.#waiting === null || this.#ended) return
    const { live, clock } = this.#means
    const { runId, workspace, key, attempt } = this.#task
    const { percent, text } = this.#waiting
    this.#waiting = null
    this.#progressAt = clock.monotonic()
    const said = text === undefined ? {} : { text: redactText(text, this.#secrets()) }
    live.publish([
      {
        kind: 'attempt',
        runId,
        workspace,
        key,
        attempt,
        state: 'progress',
        percent,
        ...said,
        at: clock.now(),
      },
    ])
  }
}
