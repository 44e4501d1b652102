/**
 * The judgement of a trial: what the load was told, what the database holds and what the world outside was asked are
 * held against each other. Pure, so that evidence which is wrong on purpose can be judged, too.
 */
import { isDeepStrictEqual } from 'node:util'
import type { RunEvent } from '@weft/engine'
import type { LedgerEntry } from '../../../../examples/service/ledger.ts'
import {
  type CheckedRun,
  checkLedger,
  checkLog,
  type LedgerFindings,
  type LoggedEvent,
  type LoggedRun,
} from '../checks.ts'
import type { AcceptedRun } from '../driver.ts'
import type { Ending } from '../workflows.ts'

/** What the judgement needs of a run; the rest of hundreds of thousands of them would not fit into memory. */
export interface EndedRun extends LoggedRun {
  readonly status: string
  readonly output: unknown
}

export interface Evidence {
  readonly accepted: readonly AcceptedRun[]
  readonly runs: ReadonlyMap<string, EndedRun>
  readonly entries: readonly LedgerEntry[]
  /** Runs whose decision or message was taken. */
  readonly answered: ReadonlySet<string>
}

export interface Judgement extends LedgerFindings {
  /** Calls of a step whose call before had not failed; allowed. */
  readonly repeatedAttempts: number
  readonly repeatedCompletions: number
  /** Accepted, and not in the database. */
  readonly lost: number
  /** Accepted, and ended as they should. */
  readonly ended: number
  readonly problems: readonly string[]
}

/** The machine is busy beyond its cores, and so the ledger stamps late; the figure that it was is in the report. */
const MOST_SKEW_MS = 2_000

const KEPT_EVENTS = new Set<RunEvent['type']>(['step.completed', 'step.repeated', 'step.failed'])

export function endedRun({ id, state: { phase }, events }: CheckedRun): EndedRun {
  return {
    id,
    status: phase.kind,
    output: phase.kind === 'completed' ? phase.output : null,
    // Without their outputs.
    events: events.flatMap((event) => (KEPT_EVENTS.has(event.type) ? [withoutOutput(event)] : [])),
  }
}

const withoutOutput = (event: LoggedEvent): LoggedEvent =>
  'output' in event ? { ...event, output: null } : event

export function judge({ accepted, runs, entries, answered }: Evidence): Judgement {
  const problems: string[] = []
  let lost = 0
  let ended = 0
  for (const { id, load, input } of accepted) {
    const run = runs.get(id)
    if (run === undefined) {
      lost++
      problems.push(`run ${id} (${load.name}) was accepted and is not in the database`)
      continue
    }
    if (endsAs(run, load.name, load.ending(input), problems)) ended++
    if (load.message || load.decision) checkAnswer(run, load.message !== undefined, answered, problems)
  }
  let repeatedCompletions = 0
  for (const { id, events } of runs.values()) repeatedCompletions += checkLog(id, events, problems)
  const findings = checkLedger(entries, [...runs.values()], problems, MOST_SKEW_MS)
  return {
    ...findings,
    repeatedAttempts: repeatedAttempts(entries),
    repeatedCompletions,
    lost,
    ended,
    problems,
  }
}

/**
 * Calls of a round of a step although the call before had not failed: it was on its way, nobody heard its answer, or its
 * worker was given up, which makes a new attempt of it.
 */
function repeatedAttempts(entries: readonly LedgerEntry[]): number {
  const before = new Map<string, LedgerEntry>()
  let repeated = 0
  for (const entry of entries) {
    const name = `${entry.run} ${entry.step} ${entry.round}`
    const previous = before.get(name)
    if (previous !== undefined && (previous.status === null || previous.status < 400)) repeated++
    before.set(name, entry)
  }
  return repeated
}

function endsAs({ id, status, output }: EndedRun, name: string, ending: Ending, problems: string[]): boolean {
  if (status === ending.status && isDeepStrictEqual(output, ending.output)) return true
  problems.push(
    `run ${id} (${name}) should have ended ${JSON.stringify(ending)} and is ${JSON.stringify({ status, output })}`,
  )
  return false
}

/** Each of these runs waits for one answer of people. */
function checkAnswer(
  { id, events }: EndedRun,
  isMessage: boolean,
  answered: ReadonlySet<string>,
  problems: string[],
): void {
  const key = isMessage ? 'payment' : 'person'
  const counted = events.filter((event) => event.type === 'step.completed' && event.key === key).length
  const given = answered.has(id) ? 1 : 0
  if (counted !== given)
    problems.push(`run ${id}: ${given} answers were taken for ${key}, and ${counted} are in its log`)
}
