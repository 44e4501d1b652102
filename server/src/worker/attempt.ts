/**
 * One attempt, from the task to its signal: config resolved, node run, outcome told exactly once.
 *
 * It ends in one of four ways, whichever comes first: the node ends; its time is up, which is told at once even if the
 * code goes on; the worker gives it up (shutdown, told as `lost`); or nobody wants its result any more (`forsake`).
 * Invariant: `settled` fires once, and the node's end, however late, resolves `ended`.
 */
import type { Json, Signal, Task } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { Egress } from '../egress/egress.ts'
import type { Log } from '../log.ts'
import { NodeError, nodeError } from '../nodes/errors.ts'
import type { LogLineLevel, NodeBlobs, NodeContext, NodeType } from '../nodes/node-type.ts'
import type { Store } from '../store/store.ts'
import type { LiveLane } from '../transport/transport.ts'
import { beginForGood } from './begin-for-good.ts'
import type { WorkerBlobs } from './blobs.ts'
import type { ConfigResolver } from './config.ts'
import { type CredentialSource, credentialTexts, readCredential } from './credentials.ts'
import { AttemptLines } from './lines.ts'
import { OnceRecords } from './once.ts'
import { completed, failed, type Performed } from './outcome.ts'
import {
  joinSecrets,
  NO_SECRETS,
  redactBytes,
  redactKnown,
  redactValue,
  type Secrets,
  secretsOf,
} from './redaction.ts'

/** What attempts of one worker share. */
export interface AttemptMeans {
  readonly worker: string
  readonly clock: Clock
  readonly log: Log
  readonly live: LiveLane
  readonly egress: Egress
  readonly store: Pick<Store, 'blobs' | 'records'>
  readonly blobs: WorkerBlobs
  readonly configs: ConfigResolver
  readonly credentials: CredentialSource
  /** Whether the task is this worker's to begin still, after what was waited for since this moment of the monotonic clock. */
  mayBegin(task: Task, since: number): Promise<boolean>
}

const MAX_TIMER_MS = 2 ** 31 - 1

/** Why an attempt is being aborted; says what its end means. */
type Abortion = 'halted' | 'timeout' | 'shutdown' | 'forsaken'

export class Attempt implements Performed {
  readonly task: Task
  readonly type: NodeType
  readonly startedAt: number
  /** The node has ended, whatever was told before. */
  readonly ended: Promise<void>
  #means: AttemptMeans
  #settle: ((attempt: Attempt, signal: Signal | null) => void) | null
  #abortion: Abortion | null = null
  #controller: AbortController | null = null
  #withdrawTimeout: (() => void) | null = null
  #context: AttemptContext

  /** @param settle is called once: with the signal, or with `null` when there is none to report */
  constructor(
    task: Task,
    type: NodeType,
    means: AttemptMeans,
    settle: (attempt: Attempt, signal: Signal | null) => void,
  ) {
    this.task = task
    this.type = type
    this.#means = means
    this.#settle = settle
    this.startedAt = means.clock.now()
    this.#context = new AttemptContext(this, means)
    const { timeoutMs } = task
    if (timeoutMs !== null) this.#startTimer(timeoutMs, timeoutMs)
    this.ended = this.#perform()
  }

  get worker(): string {
    return this.#means.worker
  }

