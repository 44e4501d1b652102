/**
 * One world from one seed: processes with the product's coordinators and workers, the twin of the store, the shared
 * transport, people, and faults. First everything goes wrong, then nothing does any more: then every run must end.
 */
import type { Json } from '@weft/engine'
import { generate } from '../../engine/test/world/generate.ts'
import { type Random, random } from '../../engine/test/world/random.ts'
import { Violation } from '../../engine/test/world/violation.ts'
import type { Service } from '../../server/src/service.ts'
import type { RunAppend } from '../../server/src/store/store.ts'
import { type ApiProcess, Callers } from './callers.ts'
import { Checks } from './checks.ts'
import { connectStore, isStoreAnswer } from './database.ts'
import { type FaultCounts, Faults } from './faults.ts'
import { Network } from './network.ts'
import type { Occurrence } from './occurrences.ts'
import { People } from './people.ts'
import { SimProcess } from './process.ts'
import { createSeam, type Seam } from './seam.ts'
import { compiled, openApi, openCoordinator, openWorker, TYPES } from './server.ts'
import { stepTypes } from './steps.ts'
import { Tables } from './store/tables.ts'
import { listening, STORED, stored, tied } from './ties.ts'
import { VirtualTime } from './time.ts'

export interface WorldResult {
  /** Hash of all that happened: the same seed makes the same one. */
  readonly trace: string
  readonly violation: Error | null
  readonly runs: number
  readonly calls: number
  readonly events: number
  readonly steps: number
  readonly faults: FaultCounts
  readonly occurrences: ReadonlyMap<string, number>
  readonly ends: readonly string[]
  /** What of the language its workflows use, and what people did. */
  readonly features: ReadonlySet<string>
  readonly commands: number
  readonly quarantines: number
  readonly virtualMs: number
}

const STEERED: ReadonlySet<string> = new Set([
  'run.paused',
  'run.patched',
  'run.cancelled',
  'run.retried',
  'message.received',
])

/** After the faults: no run may take longer, whatever it waits for. */
const PATIENCE_MS = 60 * 60_000
const CHECK_EVERY_MS = 1_000
/** So long before the faults end, messages are sent once more. */
const LAST_CALLS_MS = 100
const LAST_LETTERS = 2
const SMALLEST_WORKFLOW = 2
const LARGEST_WORKFLOW = 14
/** In worlds with ties, which have more runs. */
const LARGEST_TIED_WORKFLOW = 9
/** Draws which worlds have ties. The worlds that found something before there were any have none, and mean what they meant. */
const TIES_SALT = 9

export function playWorld(
  seed: number,
  watch: ((at: number, label: string) => void) | null = null,
): Promise<WorldResult> {
  return new World(seed, watch).play()
}

class World {
  readonly #random: Random
  readonly #time: VirtualTime
  readonly #tables = new Tables()
  readonly #faults: Faults
  readonly #checks: Checks
  readonly #seam: Seam
  readonly #network: Network
  readonly #people: People
  readonly #alive = new Set<SimProcess>()
  /** What runs in each process, in the order of their start. */
  readonly #services = new Map<SimProcess, readonly Service[]>()
  /** Processes that were asked to stop and have not. */
  readonly #stopping = new Set<SimProcess>()
  readonly #features = new Set<string>()
  /** Whether coordinators share the partitions; otherwise there is one. */
  readonly #isSharing: boolean
  readonly #once = new Map<string, number>()
  /** Draws the ties; `null` in a world without. */
  readonly #ties: Random | null
  readonly #callers: Callers | null
  #api: ApiProcess | null = null
  #processes = 0
  #violation: Error | null = null
  #isOver = false

