/**
 * How coordinators share the partitions (R4): each shows every two seconds that it lives, takes its share, gives up what
 * others lack, and ends the session of one that fell silent.
 *
 * 1. This process owns what it owns for as long as its last beat is younger than the silence after which peers end its
 *    session. Past that it may have been ended without knowing (it was stopped, or cut off), so it lets go by itself:
 *    tasks that it published then could come after their results.
 * 2. Who was silent itself, for whatever reason, judges nobody at that turn: after an outage of the database everybody
 *    looks dead, and the first to come back must not end the others' sessions.
 * 3. A new session is a new member. A session that was left behind on a broken connection falls silent, and is ended.
 */
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { CoordinatorRow, Store } from '../store/store.ts'
import type { Transport } from '../transport/transport.ts'
import { pause } from './commit.ts'
import { CLAIM_PATIENCE_MS, takenByStranger } from './ownership.ts'
import { planShares, SILENT_MS } from './shares.ts'
import type { Tenure } from './tenure.ts'
import type { Trouble } from './trouble.ts'

export const BEAT_EVERY_MS = 2_000
/** Shorter than the silence that peers allow, by what a frozen process may need to notice. */
const LEASE_MS = SILENT_MS - 500
const SILENT_MYSELF_MS = 2 * BEAT_EVERY_MS
/** Somebody was quicker at a free partition, or a session was just ended. */
const SOON_MS = 100
const FAREWELL_MS = 2_000

export interface MembershipParts {
  readonly store: Pick<Store, 'coordinators'>
  readonly transport: Pick<Transport, 'live'>
  readonly clock: Clock
  readonly log: Log
  readonly trouble: Trouble
  readonly name: string
  /** The partitions may be somebody else's by now. */
  readonly lost: () => void
}

export class Membership {
  readonly #parts: MembershipParts
  readonly #id: string
  #tenure: Tenure | null = null
  #session: string
  #leasedUntil = Number.NEGATIVE_INFINITY
  #mayJudge = false
  #isLeaving = false
  #isOver = false
  #beating: Promise<void> | null = null
  #arranging: Promise<void> | null = null
  #again = false
  #withdraw: () => void = () => {}
  #unsubscribe: () => void = () => {}

  constructor(parts: MembershipParts, session: { readonly id: string }) {
    this.#parts = parts
    this.#id = parts.clock.id()
    this.#session = session.id
  }

  /** Whether no peer can have ended the session yet. */
  isLeased(): boolean {
    return this.#parts.clock.monotonic() < this.#leasedUntil
  }

  /** The first sign of life; nothing may be owned before it. */
  async introduce(): Promise<void> {
    await this.#beat()
  }

