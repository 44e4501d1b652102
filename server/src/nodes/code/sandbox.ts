/**
 * The pool of sandbox threads. A thread serves one call at a time and stays warm; it is replaced when a call spoiled it
 * or would not stop, and ended when nobody needs it for a while.
 *
 * Invariant: a call always ends. What does not stop by the flag is ended with its thread (R16).
 */
import { Worker } from 'node:worker_threads'
import type { Clock } from '../../clock.ts'
import type { LogLineLevel } from '../node-type.ts'
import {
  levelOf,
  type SandboxAnswer,
  type SandboxCall,
  type SandboxFailure,
  type ThreadData,
} from './protocol.ts'

export interface Sandbox {
  /** The JSON text of what the code answers. Rejects with {@link SandboxError}. */
  run(
    call: SandboxCall,
    signal: AbortSignal,
    onLine: (text: string, level: LogLineLevel) => void,
  ): Promise<string>
  close(): Promise<void>
}

export class SandboxError extends Error {
  override readonly name = 'SandboxError'
  readonly failure: SandboxFailure
  constructor(failure: SandboxFailure) {
    super(failure.message)
    this.failure = failure
  }
}

/** How long the interpreter gets to stop by itself before its thread is ended. */
const STOP_MS = 250
const IDLE_MS = 30_000
export const MEMORY_BYTES = 128 * 1024 * 1024
const LIMITS = { maxOldGenerationSizeMb: 256, stackSizeMb: 16 }
const STOPPED: SandboxFailure = { reason: 'stopped', message: 'The code was stopped.' }

interface Job {
  readonly call: SandboxCall
  readonly signal: AbortSignal
  readonly onLine: (text: string, level: LogLineLevel) => void
  readonly resolve: (output: string) => void
  readonly reject: (error: Error) => void
}

export function createSandbox(options: { readonly clock: Clock; readonly threads: number }): Sandbox {
  const { clock, threads: limit } = options
  const threads = new Set<Thread>()
  const idle: Thread[] = []
  const waiting: Job[] = []

  function next(): void {
    while (waiting.length > 0) {
      const thread = idle.pop() ?? (threads.size < limit ? grow() : undefined)
      if (thread === undefined) return
      const job = waiting.shift() as Job
      thread.perform(job)
    }
  }

  function grow(): Thread {
    const thread = new Thread(clock, {
      idle: () => {
        idle.push(thread)
        next()
      },
      gone: () => {
        threads.delete(thread)
        const index = idle.indexOf(thread)
        if (index >= 0) idle.splice(index, 1)
        next()
      },
    })
    threads.add(thread)
    return thread
  }

  return {
    run(call, signal, onLine) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(new SandboxError(STOPPED))
          return
        }
        const job: Job = { call, signal, onLine, resolve, reject }
        signal.addEventListener(
          'abort',
          () => {
            const index = waiting.indexOf(job)
            if (index < 0) return
            waiting.splice(index, 1)
            reject(new SandboxError(STOPPED))
          },
          { once: true },
        )
        waiting.push(job)
        next()
      })
    },
    async close() {
      for (const job of waiting.splice(0)) job.reject(new SandboxError(STOPPED))
      await Promise.all([...threads].map((thread) => thread.end()))
    },
  }
}

/** One worker thread and the call that it serves. */
class Thread {
  readonly #worker: Worker
  readonly #stopRequested: Int32Array
  readonly #clock: Clock
  readonly #owner: { readonly idle: () => void; readonly gone: () => void }
  #job: Job | null = null
  #withdraw = (): void => {}
  #stop = (): void => {}
  #gone = false

  constructor(clock: Clock, owner: { readonly idle: () => void; readonly gone: () => void }) {
    const flag = new SharedArrayBuffer(4)
    this.#clock = clock
    this.#owner = owner
    this.#stopRequested = new Int32Array(flag)
    this.#worker = new Worker(new URL('./thread.ts', import.meta.url), {
      workerData: { flag, memoryBytes: MEMORY_BYTES } satisfies ThreadData,
      resourceLimits: LIMITS,
      // Nothing of this process is the code's business.
      env: {},
    })
    this.#worker.unref()
    this.#worker.on('message', (answer: SandboxAnswer) => this.#hear(answer))
    this.#worker.on('error', (error: Error & { code?: string }) => {
      const reason = error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'out_of_memory' : 'crashed'
      this.#fail({ reason, message: error.message })
    })
    this.#worker.on('exit', () => this.#leave())
  }

  perform(job: Job): void {
    this.#withdraw()
    this.#job = job
    Atomics.store(this.#stopRequested, 0, 0)
    this.#stop = () => {
      Atomics.store(this.#stopRequested, 0, 1)
      this.#withdraw = this.#clock.after(STOP_MS, () => void this.end())
    }
    job.signal.addEventListener('abort', this.#stop, { once: true })
    this.#worker.ref()
    this.#worker.postMessage(job.call)
  }

  async end(): Promise<void> {
    this.#fail(STOPPED)
    this.#leave()
    await this.#worker.terminate()
  }

  #hear(answer: SandboxAnswer): void {
    if (this.#job === null) return
    if (answer.kind === 'line') {
      this.#job.onLine(answer.text, levelOf(answer.level))
      return
    }
    const job = this.#release()
    if (answer.kind === 'done') job?.resolve(answer.output)
    else job?.reject(new SandboxError(answer.failure))
    if (answer.retire) void this.end()
    else {
      this.#withdraw = this.#clock.after(IDLE_MS, () => void this.end())
      this.#owner.idle()
    }
  }

  #fail(failure: SandboxFailure): void {
    this.#release()?.reject(new SandboxError(failure))
  }

  #release(): Job | null {
    const job = this.#job
    this.#withdraw()
    this.#job = null
    job?.signal.removeEventListener('abort', this.#stop)
    this.#worker.unref()
    return job
  }

  #leave(): void {
    this.#withdraw()
    if (this.#gone) return
    this.#gone = true
    this.#fail({ reason: 'crashed', message: 'The sandbox thread ended by itself.' })
    this.#owner.gone()
  }
}
