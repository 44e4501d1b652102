/** Evidence that is wrong on purpose: a judgement that lets any of it pass has shown nothing. */
import type { LedgerEntry } from '../../../../examples/service/ledger.ts'
import { type EndedRun, type Evidence, judge } from './history.ts'

type Mutate = (evidence: Evidence) => Evidence | null

const first = <T>(values: Iterable<T>): T | undefined => values[Symbol.iterator]().next().value

/** The evidence of one run alone, so that a mutant costs nothing. */
function evidenceOf({ accepted, runs, entries, answered }: Evidence, id: string): Evidence {
  const run = runs.get(id)
  return {
    accepted: accepted.filter((candidate) => candidate.id === id),
    runs: new Map(run ? [[id, run]] : []),
    entries: entries.filter((entry) => entry.run === id),
    answered,
  }
}

const withRun = (evidence: Evidence, run: EndedRun): Evidence => ({
  ...evidence,
  runs: new Map([[run.id, run]]),
})

const MUTANTS: Record<string, Mutate> = {
  'a run that was forgotten': (evidence) => ({ ...evidence, runs: new Map() }),
  'a run that did not end': changedRun((run) => ({ ...run, status: 'active', output: null })),
  'another output': changedRun((run) => ({ ...run, output: 'another' })),
  'a completion twice': changedRun((run) => ({ ...run, events: [...run.events, ...run.events.slice(-1)] })),
  'a call after the completion of its step': (evidence) => {
    const last = evidence.entries.at(-1)
    if (last === undefined) return null
    const late: LedgerEntry = { ...last, n: last.n + 1, startedAt: last.startedAt + 60_000, answeredAt: null }
    return { ...evidence, entries: [...evidence.entries, late] }
  },
  'a call in the moment after the commit': (evidence) => {
    const last = evidence.entries.at(-1)
    const completion = first(evidence.runs.values())?.events.find(({ type }) => type === 'step.completed')
    if (last === undefined || completion === undefined) return null
    // As much later than is allowed for stamps that are late, and a moment more.
    const answers = evidence.entries.flatMap(({ answeredAt }) => answeredAt ?? [])
    const lateMs = Math.max(0, Math.min(...answers) - completion.at)
    const startedAt = Math.floor(completion.committedAt + lateMs) + 1
    const late: LedgerEntry = { ...last, n: last.n + 1, startedAt, answeredAt: null }
    return { ...evidence, entries: [...evidence.entries, late] }
  },
  'a completion without an answer': (evidence) => ({
    ...evidence,
    entries: evidence.entries.map((entry) => ({ ...entry, answeredAt: null })),
  }),
}

const OF_ANSWERS: Record<string, Mutate> = {
  'an answer that was not counted': changedRun((run) => ({
    ...run,
    events: run.events.filter((event) => !('key' in event) || !isAnswered(event.key)),
  })),
  'an answer that was counted twice': changedRun((run) => ({
    ...run,
    events: run.events.flatMap((event) =>
      'round' in event && isAnswered(event.key) ? [event, { ...event, round: event.round + 1 }] : [event],
    ),
  })),
}

const isAnswered = (key: string): boolean => key === 'person' || key === 'payment'

function changedRun(change: (run: EndedRun) => EndedRun): Mutate {
  return (evidence) => {
    const run = first(evidence.runs.values())
    return run === undefined ? null : withRun(evidence, change(run))
  }
}

export interface MutantReport {
  readonly mutant: string
  /** The first problem that it was noticed by; `null`: it was not. */
  readonly noticedBy: string | null
}

/** Every mutant of runs that the evidence holds and nothing is wrong with. */
export function tryMutants(evidence: Evidence): MutantReport[] {
  return [
    ...tryOn(
      evidence,
      MUTANTS,
      evidence.accepted.find(({ load }) => load.name === 'brief'),
    ),
    ...tryOn(
      evidence,
      OF_ANSWERS,
      evidence.accepted.find(({ load, id }) => (load.decision || load.message) && evidence.answered.has(id)),
    ),
  ]
}

function tryOn(
  evidence: Evidence,
  mutants: Record<string, Mutate>,
  run: { readonly id: string } | undefined,
): MutantReport[] {
  const own = run === undefined ? null : evidenceOf(evidence, run.id)
  return Object.entries(mutants).map(([mutant, mutate]) => {
    const mutated = own === null ? null : mutate(own)
    return { mutant, noticedBy: mutated === null ? null : (judge(mutated).problems[0] ?? null) }
  })
}
