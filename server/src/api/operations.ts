/**
 * What an operation does to a run, by the run's status and by what it waits for: one table, as data.
 *
 * Owns: the answer in every cell. The tests bring a run into each cell that can be and hold what happens against this
 * table; `docs/operations.md` and the routes' descriptions in the OpenAPI document are written from it.
 *
 * Invariant: a run status, a kind of wait, or a route that writes to one run does not compile until it has its rows here.
 */
import type { RunStatus, WaitsFor } from '@weft/engine'
import type { ROUTES, RouteName } from './contract.ts'
import { statusOfCode } from './errors.ts'

interface OperationRow {
  readonly route: RouteName
  readonly does: string
}

export const OPERATIONS = {
  cancel: {
    route: 'cancelRun',
    does: 'Ends the run as `cancelled`: nothing new starts, waits close, attempts get their abort.',
  },
  pause: { route: 'pauseRun', does: 'Holds the run: nothing is dispatched until it is resumed.' },
  resume: { route: 'resumeRun', does: 'Lets a paused run go on; what came due meanwhile fires now.' },
  retry: {
    route: 'retryRun',
    does: 'Lets a run that failed or was cancelled go on: its failed and cancelled steps start again.',
  },
  replay: {
    route: 'forkRun',
    does: 'Starts a new run from the place where this one reached a step (`fromStep`). This one stays as it is.',
  },
  fork: {
    route: 'forkRun',
    does: 'Starts a new run from an event of this one (`atSeq`); here, from its last one. This one stays as it is.',
  },
  patch: {
    route: 'patchRun',
    does: 'Changes the definition of this run ahead of what it has reached.',
  },
  delete: { route: 'deleteRun', does: 'Removes a finished run with its events and records.' },
} as const satisfies Record<string, OperationRow>

export type Operation = keyof typeof OPERATIONS

/** Routes that write to one run. */
type RunWrite = {
  [Name in RouteName]: (typeof ROUTES)[Name] extends {
    readonly method: 'POST' | 'PUT' | 'DELETE'
    readonly path: `/runs/:id${string}`
  }
    ? Name
    : never
}[RouteName]

/** The rest of them, which are no operation of this table, and why. */
export const BESIDE_THE_TABLE: Readonly<
  Record<Exclude<RunWrite, (typeof OPERATIONS)[Operation]['route']>, string>
> = {
  resolveStep: 'says what became of one attempt; only a failed run has one whose outcome is unknown',
  recoverRun: 'tries a run again that was set aside, in whatever status it is',
  sendMessage: 'goes to the wait that takes it; a run that is stopping or has ended refuses it',
}

/**
 * What a run waits for. A retry and a delay are both timers to the engine, and an approval and the review of a patch both
 * a person's answer; to the operations they are not the same.
 */
export type Wait = WaitsFor | 'retry' | 'review'

export type Outcome =
  /** Accepted, and this is the status that the run comes to by the operation alone. */
  | { readonly is: 'moved'; readonly to: RunStatus }
  /** Accepted, and there was nothing to do: no event is written. */
  | { readonly is: 'unchanged' }
  /** Accepted, and the status stays, unless another one is named. */
  | { readonly is: 'patched'; readonly to?: RunStatus }
  /** Accepted, and a person has to say yes first. */
  | { readonly is: 'under_review' }
  | { readonly is: 'new_run' }
  | { readonly is: 'deleted' }
  | { readonly is: 'refused'; readonly code: string }

const to = (status: RunStatus): Outcome => ({ is: 'moved', to: status })
const refused = (code: string): Outcome => ({ is: 'refused', code })
const unchanged: Outcome = { is: 'unchanged' }
const patched: Outcome = { is: 'patched' }
const underReview: Outcome = { is: 'under_review' }
const newRun: Outcome = { is: 'new_run' }
const deleted: Outcome = { is: 'deleted' }

type ByWait = Readonly<Record<Wait, Outcome>>

/** An attempt and a child have to report before a run has stopped; everything else just closes. */
const stops: ByWait = {
  worker: to('stopping'),
  timer: to('cancelled'),
  retry: to('cancelled'),
  approval: to('cancelled'),
  message: to('cancelled'),
  child: to('stopping'),
  review: to('cancelled'),
}

/** A retry is due at once: it is with the workers again. */
const goesOn: ByWait = {
  worker: to('running'),
  timer: to('waiting'),
  retry: to('running'),
  approval: to('waiting'),
  message: to('waiting'),
  child: to('waiting'),
  review: refused('patch_under_review'),
}