  /** Takes the first share, as far as it is free, and keeps it even from now on. */
  async join(tenure: Tenure, mayWait: boolean): Promise<void> {
    const { live } = this.#parts.transport
    this.#tenure = tenure
    this.#unsubscribe = live.subscribe(({ kind }) => {
      if (kind === 'partitions') this.#arrangeSoon(0)
    })
    const { clock } = this.#parts
    const deadline = clock.monotonic() + CLAIM_PATIENCE_MS
    for (;;) {
      const stranger = await this.#arrangeOnce()
      if (!stranger) break
      if (!mayWait || clock.monotonic() >= deadline) throw takenByStranger(stranger.name)
      await pause(clock, SOON_MS)
      await this.#beat()
    }
    // Those who own more than their share now give it up at once.
    this.#announce()
    this.#schedule()
  }

  /** One turn of what otherwise happens every two seconds. */
  async tick(): Promise<void> {
    await this.#turn()
    await this.#arranging
  }

  /** Takes part no more, without a word: the session is gone. */
  end(): void {
    this.#isOver = true
    this.#withdraw()
    this.#unsubscribe()
  }

  /** Hands everything over and says so. */
  async leave(): Promise<void> {
    const { clock } = this.#parts
    this.#isLeaving = true
    this.end()
    await this.#arranging
    // Peers count without this one from now on, so that they are ready for what it lets go.
    await Promise.race([this.#beat().catch(() => {}), pause(clock, FAREWELL_MS)])
    const tenure = this.#tenure
    if (!tenure) return
    await tenure.giveUp([...tenure.partitions]).catch(() => {})
    this.#announce()
  }

  async forget(): Promise<void> {
    const { store, clock } = this.#parts
    await Promise.race([
      store.coordinators.leave({ id: this.#id }).catch(() => {}),
      pause(clock, FAREWELL_MS),
    ])
  }

  #announce(): void {
    this.#parts.transport.live.publish([{ kind: 'partitions' }])
  }

  #schedule(): void {
    if (this.#isOver) return
    this.#withdraw = this.#parts.clock.after(BEAT_EVERY_MS, () => {
      void this.#turn()
      this.#schedule()
    })
  }

  async #turn(): Promise<void> {
    if (this.#isOver) return
    const { trouble, lost } = this.#parts
    if (!this.isLeased()) {
      lost()
      return
    }
    if (this.#beating) return
    this.#beating = this.#beat()
    try {
      await this.#beating
      trouble.over('beat')
      this.#arrangeSoon(0)
    } catch (error) {
      if (!this.#isOver) trouble.began('beat', error)
    } finally {
      this.#beating = null
    }
  }

  async #beat(): Promise<void> {
    const { store, clock, name } = this.#parts
    const sentAt = clock.monotonic()
    const { silentBeforeMs } = await store.coordinators.beat({
      id: this.#id,
      name,
      session: this.#session,
      leaving: this.#isLeaving,
    })
    this.#leasedUntil = sentAt + LEASE_MS
    this.#mayJudge = silentBeforeMs === null || silentBeforeMs <= SILENT_MYSELF_MS
  }

  #arrangeSoon(delayMs: number): void {
    if (this.#isOver) return
    if (delayMs > 0) {
      this.#parts.clock.after(delayMs, () => this.#arrangeSoon(0))
      return
    }
    if (this.#arranging) {
      this.#again = true
      return
    }
    this.#arranging = this.#arrange().finally(() => {
      this.#arranging = null
    })
  }

  async #arrange(): Promise<void> {
    const { trouble } = this.#parts
    do {
      this.#again = false
      try {
        const stranger = await this.#arrangeOnce()
        if (stranger) trouble.began('partitions', takenByStranger(stranger.name))
        else trouble.over('partitions')
      } catch (error) {
        // A broken session is noticed by its own end.
        if (!this.#isOver) trouble.began('partitions', error)
      }
    } while (this.#again && !this.#isOver)
  }

  /** Answers who keeps this one from its share without sharing at all. */
  async #arrangeOnce(): Promise<CoordinatorRow | null> {
    const { store, log } = this.#parts
    const tenure = this.#tenure
    if (!tenure) return null
    const coordinators = await store.coordinators.list()
    const plan = planShares(this.#id, tenure.partitions, coordinators)
    if (this.#isOver) return null
    if (plan.silent.length > 0 && this.#mayJudge) {
      const ended = await store.coordinators.evict({ ids: plan.silent, silentMs: SILENT_MS })
      for (const { id, name, silentMs } of coordinators) {
        if (id === null || !ended.includes(id)) continue
        const seconds = (silentMs / 1000).toFixed(1)
        log.warn({ coordinator: name }, `${name} was silent for ${seconds} s: its session was ended`)
      }
      this.#arrangeSoon(SOON_MS)
    }
    this.#watchSilent(coordinators)
    if (plan.giveUp.length > 0) {
      await tenure.giveUp(plan.giveUp)
      log.info({ partitions: plan.giveUp }, `partitions ${plan.giveUp.join(', ')} are handed over`)
      this.#announce()
    }
    if (plan.claim.length > 0) {
      const owned = await tenure.take(plan.claim)
      if (owned.length > 0) log.info({ partitions: owned }, `partitions ${owned.join(', ')} are taken`)
      if (owned.length < plan.claim.length) this.#arrangeSoon(SOON_MS)
    }
    return tenure.partitions.size === 0 ? plan.stranger : null
  }

  /** Looks again as soon as a peer would have been silent for too long, not at the next beat after. */
  #watchSilent(coordinators: readonly CoordinatorRow[]): void {
    for (const { id, silentMs } of coordinators) {
      const leftMs = SILENT_MS - silentMs
      if (id !== null && id !== this.#id && leftMs > 0 && leftMs < BEAT_EVERY_MS)
        this.#arrangeSoon(leftMs + SOON_MS)
    }
  }
}