  constructor(seed: number, watch: ((at: number, label: string) => void) | null) {
    this.#random = random(seed)
    const chance = (salt: number): Random => random(Math.imul(seed ^ salt, 0x9e3779b1))
    const time = new VirtualTime(chance(1), watch)
    const ties = chance(TIES_SALT)
    this.#ties = ties.chance(0.5) ? ties : null
    // Who calls an API process of its own shares all else, too: alone, one process is the whole.
    this.#isSharing = this.#random.chance(0.7) || this.#ties !== null
    this.#time = time
    this.#faults = new Faults(chance(2))
    const fail = (error: unknown): void => this.#fail(error)
    this.#checks = new Checks({
      tables: this.#tables,
      types: TYPES,
      time,
      random: chance(3),
      isCalm: this.#faults.isCalm,
      fail,
    })
    this.#seam = createSeam({
      time,
      random: chance(4),
      faults: this.#faults,
      kill: (process) => process.kill(),
      pause: (process) => this.#pause(process),
      isOrdinary: isStoreAnswer,
      fail,
    })
    const machine = new SimProcess('transport', time, chance(5), false)
    this.#network = new Network(
      { time, seam: this.#seam, faults: this.#faults, checks: this.#checks },
      machine.clock,
    )
    const process = new SimProcess('people', time, chance(6), false)
    this.#people = new People({
      ...this.#connect(process),
      process,
      tables: this.#tables,
      checks: this.#checks,
      faults: this.#faults,
      time,
      random: chance(7),
      fail,
    })
    this.#callers = this.#ties && this.#tie(process, this.#ties)
    this.#workflows(seed)
  }

  async play(): Promise<WorldResult> {
    const { chaosMs } = this.#populate()
    this.#time.after(chaosMs, 'the faults end', () => this.#heal())
    // What goes wrong with these is made up for by no other fault.
    for (let letter = 0; this.#callers && letter < LAST_LETTERS; letter++)
      this.#time.after(chaosMs - LAST_CALLS_MS, 'somebody calls', () => this.#callers?.send(true))
    while (!this.#isOver && (await this.#time.step())) {
      // Everything happens in `step`.
    }
    if (!this.#violation && !this.#isOver) this.#fail(new Violation('nothing happens any more'))
    if (!this.#violation) this.#finally()
    const logs = [...this.#checks.runs.values()]
    return {
      trace: this.#time.trace,
      violation: this.#violation,
      runs: logs.length,
      calls: this.#checks.calls,
      events: logs.reduce((sum, { log }) => sum + log.length, 0),
      steps: this.#time.steps,
      faults: this.#faults.counts,
      occurrences: this.#checks.occurrences.counts,
      features: this.#seen(),
      ends: logs.map(({ state }) => state.phase.kind),
      commands: this.#tables.inbox.size,
      quarantines: this.#checks.quarantines,
      virtualMs: this.#time.elapsedMs,
    }
  }

  #seen(): Set<string> {
    const seen = new Set<string>(this.#features)
    for (const { log } of this.#checks.runs.values())
      for (const { type } of log) if (STEERED.has(type)) seen.add(type)
    if (this.#tables.blobs.size > 0) seen.add('blob')
    if (this.#faults.isCalm) seen.add('no fault')
    if (this.#isSharing) seen.add('shared partitions')
    if (this.#ties) seen.add('ties')
    return seen
  }

  #fail(error: unknown): void {
    this.#violation ??= error instanceof Error ? error : new Error(String(error))
    this.#isOver = true
  }

  // ---- who there is ----------------------------------------------------------------------------------------------

  #connect(process: SimProcess) {
    const random = this.#random
    const parts = {
      tables: this.#tables,
      time: this.#time,
      seam: this.#seam,
      checks: this.#checks,
      afterlife: (longestMs: number) => random.int(longestMs),
      committed: (process: SimProcess, batch: readonly RunAppend[]) => this.#committed(process, batch),
      began: (process: SimProcess) => this.#dies(process, 0.15, 'killed after a run had begun'),
      kept: (process: SimProcess) => this.#dies(process, 0.5, 'sender killed before its look'),
    }
    return { store: connectStore(parts, process), transport: this.#network.connect(process) }
  }

  #workflows(seed: number): void {
    const ties = this.#ties
    const count = 1 + this.#random.int(3)
    const largest = ties ? LARGEST_TIED_WORKFLOW : LARGEST_WORKFLOW
    for (let index = 0; index < count; index++) {
      const size = SMALLEST_WORKFLOW + this.#random.int(largest - SMALLEST_WORKFLOW)
      const { definition, features } = generate(Math.imul(seed + 1, 31) + index, size)
      for (const feature of features) this.#features.add(feature)
      const graph = compiled(ties ? tied(definition, ties) : definition)
      const input = { v: this.#random.int(100) }
      this.#time.after(this.#random.int(8_000), 'somebody submits', () => this.#people.submit(graph, input))
    }
  }

  #tie({ clock }: SimProcess, ties: Random): Callers {
    const time = this.#time
    for (const name of STORED)
      time.after(ties.int(3_000), `${name} is pushed`, () => this.#people.push(compiled(stored(ties, name))))
    const fail = (error: unknown): void => this.#fail(error)
    const [checks, faults] = [this.#checks, this.#faults]
    const callers = new Callers({ api: () => this.#api, clock, checks, faults, random: ties, fail })
    const definition = listening(ties) as unknown as Json
    time.after(ties.int(20_000), 'somebody submits', () => callers.submit({ definition }))
    time.after(ties.int(20_000), 'somebody submits', () => callers.submit({ workflow: ties.pick(STORED) }))
    return callers
  }

  #populate(): { chaosMs: number } {
    const chance = this.#random
    const isTogether = chance.chance(0.4)
    const coordinators = this.#isSharing ? 1 + chance.int(3) : 1
    for (let index = 0; index < coordinators; index++) this.#boot('coordinator', isTogether)
    const workers = isTogether ? chance.int(2) : 1 + chance.int(3)
    for (let index = 0; index < workers; index++) this.#boot('worker', true)
    const chaosMs = 5_000 + chance.int(55_000)
    this.#worldFaults()
    if (chance.chance(0.75)) this.#activity()
    if (this.#ties) {
      this.#boot('api', false)
      this.#calls(this.#ties)
      this.#stops(this.#ties)
    }
    return { chaosMs }
  }

  /** Starts a process; when it ends, somebody starts another one. */
  #boot(role: 'coordinator' | 'worker' | 'api', hasWorker: boolean): void {
    const process = new SimProcess(
      `${role} ${++this.#processes}`,
      this.#time,
      random(this.#random.int(2 ** 30)),
    )
    this.#alive.add(process)
    const delayMs = 100 + this.#random.int(3_000)
    process.onDeath(() => {
      this.#alive.delete(process)
      this.#stopping.delete(process)
      if (this.#api?.process === process) this.#api = null
      this.#time.after(delayMs, `another ${role} is started`, () => this.#boot(role, hasWorker))
    })
    const parts = { ...this.#connect(process), process, checks: this.#checks }
    if (role === 'api') this.#api = { process, parts: openApi(parts) }
    const services: Service[] = []
    this.#services.set(process, services)
    if (role === 'coordinator') {
      const coordinator = openCoordinator(parts, this.#isSharing)
      services.push(coordinator)
      coordinator.start().catch(() => process.kill())
    }
    if (!hasWorker) return
    const fail = (error: unknown): void => this.#fail(error)
    const began = (worker: SimProcess): void => this.#dies(worker, 0.15, 'worker killed in an act')
    const means = {
      checks: this.#checks,
      random: random(this.#random.int(2 ** 30)),
      fail,
      began,
      once: this.#once,
    }
    const worker = openWorker(parts, stepTypes(means, process), 1 + this.#random.int(6))
    services.push(worker)
    void worker.start()
  }

  // ---- what goes wrong -------------------------------------------------------------------------------------------

  #pause(process: SimProcess): void {
    if (process.isPaused || process.isDead) return
    process.pause()
    const pauseMs = this.#random.chance(0.5) ? this.#random.int(5_000) : this.#random.int(60_000)
    this.#time.after(pauseMs, `${process.name} goes on`, () => process.resume())
  }

  #worldFaults(): void {
    this.#time.after(500 + this.#random.int(12_000), 'something goes wrong', () => {
      if (this.#faults.isOver) return
      const [session] = this.#tables.sessions
      const dice = this.#random.int(3)
      if (dice === 0 && this.#faults.strike('wiped')) this.#wipe()
      if (dice === 1 && session && this.#faults.strike('session ended')) session.end()
      if (dice === 2 && this.#alive.size > 0 && this.#faults.strike('clock jump'))
        this.#random.pick([...this.#alive]).clockOffsetMs = this.#random.int(40_000) - 20_000
      this.#worldFaults()
    })
  }

  #wipe(): void {
    this.#time.note('the transport is wiped')
    this.#network.wipe()
  }

  #activity(): void {
    this.#time.after(200 + this.#random.int(6_000), 'somebody acts', () => {
      if (this.#faults.isOver) return
      this.#people.act()
      this.#activity()
    })
  }

  // ---- ties ------------------------------------------------------------------------------------------------------

  #calls(ties: Random): void {
    this.#time.after(200 + ties.int(4_000), 'somebody calls', () => {
      if (this.#faults.isOver) return
      const dice = ties.int(100)
      if (dice < 10) this.#people.push(compiled(stored(ties)))
      else if (dice < 25) this.#people.propose(ties)
      else if (dice < 37) this.#people.resolve(ties)
      else this.#callers?.act()
      this.#calls(ties)
    })
  }

  /** Somebody stops a process, as a deployment does: it ends when it has handed over what it has. */
  #stops(ties: Random): void {
    this.#time.after(2_000 + ties.int(20_000), 'somebody stops a process', () => {
      if (this.#faults.isOver || this.#faults.isCalm) return
      const running = [...this.#alive].filter((process) => !process.isPaused && !this.#stopping.has(process))
      if (running.length > 0) void this.#stop(ties.pick(running))
      this.#stops(ties)
    })
  }

  async #stop(process: SimProcess): Promise<void> {
    this.#stopping.add(process)
    this.#checks.occurrences.add('process asked to stop')
    for (const service of [...(this.#services.get(process) ?? [])].reverse()) await service.stop()
    if (process.isDead) return
    this.#checks.occurrences.add('process stopped')
    process.kill()
  }

  /** Owners die, or stand still, right after the commits from which something follows. */
  #committed(process: SimProcess, batch: readonly RunAppend[]): void {
    const events = batch.flatMap((run) => run.events)
    const isFailure = events.some(({ type }) => type === 'run.failed')
    const isWait = events.some((event) => event.type === 'step.waiting' && event.wait.kind !== 'timer')
    if (!this.#ties || (!isFailure && !isWait) || !this.#ties.chance(isFailure ? 0.3 : 0.06)) return
    const what = isFailure ? 'owner killed after a failure' : 'owner killed after a wait opened'
    if (this.#ties.chance(0.3)) {
      if (this.#faults.strike('paused')) this.#pause(process)
    } else if (this.#faults.strike('killed after')) {
      this.#checks.occurrences.add(what)
      process.kill()
    }
  }

  /** So do others at moments after which somebody else has to go on. */
  #dies(process: SimProcess, probability: number, what: Occurrence): void {
    if (!process.isMortal || !this.#ties?.chance(probability) || !this.#faults.strike('killed after')) return
    this.#checks.occurrences.add(what)
    process.kill()
  }

  // ---- how it ends -----------------------------------------------------------------------------------------------

  #heal(): void {
    this.#faults.end()
    for (const process of this.#alive) {
      process.resume()
      process.clockOffsetMs = 0
    }
    this.#conclude(this.#time.elapsedMs + PATIENCE_MS)
  }

  #conclude(deadline: number): void {
    const isOver = this.#checks.open().length === 0 && this.#checks.kinship.owed().length === 0
    const isBusy = this.#people.isBusy || this.#callers?.isBusy === true || this.#stopping.size > 0
    if (isOver && !isBusy && this.#unanswered() === null) {
      this.#isOver = true
      return
    }
    if (this.#time.elapsedMs > deadline) {
      this.#fail(
        new Violation(
          `hangs: ${this.#checks.describeOpen() || this.#unanswered() || this.#unbegun() || this.#unstopped() || 'a call of somebody is not answered'}`,
        ),
      )
      return
    }
    this.#concludes()
    this.#time.after(CHECK_EVERY_MS, 'the end is looked for', () => this.#conclude(deadline))
  }

  #concludes(): void {
    try {
      this.#people.conclude()
    } catch (error) {
      this.#fail(error)
    }
  }

  #unbegun(): string | null {
    const [runId] = this.#checks.kinship.owed()
    return runId === undefined ? null : `run ${runId} failed, and nothing was started for it`
  }

  #unstopped(): string | null {
    const [process] = this.#stopping
    return process ? `${process.name} was asked to stop and does not` : null
  }

  #unanswered(): string | null {
    for (const { id, runId, verdict, command } of this.#tables.inbox.values()) {
      if (verdict !== null) continue
      const { status, wakeAt, stuckReason } = this.#tables.runs.get(runId) ?? {}
      return `command ${id} (${command}) of run ${runId} is not answered; the run is ${status}, wakes at ${wakeAt}, set aside: ${stuckReason}`
    }
    return null
  }

  #finally(): void {
    try {
      this.#checks.finally()
      this.#people.finally()
      this.#callers?.finally()
    } catch (error) {
      this.#fail(error)
    }
  }
}