const resumes: ByWait = { ...goesOn, retry: to('waiting'), review: to('waiting') }

/** The step that failed is with the workers again, whatever else waits. */
const goesOnFailed: ByWait = {
  worker: to('running'),
  timer: to('running'),
  retry: to('running'),
  approval: to('running'),
  message: to('running'),
  child: to('running'),
  review: refused('patch_under_review'),
}

/** A workflow that has one patch reviewed has the next one reviewed, too. */
const patches: ByWait = {
  worker: patched,
  timer: patched,
  retry: patched,
  approval: patched,
  message: patched,
  child: patched,
  review: underReview,
}

interface StatusRow {
  readonly means: string
  /** Which waits a run of this status can have, or had when it ended; a sentence says why it cannot. */
  readonly waits: Readonly<Record<Wait, true | string>>
  readonly answers: Readonly<Record<Operation, Outcome | ByWait>>
}

const everyWait = {
  worker: true,
  timer: true,
  retry: true,
  approval: true,
  message: true,
  child: true,
  review: true,
} as const

const NOT_QUEUED = 'the wait is an event, and of a queued run nothing has happened'
const CLOSED = 'the wait closed when the run began to stop'

/** What every run that is neither paused nor stopping nor over answers. */
const active = {
  cancel: stops,
  pause: to('paused'),
  resume: refused('not_paused'),
  retry: refused('not_retryable'),
  replay: newRun,
  fork: newRun,
  patch: patches,
  delete: refused('run_not_finished'),
} as const

export const STATUSES: Readonly<Record<RunStatus, StatusRow>> = {
  queued: {
    means: 'Accepted, and nothing has happened in it.',
    waits: {
      worker: true,
      timer: NOT_QUEUED,
      retry: NOT_QUEUED,
      approval: NOT_QUEUED,
      message: NOT_QUEUED,
      child: NOT_QUEUED,
      review: NOT_QUEUED,
    },
    // Its attempt is queued, not performed: there is no report to wait for.
    answers: { ...active, cancel: to('cancelled'), patch: { is: 'patched', to: 'running' } },
  },
  running: {
    means: 'Something is owed to a worker; other branches may wait.',
    waits: everyWait,
    answers: { ...active, cancel: to('stopping') },
  },
  waiting: {
    means: 'Nothing is owed to a worker.',
    waits: { ...everyWait, worker: 'a run that waits for a worker is `running`' },
    answers: active,
  },
  paused: {
    means: 'Held by a person.',
    waits: everyWait,
    answers: { ...active, pause: unchanged, resume: resumes },
  },
  stopping: {
    means: 'It ends as soon as its last attempt and child have reported, within 10 s.',
    waits: {
      worker: true,
      timer: CLOSED,
      retry: CLOSED,
      approval: CLOSED,
      message: CLOSED,
      child: true,
      review: CLOSED,
    },
    answers: {
      cancel: unchanged,
      pause: refused('run_stopping'),
      resume: refused('run_stopping'),
      retry: refused('run_stopping'),
      replay: newRun,
      fork: newRun,
      patch: refused('run_stopping'),
      delete: refused('run_not_finished'),
    },
  },
  completed: {
    means:
      'Ended well; what it still waited for was closed by a `stop` step. A fork from its last event comes to the same end.',
    waits: everyWait,
    answers: {
      cancel: refused('run_finished'),
      pause: refused('run_finished'),
      resume: refused('run_finished'),
      retry: refused('not_retryable'),
      replay: newRun,
      fork: newRun,
      patch: refused('run_finished'),
      delete: deleted,
    },
  },
  failed: {
    means: 'A step failed for good and nothing dealt with it, which closed what other branches waited for.',
    waits: everyWait,
    answers: {
      cancel: refused('run_finished'),
      pause: refused('run_finished'),
      resume: refused('run_finished'),
      retry: goesOnFailed,
      replay: newRun,
      fork: newRun,
      patch: patches,
      delete: deleted,
    },
  },
  cancelled: {
    means: 'Somebody ended it.',
    waits: everyWait,
    answers: {
      cancel: unchanged,
      pause: refused('run_finished'),
      resume: refused('run_finished'),
      retry: goesOn,
      replay: newRun,
      fork: newRun,
      patch: patches,
      delete: deleted,
    },
  },
}

/** What becomes of the wait itself, where the operation is accepted. A patch leaves it as it is; a deletion takes it along. */
export const WAITS: Readonly<
  Record<Wait, { readonly means: string } & Readonly<Record<Exclude<Operation, 'patch' | 'delete'>, string>>>
