/**
 * Those outside: they submit runs, steer them, decide and send messages, each call repeated under its own id until it is
 * answered. At the end they see to it that nothing waits for them.
 */
import type { Command, Graph, Json, RunEvent, RunState, Verdict } from '@weft/engine'
import { explain } from '@weft/engine'
import { RandomPatches } from '../../engine/test/world/patches.ts'
import { fateOf, type Random } from '../../engine/test/world/random.ts'
import { Violation } from '../../engine/test/world/violation.ts'
import type { NewRun, RunStore } from '../../server/src/store/store.ts'
import type { Transport } from '../../server/src/transport/transport.ts'
import type { Checks, Shadow } from './checks.ts'
import { messageWaitOf } from './delivery.ts'
import type { Faults } from './faults.ts'
import type { SimProcess } from './process.ts'
import { parse, type Tables } from './store/tables.ts'
import type { VirtualTime } from './time.ts'

export interface PeopleParts {
  readonly process: SimProcess
  readonly store: RunStore
  readonly transport: Transport
  readonly tables: Tables
  readonly checks: Checks
  readonly faults: Faults
  readonly time: VirtualTime
  readonly random: Random
  readonly fail: (error: unknown) => void
}

const WORKSPACE = 'default'
const RETRY_MS = 300

export class People {
  /** Runs whose submit was answered. */
  readonly submitted: string[] = []
  /** Commands whose insert was answered. */
  readonly sent: string[] = []
  readonly #parts: PeopleParts
  readonly #patches = new RandomPatches()
  #count = 0
  #underWay = 0
  /** Waits and runs for which a last word is on its way, by the command's id. */
  readonly #lastWords = new Map<string, string>()

  constructor(parts: PeopleParts) {
    this.#parts = parts
  }

  get isBusy(): boolean {
    return this.#underWay > 0
  }