  /** Made when the node first asks: most attempts never do. */
  get abortSignal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.#abortion !== null) this.#controller.abort(reasonOf(this.#abortion))
    }
    return this.#controller.signal
  }

  /** The run was halted: the code is told, and its end is reported. */
  halt(): void {
    this.#abort('halted')
  }

  /** The lane has given the attempt to somebody else: the code is told, and nothing is reported. */
  forsake(): void {
    this.#abort('forsaken')
    this.#tell(null)
  }

  /** The worker is going away: the code is told, and has until `abandon` to end by itself. */
  shutDown(): void {
    this.#abort('shutdown')
  }

  /** The worker goes away now. */
  abandon(): void {
    this.#tell(this.#lost())
  }

  #abort(abortion: Abortion): void {
    if (this.#abortion !== null) return
    this.#abortion = abortion
    this.#controller?.abort(reasonOf(abortion))
  }

  #tell(signal: Signal | null): void {
    const settle = this.#settle
    if (settle === null) return
    this.#settle = null
    this.#withdrawTimeout?.()
    this.#context.lines.end()
    settle(this, signal)
  }

  /** In portions, since a timer of the platform ends after 24 days at the latest. */
  #startTimer(leftMs: number, timeoutMs: number): void {
    const portionMs = Math.min(leftMs, MAX_TIMER_MS)
    this.#withdrawTimeout = this.#means.clock.after(portionMs, () => {
      if (leftMs > portionMs) this.#startTimer(leftMs - portionMs, timeoutMs)
      else this.#timeOut(timeoutMs)
    })
  }

  #timeOut(timeoutMs: number): void {
    const { code, retryable, advice } = this.type.timedOut
    const error = new NodeError(
      code,
      `\`${this.task.key}\` (${this.task.type}) did not end within ${timeoutMs} ms. ${advice}`,
      { retryable },
    )
    this.#abort('timeout')
    this.#tell(failed(this, error, NO_SECRETS))
  }

  #lost(): Signal {
    const { key, round, attempt } = this.task
    return { kind: 'lost', key, round, attempt }
  }

  async #perform(): Promise<void> {
    const { configs, blobs, clock } = this.#means
    const since = clock.monotonic()
    try {
      const resolving = configs.resolve(this.task, this.type, clock.now())
      const config = resolving instanceof Promise ? await resolving : resolving
      const isForGood = this.type.info.effect === 'irreversible'
      if (isForGood) await beginForGood(this.task, this.startedAt, this.#means)
      if ((isForGood || resolving instanceof Promise) && !(await this.#means.mayBegin(this.task, since)))
        return this.forsake()
      if (this.#abortion !== null) throw reasonOf(this.#abortion)
      const running = this.type.run(config, this.#context)
      const result = running instanceof Promise ? await running : running
      const signal = completed(this, this.type, result, this.#context.secrets, blobs)
      this.#tell(signal instanceof Promise ? await signal : signal)
    } catch (thrown) {
      this.#tell(this.#failure(thrown))
    }
  }

  #failure(thrown: unknown): Signal {
    switch (this.#abortion) {
      case 'shutdown':
        return this.#lost()
      case 'halted': {
        const text = thrown instanceof Error ? thrown.message : String(thrown)
        return failed(
          this,
          nodeError('aborted', `The run was stopping, and the attempt ended: ${text}`),
          this.#context.secrets,
        )
      }
      default:
        return failed(this, thrown, this.#context.secrets)
    }
  }
}

function reasonOf(abortion: Abortion): NodeError {
  switch (abortion) {
    case 'halted':
      return nodeError('aborted', 'The run is stopping.')
    case 'timeout':
      return nodeError('timeout', 'The time of the attempt is up.')
    case 'shutdown':
      return nodeError('aborted', 'The worker is shutting down.')
    case 'forsaken':
      return nodeError('superseded', 'Somebody else performs the step.')
  }
}

/** What the node sees of its attempt. */
class AttemptContext implements NodeContext {
  readonly #attempt: Attempt
  readonly #means: AttemptMeans
  readonly lines: AttemptLines
  #once: OnceRecords | null = null
  #blobs: NodeBlobs | null = null
  #fetch: typeof fetch | null = null
  /** What must not leave the attempt: values of the credentials that it has read. */
  secrets: Secrets = NO_SECRETS

  constructor(attempt: Attempt, means: AttemptMeans) {
    this.#attempt = attempt
    this.#means = means
    this.lines = new AttemptLines(attempt.task, means, () => this.secrets)
  }

  get runId(): string {
    return this.#attempt.task.runId
  }
  get workflow(): string {
    return this.#attempt.task.workflow
  }
  get stepKey(): string {
    return this.#attempt.task.key
  }
  get round(): number {
    return this.#attempt.task.round
  }
  get attempt(): number {
    return this.#attempt.task.attempt
  }
  get idempotencyKey(): string {
    return `${this.runId}/${this.stepKey}/${this.round}`
  }
  get abortSignal(): AbortSignal {
    return this.#attempt.abortSignal
  }

  log = (message: string, data?: Json, level: LogLineLevel = 'info'): void =>
    this.lines.log(String(message), data, level)
  progress = (percent: number, text?: string): void => this.lines.progress(percent, text)
  request: NodeContext['request'] = (request) =>
    this.#means.egress.request({ ...request, signal: this.abortSignal })

  get fetch(): typeof fetch {
    this.#fetch ??= (input, init) => {
      const own = init?.signal ?? (input instanceof Request ? input.signal : undefined)
      const signal = own ? AbortSignal.any([own, this.abortSignal]) : this.abortSignal
      return this.#means.egress.fetch(input, { ...init, signal })
    }
    return this.#fetch
  }

  credential = async (role = 'default'): Promise<Record<string, string> | null> => {
    const { credentials, workspace } = this.#attempt.task
    const name = Object.hasOwn(credentials, role) ? credentials[role] : undefined
    if (name === undefined) return null
    const value = await readCredential(this.#means.credentials, workspace, name)
    this.secrets = joinSecrets(this.secrets, secretsOf(value))
    return credentialTexts(value)
  }

  get blobs(): NodeBlobs {
    const { blobs } = this.#means
    const { workspace } = this.#attempt.task
    this.#blobs ??= {
      put: (bytes, contentType) =>
        blobs.put(
          workspace,
          redactBytes(typeof bytes === 'string' ? Buffer.from(bytes) : bytes, this.secrets),
          contentType,
        ),
      get: ({ $blob }) => blobs.get(workspace, $blob),
    }
    return this.#blobs
  }

  once = <T extends Json>(key: string, work: () => Promise<T>): Promise<T> => {
    const { store, clock } = this.#means
    this.#once ??= new OnceRecords(this.#attempt.task, store, clock, (value) =>
      this.secrets.length === 0 ? value : redactValue(value, (text) => redactKnown(text, this.secrets)),
    )
    return this.#once.perform(key, work) as Promise<T>
  }
}