> = {
  worker: {
    means: 'An attempt is queued for a worker, or a worker performs it.',
    cancel:
      'A queued attempt is dropped. One that is performed gets its abort, and the run waits for its report.',
    pause: 'A queued attempt is taken back. One that is performed goes on, and its result is recorded.',
    resume: 'The attempt is queued again, unless a worker still has it.',
    retry: 'Another attempt begins, under a number that was never used.',
    replay: 'The new run begins the step with its first attempt.',
    fork: 'The new run performs the attempt, too.',
  },
  timer: {
    means: 'A `delay`, or the pause between two rounds of a `repeat`.',
    cancel: 'It closes.',
    pause: 'Its time goes on, and nothing fires.',
    resume: 'It fires at its time; at once when that has passed.',
    retry: 'It begins anew, in full.',
    replay: 'It begins anew in the new run, in full.',
    fork: 'It begins anew in the new run, in full.',
  },
  retry: {
    means: 'The time before the next attempt, after one that failed.',
    cancel: 'It closes.',
    pause: 'Its time goes on, and nothing is dispatched.',
    resume: 'The next attempt starts at its time; at once when that has passed.',
    retry: 'The next attempt starts at once.',
    replay: 'The new run begins the step with its first attempt.',
    fork: 'The new run waits for the same moment.',
  },
  approval: {
    means: 'A person is asked.',
    cancel: 'It closes: a decision is answered with `approval_closed`.',
    pause: 'It can be decided; what follows starts when the run is resumed.',
    resume: 'It stays open, under its id.',
    retry: 'It is asked anew under a new id; a decision of the old one is answered with `superseded`.',
    replay: 'It is asked anew in the new run.',
    fork: 'It is asked anew in the new run.',
  },
  message: {
    means: 'A message of some name is awaited.',
    cancel: 'It closes: a message is refused.',
    pause: 'A message is taken; what follows starts when the run is resumed.',
    resume: 'It stays open.',
    retry: 'It is awaited anew.',
    replay: 'It is awaited anew in the new run.',
    fork: 'It is awaited anew in the new run.',
  },
  child: {
    means: 'A child run has to end.',
    cancel: 'The child is cancelled, and the run waits for its report.',
    pause: 'The child is not paused; its result is recorded.',
    resume: 'It goes on waiting.',
    retry: 'The child is retried, with what it had done.',
    replay: 'The new run begins a child of its own.',
    fork: 'The new run begins a child of its own.',
  },
  review: {
    means:
      'A person has to say yes to a patch; until then the run does not end. Of a run that failed or was cancelled: to one that was sent since.',
    cancel: 'It closes: a decision is answered with `approval_closed`.',
    pause: 'It can be decided; what the patch adds starts when the run is resumed.',
    resume: 'It stays open, under its id.',
    retry: 'It has to be decided first.',
    replay: 'It stays behind: the new run goes on without the patch.',
    fork: 'It stays behind: the new run goes on without the patch.',
  },
}

/** The cell of the table; `null` where no run can be. */
export function outcomeOf(status: RunStatus, wait: Wait, operation: Operation): Outcome | null {
  const row = STATUSES[status]
  if (row.waits[wait] !== true) return null
  const answer = row.answers[operation]
  return 'is' in answer ? answer : answer[wait]
}

const cellsOf = (status: string, answers: ByWait): (readonly [string, Outcome])[] =>
  Object.entries(answers).map(([wait, outcome]) => [`${status} and waits for a ${wait}`, outcome] as const)

/** What of a route's description follows from the table: its refusals, by the status of the run. */
export function refusalsOf(route: RouteName): string | null {
  const operation = (Object.keys(OPERATIONS) as Operation[]).find((name) => OPERATIONS[name].route === route)
  if (operation === undefined) return null
  const byCode = new Map<string, string[]>()
  for (const [status, { answers }] of Object.entries(STATUSES)) {
    const answer = answers[operation]
    const cells = 'is' in answer ? [[status, answer] as const] : cellsOf(status, answer)
    for (const [whose, outcome] of cells)
      if (outcome.is === 'refused') byCode.set(outcome.code, [...(byCode.get(outcome.code) ?? []), whose])
  }
  if (byCode.size === 0) return null
  const refusals = [...byCode].map(
    ([code, statuses]) => `a run that is ${statuses.join(' or ')} with ${statusOfCode(code)} \`${code}\``,
  )
  return `Refuses ${refusals.join('; ')}.`
}