  submit(graph: Graph, input: Json): void {
    const { process, store, transport } = this.#parts
    const id = process.clock.id()
    const { name } = graph.definition
    this.#persist(async () => {
      await store.graphs.put({ hash: graph.hash, definition: graph.definition as unknown as Json })
      const started: NewRun['started'] = {
        type: 'run.started',
        at: process.clock.now(),
        graph: graph.hash,
        input,
        labels: {},
        workflow: { name, version: null },
        vars: {},
        actor: 'somebody',
      }
      const run = { id, workspace: WORKSPACE, workflow: name, version: null, graph: graph.hash, started }
      await store.runs.begin(run)
      this.submitted.push(id)
      transport.signals
        .send([{ runId: id, signal: { kind: 'begun', workspace: WORKSPACE, started } }])
        .catch(nobody)
    })
  }

  /** A workflow for the store: the next version of its name. */
  push(graph: Graph): void {
    const { process, store } = this.#parts
    const definition = graph.definition as unknown as Json
    this.#persist(async () => {
      await store.graphs.put({ hash: graph.hash, definition })
      await store.workflows.push({
        workspace: WORKSPACE,
        name: graph.definition.name,
        graph: graph.hash,
        definition,
        source: null,
        description: null,
        tags: [],
        at: process.clock.now(),
      })
    })
  }

  /** Something that somebody does at any time. */
  act(): void {
    const { checks, random, time } = this.#parts
    const runs = [...checks.runs.values()]
    if (runs.length === 0) return
    const shadow = random.pick(runs)
    const dice = random.int(100)
    if (dice < 14) this.#send(shadow, { kind: 'pause' })
    else if (dice < 32) this.#send(shadow, { kind: 'resume' })
    else if (dice < 37) this.#send(shadow, { kind: 'cancel' })
    else if (dice < 45) this.#send(shadow, { kind: 'retry' })
    else if (dice < 60) this.#send(shadow, this.#patch(shadow, random))
    else if (dice < 68) this.#send(shadow, this.#message(random.pick(['m1', 'm2'])))
    else
      for (const words of answers(shadow.state, time.now, () => this.#message.bind(this)))
        this.#send(shadow, words)
  }

  /** An agent proposes a patch of some run. */
  propose(random: Random): void {
    const runs = [...this.#parts.checks.runs.values()]
    if (runs.length === 0) return
    const shadow = random.pick(runs)
    this.#send(shadow, { ...this.#patch(shadow, random), by: 'agent' })
  }

  /** Says what became of an act of which nobody knows whether it happened. */
  resolve(random: Random): void {
    for (const shadow of this.#parts.checks.runs.values()) {
      const steps = [...shadow.state.steps.values()]
      const key = steps.find(({ error }) => error?.code === 'outcome_unknown')?.id
      if (key === undefined || shadow.state.phase.kind !== 'failed') continue
      const outcome = random.chance(0.5) ? 'done' : 'not_done'
      this.#parts.checks.occurrences.add('outcome resolved')
      this.#send(shadow, { kind: 'resolve', key, outcome, output: { v: 1 } })
    }
  }

  #patch({ state }: Shadow, random: Random): Extract<Command, { kind: 'patch' }> {
    return { kind: 'patch', ...this.#patches.make(state, random, ++this.#count), reason: 'because' }
  }

  /** Whatever waits for somebody gets its answer, once. */
  conclude(): void {
    const { checks, tables, time } = this.#parts
    for (const { id } of checks.runs.values())
      if (tables.runs.get(id)?.stuckReason != null) this.#once(`recover ${id}`, () => this.#recover(id))
    for (const shadow of checks.open()) {
      if (tables.runs.get(shadow.id)?.stuckReason != null) continue
      if (shadow.state.phase.kind === 'paused') {
        this.#last(`${shadow.id} ${shadow.state.seq}`, shadow, { kind: 'resume' })
        continue
      }
      for (const { waitsFor, subject, token } of explain(shadow.state, time.now)) {
        if (subject === undefined) continue
        const name = `${shadow.id} ${token} ${subject} ${shadow.state.seq}`
        if (waitsFor === 'approval') this.#last(name, shadow, decision(subject))
        else if (waitsFor === 'message') this.#lastMessage(name, shadow, token)
      }
    }
  }

  /** What lies in the store for the wait is for it to find. */
  #lastMessage(name: string, shadow: Shadow, key: string): void {
    const open = messageWaitOf(shadow.state, key)
    if (!open || this.#lastWords.has(name) || this.#parts.checks.delivery.isBeside(open)) return
    this.#last(name, shadow, this.#message(open.wait.name, open.wait.correlationKey))
  }

  #message(name: string, correlationKey?: string): Command {
    const id = `message ${++this.#count}`
    const data = { v: 60 }
    const key = correlationKey === undefined ? {} : { correlationKey }
    this.#parts.checks.delivery.written({ id, name, data, ...key })
    return { kind: 'message', messageId: id, name, ...key, data, ttlMs: 60_000 }
  }

  #last(name: string, shadow: Shadow, command: Command): void {
    if (this.#lastWords.has(name)) return
    this.#lastWords.set(name, this.#send(shadow, command))
  }

  #once(name: string, act: () => void): void {
    if (this.#lastWords.has(name)) return
    this.#lastWords.set(name, '')
    act()
  }

  #recover(runId: string): void {
    const { store } = this.#parts
    this.#persist(async () => {
      await store.runs.recover({ workspace: WORKSPACE, id: runId })
      this.#lastWords.delete(`recover ${runId}`)
      this.#look(runId)
    })
  }

  #send({ id: runId }: Shadow, command: Command): string {
    const id = this.#parts.process.clock.id()
    this.#persist(async () => {
      const outcome = await this.#parts.store.inbox.insert({
        id,
        runId,
        workspace: WORKSPACE,
        actor: 'somebody',
        command,
      })
      if (outcome.kind === 'no_run')
        this.#parts.fail(new Violation(`run ${runId} was there and is not known any more`))
      this.sent.push(id)
      this.#look(runId)
    })
    return id
  }

  #look(runId: string): void {
    this.#parts.transport.signals.send([{ runId, signal: { kind: 'look' } }]).catch(nobody)
  }

  /** Tries until it is answered. */
  #persist(work: () => Promise<void>): void {
    const { process } = this.#parts
    this.#underWay++
    const attempt = (): void => {
      work().then(
        () => {
          this.#underWay--
        },
        () => void process.clock.after(RETRY_MS, attempt),
      )
    }
    attempt()
  }

  /** Every answered command has counted, once. */
  finally(): void {
    const { tables, checks } = this.#parts
    for (const id of this.submitted)
      if (!checks.runs.has(id)) throw new Violation(`run ${id} was accepted and does not exist`)
    for (const id of this.sent) {
      if (tables.inbox.get(id)?.verdict == null)
        throw new Violation(`R15: command ${id} was accepted and never settled`)
    }
    for (const shadow of checks.runs.values()) this.#counted(shadow)
  }

  #counted({ id: runId, log, state }: Shadow): void {
    const accepted = [...this.#parts.tables.inbox.values()].flatMap((row) => {
      const verdict = parse(row.verdict) as unknown as Verdict | null
      if (row.runId !== runId || !verdict?.accepted) return []
      return [{ ...row, command: JSON.parse(row.command) as Command, verdict }]
    })
    const accepts = (kind: Command['kind']) => accepted.filter(({ command }) => command.kind === kind)
    const own = log.slice(state.forkedFrom?.copied ?? 0)
    const events = (type: string) => own.filter((event) => event.type === type)
    const expect = (what: string, count: number, found: number): void => {
      if (count !== found)
        throw new Violation(
          `R15: ${count} ${what} of run ${runId} were accepted, and ${found} stand in its log`,
        )
    }
    const direct = events('run.patched').filter((event) => !('reviewId' in event))
    expect('patches', accepts('patch').length, direct.length + events('patch.proposed').length)
    expect('resumptions', accepts('resume').length, events('run.resumed').length)
    const retries = accepts('retry').filter(({ actor }) => actor === 'somebody')
    if (!log[0] || !('parent' in log[0] && log[0].parent))
      expect('retries', retries.length + accepts('resolve').length, events('run.retried').length)
    for (const { command, verdict } of accepts('message')) {
      if (command.kind !== 'message' || JSON.stringify(verdict.detail).includes('duplicate')) continue
      const told = own.filter((event) => 'messageId' in event && event.messageId === command.messageId)
      // By correlation it is for every wait of the run that it was offered to.
      const kinds = told.map((event) => (command.waitIds ? placeOf(event) : event.type))
      if (told.length === 0 || new Set(kinds).size < kinds.length)
        throw new Violation(
          `R15: message ${command.messageId} stands in the log as ${kinds.join(', ') || 'nothing'}`,
        )
    }
    const decided = accepts('decide').flatMap(({ command }) =>
      command.kind === 'decide' ? [command.waitId] : [],
    )
    if (new Set(decided).size < decided.length)
      throw new Violation(`R15: an approval of run ${runId} was decided twice`)
  }
}

const nobody = (): void => {}

const placeOf = (event: RunEvent): string => ('key' in event ? `${event.key}/${event.round}` : event.type)

const decision = (waitId: string): Command => ({
  kind: 'decide',
  waitId,
  decision: fateOf(`approve/${waitId}`, 100) < 75 ? 'approve' : 'reject',
})

function answers(state: RunState, now: number, message: () => (name: string) => Command): Command[] {
  return explain(state, now).flatMap(({ waitsFor, subject }) => {
    if (subject === undefined) return []
    if (waitsFor === 'approval') return [decision(subject)]
    return waitsFor === 'message' ? [message()(subject)] : []
  })
}
