/**
 * One world from one seed: processes with the product's coordinators and workers, the twin of the store, the shared
 * transport, people, and faults. First everything goes wrong, then nothing does any more: then every run must end.
 */
import { compile, type Graph } from '@weft/engine'
import { type GeneratedWorkflow, generate } from '../../engine/test/world/generate.ts'
import { type Random, random } from '../../engine/test/world/random.ts'
import { Checks } from './checks.ts'
import { connectStore, isStoreAnswer } from './database.ts'
import { type FaultCounts, Faults } from './faults.ts'
import { Network } from './network.ts'
import { People } from './people.ts'
import { SimProcess } from './process.ts'
import { createSeam, type Seam } from './seam.ts'
import { startCoordinator, startWorker, TYPES } from './server.ts'
import { stepTypes } from './steps.ts'
import { Tables } from './store/tables.ts'
import { VirtualTime } from './time.ts'
import { Violation } from './violation.ts'

export interface WorldResult {
  /** Hash of all that happened: the same seed makes the same one. */
  readonly trace: string
  readonly violation: Error | null
  readonly runs: number
  readonly calls: number
  readonly events: number
  readonly steps: number
  readonly faults: FaultCounts
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
const SMALLEST_WORKFLOW = 2
const LARGEST_WORKFLOW = 14
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
  readonly #features = new Set<string>()
  /** Whether coordinators share the partitions; otherwise there is one. */
  readonly #isSharing: boolean
  readonly #once = new Map<string, number>()
  #processes = 0
  #violation: Error | null = null
  #isOver = false

  constructor(seed: number, watch: ((at: number, label: string) => void) | null) {
    this.#random = random(seed)
    const chance = (salt: number): Random => random(Math.imul(seed ^ salt, 0x9e3779b1))
    const time = new VirtualTime(chance(1), watch)
    this.#isSharing = this.#random.chance(0.7)
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
    this.#workflows(seed)
  }

  async play(): Promise<WorldResult> {
    const { chaosMs } = this.#populate()
    this.#time.after(chaosMs, 'the faults end', () => this.#heal())
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
    }
    return { store: connectStore(parts, process), transport: this.#network.connect(process) }
  }

  #workflows(seed: number): void {
    const count = 1 + this.#random.int(3)
    for (let index = 0; index < count; index++) {
      const size = SMALLEST_WORKFLOW + this.#random.int(LARGEST_WORKFLOW - SMALLEST_WORKFLOW)
      const workflow = generate(Math.imul(seed + 1, 31) + index, size)
      for (const feature of workflow.features) this.#features.add(feature)
      const graph = compiled(workflow)
      const input = { v: this.#random.int(100) }
      this.#time.after(this.#random.int(8_000), 'somebody submits', () => this.#people.submit(graph, input))
    }
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
    return { chaosMs }
  }

  /** Starts a process; when it ends, somebody starts another one. */
  #boot(role: 'coordinator' | 'worker', hasWorker: boolean): void {
    const process = new SimProcess(
      `${role} ${++this.#processes}`,
      this.#time,
      random(this.#random.int(2 ** 30)),
    )
    this.#alive.add(process)
    const delayMs = 100 + this.#random.int(3_000)
    process.onDeath(() => {
      this.#alive.delete(process)
      this.#time.after(delayMs, `another ${role} is started`, () => this.#boot(role, hasWorker))
    })
    const parts = { ...this.#connect(process), process, checks: this.#checks }
    if (role === 'coordinator') startCoordinator(parts, this.#isSharing).catch(() => process.kill())
    if (!hasWorker) return
    const fail = (error: unknown): void => this.#fail(error)
    const means = { checks: this.#checks, random: random(this.#random.int(2 ** 30)), fail, once: this.#once }
    void startWorker(parts, stepTypes(means, process), 1 + this.#random.int(6))
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
      // Who stands still while somebody else than a peer ends its session may publish what follows from its last commit
      // once more: beyond what is promised, see decision 0018.
      const frozen = new Set([...this.#alive].filter(({ isPaused }) => isPaused).map(({ name }) => name))
      const session = [...this.#tables.sessions].find(({ name }) => !frozen.has(name))
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
    if (this.#checks.open().length === 0 && !this.#people.isBusy && this.#unanswered() === null) {
      this.#isOver = true
      return
    }
    if (this.#time.elapsedMs > deadline) {
      this.#fail(
        new Violation(
          `hangs: ${this.#checks.describeOpen() || this.#unanswered() || 'a call of somebody is not answered'}`,
        ),
      )
      return
    }
    this.#people.conclude()
    this.#time.after(CHECK_EVERY_MS, 'the end is looked for', () => this.#conclude(deadline))
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
    } catch (error) {
      this.#fail(error)
    }
  }
}

function compiled({ definition }: GeneratedWorkflow): Graph {
  const result = compile(definition, TYPES)
  if (!result.ok) throw new Error(`the generated workflow is invalid: ${JSON.stringify(result.problems)}`)
  return result.graph
}
