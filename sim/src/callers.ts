/**
 * Those outside who call an API process: they submit and fork runs, and send messages by correlation, by the product's own
 * code.
 * The process may die under a call; then the caller repeats it, under the same id or key, or gives up.
 */
import type { ForkPoint, Json } from '@weft/engine'
import { RandomPatches } from '../../engine/test/world/patches.ts'
import type { Random } from '../../engine/test/world/random.ts'
import { Violation } from '../../engine/test/world/violation.ts'
import type { Principal } from '../../server/src/api/call.ts'
import { ApiError } from '../../server/src/api/errors.ts'
import { type ForkParts, forkRun } from '../../server/src/api/fork.ts'
import { type MessageParts, messageHandlers } from '../../server/src/api/routes/messages.ts'
import { createSubmit, type Submission, type SubmitParts } from '../../server/src/api/submit.ts'
import type { Clock } from '../../server/src/clock.ts'
import { StoreError } from '../../server/src/store/store.ts'
import type { Checks, Shadow } from './checks.ts'
import { messageWaits } from './delivery.ts'
import type { Faults } from './faults.ts'
import type { SimProcess } from './process.ts'
import { LARGEST_VALUE, MESSAGE_KEYS, messageName } from './ties.ts'

/** An API process, as its callers know it. */
export interface ApiProcess {
  readonly process: SimProcess
  readonly parts: ForkParts & MessageParts & SubmitParts
}

export interface CallersParts {
  /** Whoever answers at the moment; `null` while none does. */
  readonly api: () => ApiProcess | null
  readonly clock: Clock
  readonly checks: Checks
  readonly faults: Pick<Faults, 'counts'>
  readonly random: Random
  readonly fail: (error: unknown) => void
}

const RETRY_MS = 400
const LONGEST_ECHO_MS = 6_000
/** The label that names a submit. */
const SUBMIT = 'submit'
const MOST_FORKS = 2
const TTLS_MS = [1_000, 20_000, 3_600_000, 3_600_000] as const
/** Answers after which the same request is sent again. */
const TEMPORARY: ReadonlySet<string> = new Set(['store_unavailable', 'store_busy', 'outcome_unknown'])
const PRINCIPAL: Principal = {
  workspace: 'default',
  actor: 'somebody',
  role: 'admin',
  taskTypes: null,
  keyId: null,
}

export class Callers {
  readonly #parts: CallersParts
  readonly #patches = new RandomPatches()
  #letters = 0
  #forks = 0
  #submits = 0
  #underWay = 0
  /** What was answered: ids of messages, and of runs. */
  readonly #messages: string[] = []
  readonly #begun: string[] = []

  constructor(parts: CallersParts) {
    this.#parts = parts
  }

  get isBusy(): boolean {
    return this.#underWay > 0
  }

