/**
 * The longest time in which a run that is owed something made no progress although nothing was broken.
 *
 * Looks into the database every half second. A run is owed something when a worker, a timer or an answered command is
 * due; time counts from its last event, or from the moment when the last fault had healed.
 */
import pg from 'pg'

const LOOK_EVERY_MS = 500

export interface Stall {
  readonly ms: number
  /** The run, and what it waited for. */
  readonly run: string
  readonly waitingFor: string
}

interface OwedRun {
  readonly id: string
  readonly seq: number
  readonly waiting: string
  readonly isOwed: boolean
}

const OPEN_RUNS = `
  select id, status || ' ' || array_to_string(waiting_for, ' ') as waiting,
    status <> 'waiting' or open_commands > 0 or 'timer' = any(waiting_for) as "isOwed",
    (select coalesce(max(seq), 0) from run_events where run_id = runs.id) as seq
  from runs where finished_at is null`

export class StallClock {
  readonly #seen = new Map<string, { readonly seq: number; readonly since: number }>()
  #faults = 0
  #healedAt: number
  longest: Stall = { ms: 0, run: '', waitingFor: '' }

  constructor(now: number) {
    this.#healedAt = now
  }

  faultBegins(): void {
    this.#faults++
  }

  faultHealed(now: number): void {
    this.#faults--
    this.#healedAt = now
  }

  look(runs: readonly OwedRun[], now: number): void {
    const open = new Set<string>()
    for (const { id, seq, waiting, isOwed } of runs) {
      open.add(id)
      const seen = this.#seen.get(id)
      if (!isOwed || seen === undefined || seen.seq !== seq) this.#seen.set(id, { seq, since: now })
      else if (this.#faults === 0) {
        const ms = now - Math.max(seen.since, this.#healedAt)
        if (ms > this.longest.ms) this.longest = { ms, run: id, waitingFor: waiting }
      }
    }
    for (const id of this.#seen.keys()) if (!open.has(id)) this.#seen.delete(id)
  }
}

export class StallWatch {
  readonly clock = new StallClock(performance.now())
  readonly #pool: pg.Pool
  #timer: NodeJS.Timeout | null = null
  #look: Promise<void> = Promise.resolve()
  #isOver = false
  /** As of the last look, children included. */
  openRuns = 0
  mostOpenRuns = 0

  constructor(databaseUrl: string) {
    this.#pool = new pg.Pool({ connectionString: databaseUrl, max: 1 })
    // The database is stopped now and then; the next look connects again.
    this.#pool.on('error', () => {})
  }

  start(): this {
    this.#look = this.#lookOnce()
    return this
  }

  /** May be called again. */
  async stop(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#timer) clearTimeout(this.#timer)
    await this.#look
    await this.#pool.end()
  }

  async #lookOnce(): Promise<void> {
    try {
      const { rows } = await this.#pool.query<OwedRun>(OPEN_RUNS)
      this.openRuns = rows.length
      this.mostOpenRuns = Math.max(this.mostOpenRuns, rows.length)
      this.clock.look(rows, performance.now())
    } catch {
      // The database is away: nobody makes progress, and a fault is under way.
    }
    if (this.#isOver) return
    this.#timer = setTimeout(() => {
      this.#look = this.#lookOnce()
    }, LOOK_EVERY_MS)
  }
}
