/**
 * The load: keeps a number of runs going, or offers so many a second, decides their approvals, sends their messages,
 * until told to drain.
 *
 * Owns: which runs were accepted and what each must end as. A run counts as accepted when the API answered its submit.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Random } from '../random.ts'
import type { ApiClient } from './client.ts'
import { BRIEF, inputOf, LOADS, type Load, type LoadInput } from './workflows.ts'

export interface AcceptedRun {
  readonly id: string
  readonly load: Load
  readonly input: LoadInput
}

/** What the load did. */
export interface LoadFigures {
  readonly offered: number
  readonly accepted: number
  readonly decisions: number
  readonly messages: number
  readonly requestsSentAgain: number
}

interface Page<T> {
  readonly items: readonly T[]
  readonly nextCursor: string | null
}

const UNFINISHED = 'queued,running,waiting,paused,stopping'
const LOOK_EVERY_MS = 100
const OFFER_EVERY_MS = 5
/** Of a load by the second every tenth run is one of the mix; the others are brief. */
const BRIEF_RUNS_PER_MIXED = 9

/** How many runs are wanted. */
export type Pace =
  | { readonly runsAtOnce: number }
  | {
      readonly perSecond: number
      /** False: so much is open already that what is due now is not submitted, and not made up for later. */
      mayOffer(): boolean
    }

export class Driver {
  readonly accepted = new Map<string, AcceptedRun>()
  readonly #client: ApiClient
  readonly #service: string
  readonly #random: Random
  readonly #pace: Pace
  /** Decisions and messages under way; each is sent until it is answered. */
  readonly #errands = new Set<Promise<void>>()
  readonly #decided = new Set<string>()
  #count = 0
  #wanted = true
  #failure: unknown = null
  #loops: Promise<void>[] = []
  #decisions = 0
  #messages = 0
  /** Runs that were due and not submitted, see `Pace`. */
  heldBack = 0
  /** Runs whose decision or message the API has taken. */
  readonly answered = new Set<string>()

  constructor(parts: { client: ApiClient; service: string; random: Random; pace: Pace }) {
    this.#client = parts.client
    this.#service = parts.service
    this.#random = parts.random
    this.#pace = parts.pace
  }

  async start(): Promise<void> {
    for (const { name, definition } of [...LOADS, BRIEF]) {
      await this.#client.post('/workflows', { definition }, `workflow-${name}`)
    }
    const pace = this.#pace
    const load = 'perSecond' in pace ? this.#offerLoop(pace) : this.#submitLoop(pace.runsAtOnce)
    this.#loops = [load, this.#decideLoop()]
  }

  get figures(): LoadFigures {
    return {
      offered: this.#count,
      accepted: this.accepted.size,
      decisions: this.#decisions,
      messages: this.#messages,
      requestsSentAgain: this.#client.resent,
    }
  }

  /** Submits, decisions and messages that are not answered yet. */
  get unanswered(): number {
    return this.#errands.size
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

  async #submitLoop(runsAtOnce: number): Promise<void> {
    await this.#guarded(async () => {
      while (this.#wanted) {
        const free = runsAtOnce - (await this.unfinished()).length
        await Promise.all(
          Array.from({ length: Math.max(0, free) }, () =>
            this.#submit((n) => LOADS[n % LOADS.length] as Load),
          ),
        )
        await pause(LOOK_EVERY_MS)
      }
    })
  }

  async #offerLoop({ perSecond, mayOffer }: Extract<Pace, { perSecond: number }>): Promise<void> {
    const begun = performance.now()
    while (this.#wanted) {
      const due = ((performance.now() - begun) / 1_000) * perSecond
      while (this.#count + this.heldBack < due) {
        if (mayOffer()) this.#errand(() => this.#submit(mostlyBrief))
        else this.heldBack++
      }
      await pause(OFFER_EVERY_MS)
    }
  }

  async #submit(loadOf: (n: number) => Load): Promise<void> {
    const n = ++this.#count
    const load = loadOf(n)
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
    this.#messages++
    this.answered.add(id)
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

  async #decide(id: string, run: AcceptedRun): Promise<void> {
    const { load, input } = run
    const decision = load.decision?.(input) ?? 'approve'
    await this.#client.post(`/approvals/${id}/decide`, { decision }, `decide-${id}`)
    this.#decisions++
    this.answered.add(run.id)
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

function mostlyBrief(n: number): Load {
  const every = BRIEF_RUNS_PER_MIXED + 1
  return n % every === 0 ? (LOADS[(n / every) % LOADS.length] as Load) : BRIEF
}