  act(): void {
    const { checks, random } = this.#parts
    const runs = [...checks.runs.values()]
    if (random.chance(0.75) || runs.length === 0) this.send(random.chance(0.6))
    else if (this.#forks < MOST_FORKS) this.#fork(random.pick(runs))
  }

  submit(what: Submission['what']): void {
    const { checks, random } = this.#parts
    const key = `submit ${++this.#submits}`
    const submission: Submission = {
      workspace: PRINCIPAL.workspace,
      actor: PRINCIPAL.actor,
      what,
      input: { v: random.int(LARGEST_VALUE) },
      labels: { [SUBMIT]: key },
      idempotency: { key, route: 'POST /runs' },
    }
    let asked = 0
    this.#ask(async ({ parts }) => {
      if (++asked > 1) checks.occurrences.add('submit asked for again')
      const { id } = await createSubmit(parts)(submission)
      this.#begun.push(id)
      checks.occurrences.add('submit')
      if (random.chance(0.4)) this.#tellAgain(parts, id)
    }, random.chance(0.8))
  }

  /**
   * The signal that a run has begun comes twice, the second time when the run has gone on. Not where clocks have jumped:
   * it is by the clocks of two processes that an owner tells what was begun before its time.
   */
  #tellAgain({ transport }: ApiProcess['parts'], runId: string): void {
    const { checks, clock, faults, random } = this.#parts
    clock.after(random.int(LONGEST_ECHO_MS), () => {
      const started = checks.runs.get(runId)?.log[0]
      if (started?.type !== 'run.started' || faults.counts['clock jump'] > 0) return
      checks.occurrences.add('beginning told again')
      const signal = { kind: 'begun' as const, workspace: PRINCIPAL.workspace, started }
      transport.signals.send([{ runId, signal }]).catch(() => {})
    })
  }

  /** @param isMeant for somebody who waits now, if anybody does; otherwise for whoever will */
  send(isMeant: boolean): void {
    const { checks, random } = this.#parts
    const id = `letter ${++this.#letters}`
    const waits = checks.open().flatMap(({ state }) => messageWaits(state))
    const wanted = waits.length > 0 && isMeant ? random.pick(waits) : null
    const name = wanted?.name ?? messageName(random)
    const key = wanted?.correlationKey ?? (random.chance(0.6) ? random.pick(MESSAGE_KEYS) : undefined)
    const data = { v: wanted ? LARGEST_VALUE : random.int(LARGEST_VALUE) }
    const body = { id, name, data, ttl: random.pick(TTLS_MS), ...(key === undefined ? {} : { key }) }
    checks.occurrences.add('message sent')
    checks.delivery.written({ id, name, data, ...(key === undefined ? {} : { correlationKey: key }) })
    this.#ask(async ({ parts }) => {
      await messageHandlers(parts).postMessage({
        principal: PRINCIPAL,
        params: {},
        query: undefined,
        headers: {},
        body,
        idempotencyKey: undefined,
        setHeaders() {},
        gone: () => new AbortController().signal,
      })
      this.#messages.push(id)
    }, random.chance(0.3))
  }

  #fork(shadow: Shadow): void {
    const { checks, random } = this.#parts
    const name = `fork ${++this.#forks}`
    const point = pointOf(shadow, random)
    const operations = random.chance(0.4) ? this.#operations(shadow) : undefined
    let asked = 0
    this.#ask(async ({ parts }) => {
      if (++asked > 1) checks.occurrences.add('fork asked for again')
      const source = await parts.store.runs.get({ workspace: PRINCIPAL.workspace, id: shadow.id })
      if (!source) throw new Violation(`run ${shadow.id} was there and is not known any more`)
      const { id } = await forkRun(parts, {
        principal: PRINCIPAL,
        source,
        point,
        reason: name,
        ...(operations === undefined ? {} : { operations }),
        idempotencyKey: name,
        admit: undefined,
      })
      this.#begun.push(id)
      checks.occurrences.add('fromStep' in point ? 'replay from a step' : 'fork')
    }, random.chance(0.8))
  }

  #operations({ state }: Shadow): Json {
    return this.#patches.make(state, this.#parts.random, 1_000 + this.#forks).operations
  }

  /**
   * Asks until it is answered. Who is not patient gives up when the process dies: what he asked for may have happened.
   */
  #ask(request: (api: ApiProcess) => Promise<void>, isPatient: boolean): void {
    const { api, clock, checks, fail } = this.#parts
    this.#underWay++
    const over = (): void => void this.#underWay--
    const again = (): void => void clock.after(RETRY_MS, attempt)
    const attempt = (): void => {
      const asked = api()
      if (!asked) {
        again()
        return
      }
      const withdraw = asked.process.onDeath(isPatient ? again : over)
      request(asked).then(
        () => {
          withdraw()
          over()
        },
        (error: unknown) => {
          withdraw()
          if (isTemporary(error)) {
            again()
            return
          }
          over()
          if (error instanceof ApiError) checks.occurrences.add('call refused')
          else fail(error)
        },
      )
    }
    attempt()
  }

  /** What was answered stays. */
  finally(): void {
    const { checks } = this.#parts
    for (const id of this.#begun)
      if (!checks.runs.has(id)) throw new Violation(`run ${id} was accepted and does not exist`)
    const keys = [...checks.runs.values()].flatMap(({ state }) =>
      state.parent || state.forkedFrom || state.failureOf ? [] : (state.labels[SUBMIT] ?? []),
    )
    const twice = keys.find((key, index) => keys.indexOf(key) < index)
    if (twice !== undefined) throw new Violation(`R15: ${twice} began two runs`)
    for (const id of this.#messages)
      if (!checks.delivery.isKnown(id)) throw new Violation(`message ${id} was accepted and does not exist`)
  }
}

const isTemporary = (error: unknown): boolean =>
  error instanceof StoreError || (error instanceof ApiError && TEMPORARY.has(error.code))

function pointOf({ state, log }: Shadow, random: Random): ForkPoint {
  const reached = [...state.steps.values()].flatMap(({ id, reachedAt }) => (reachedAt === null ? [] : [id]))
  if (reached.length > 0 && random.chance(0.4)) return { fromStep: random.pick(reached) }
  return { atSeq: 1 + random.int(log.length) }
}
