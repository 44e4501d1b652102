/**
 * The load: keeps a number of runs going, decides their approvals, sends their messages, until told to drain.
 *
 * Owns: which runs were accepted and what each must end as. A run counts as accepted when the API answered its submit.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Random } from '../random.ts'
import type { ApiClient } from './client.ts'
import { inputOf, LOADS, type Load, type LoadInput } from './workflows.ts'

export interface AcceptedRun {
  readonly id: string
  readonly load: Load
  readonly input: LoadInput
}

interface Page<T> {
  readonly items: readonly T[]
  readonly nextCursor: string | null
}

const UNFINISHED = 'queued,running,waiting,paused,stopping'
const LOOK_EVERY_MS = 100

export class Driver {
  readonly accepted = new Map<string, AcceptedRun>()
  readonly #client: ApiClient
  readonly #service: string
  readonly #random: Random
  readonly #runsAtOnce: number
  /** Decisions and messages under way; each is sent until it is answered. */
  readonly #errands = new Set<Promise<void>>()
  readonly #decided = new Set<string>()
  #count = 0
  #wanted = true
  #failure: unknown = null
  #loops: Promise<void>[] = []
  decisions = 0
  messages = 0

  constructor(parts: { client: ApiClient; service: string; random: Random; runsAtOnce: number }) {
    this.#client = parts.client
    this.#service = parts.service
    this.#random = parts.random
    this.#runsAtOnce = parts.runsAtOnce
  }

  async start(): Promise<void> {
    for (const { name, definition } of LOADS) {
      await this.#client.post('/workflows', { definition }, `workflow-${name}`)
    }
    this.#loops = [this.#submitLoop(), this.#decideLoop()]
  }

  /** Throws what went wrong in the load so far. */
  check(): void {
    if (this.#failure !== null) throw this.#failure
  }

  /** No more runs are submitted; resolves when everything that was accepted has ended. */
  async drain(withinMs: number): Promise<void> {
    this.#wanted = false
    const deadline = performance.now() + withinMs
    for (;;) {
      this.check()
      const left = await this.unfinished()
      if (left.length === 0 && this.#errands.size === 0) break
      if (performance.now() > deadline) {
        const why = await Promise.all(left.slice(0, 3).map((id) => this.#client.get(`/runs/${id}/why`)))
        throw new Error(
          `${left.length} runs have not ended ${withinMs} ms after the last kill, such as ${JSON.stringify(why)}`,
        )
      }
      await pause(LOOK_EVERY_MS)
    }
    await Promise.all(this.#loops)
    this.check()
  }

  /** Ids of the unfinished runs, children not counted. */
  async unfinished(): Promise<string[]> {
    const page = await this.#client.get<Page<{ id: string; parentId: string | null }>>(
      `/runs?status=${UNFINISHED}&limit=500`,
    )
    return page.items.filter(({ parentId }) => parentId === null).map(({ id }) => id)
  }

  async #submitLoop(): Promise<void> {
    await this.#guarded(async () => {
      while (this.#wanted) {
        const free = this.#runsAtOnce - (await this.unfinished()).length
        await Promise.all(Array.from({ length: Math.max(0, free) }, () => this.#submit()))
        await pause(LOOK_EVERY_MS)
      }
    })
  }

  async #submit(): Promise<void> {
    const n = ++this.#count
    const load = LOADS[n % LOADS.length] as Load
    const input = inputOf(n, this.#service, this.#random)
    const { id } = await this.#client.post<{ id: string }>(
      '/runs',
      { workflow: load.name, input },
      `submit-${n}`,
    )
    this.accepted.set(id, { id, load, input })
    if (load.message) this.#errand(() => this.#send(id, input, load))
  }

  /** Now and then the message is there before the run waits for it. */
  async #send(id: string, input: LoadInput, load: Load): Promise<void> {
    const message = load.message?.(input)
    if (!message) return
    await pause(this.#random.between(0, 1_500))
    await this.#client.post(
      `/runs/${id}/messages`,
      { ...message, id: `message-${input.n}` },
      `message-${input.n}`,
    )
    this.messages++
  }

  async #decideLoop(): Promise<void> {
    await this.#guarded(async () => {
      while (this.#wanted || (await this.unfinished()).length > 0) {
        const open = await this.#client.get<Page<{ id: string; runId: string }>>(
          '/approvals?status=open&limit=500',
        )
        for (const { id, runId } of open.items) {
          const run = this.accepted.get(runId)
          if (run === undefined || this.#decided.has(id)) continue
          this.#decided.add(id)
          this.#errand(() => this.#decide(id, run))
        }
        await pause(LOOK_EVERY_MS)
      }
    })
  }

  async #decide(id: string, { load, input }: AcceptedRun): Promise<void> {
    const decision = load.decision?.(input) ?? 'approve'
    await this.#client.post(`/approvals/${id}/decide`, { decision }, `decide-${id}`)
    this.decisions++
  }

  #errand(work: () => Promise<void>): void {
    const errand = this.#guarded(work).finally(() => this.#errands.delete(errand))
    this.#errands.add(errand)
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#failure ??= error
      this.#wanted = false
    }
  }
}
