/** `docs/operations.md`: what an operation does to a run, by the run's status and what it waits for. */
import type { RunStatus } from '@weft/engine'
import { ROUTES } from '../../server/src/api/contract.ts'
import { statusOfCode } from '../../server/src/api/errors.ts'
import {
  OPERATIONS,
  type Operation,
  type Outcome,
  outcomeOf,
  STATUSES,
  WAITS,
  type Wait,
} from '../../server/src/api/operations.ts'
import { code, page, table } from './markdown.ts'

const operations = Object.keys(OPERATIONS) as Operation[]
const statuses = Object.keys(STATUSES) as RunStatus[]
const waits = Object.keys(WAITS) as Wait[]

export function operationsPage(): string {
  return page(
    'Operations on runs',
    'What happens when a run of some status is cancelled, paused, resumed, retried, replayed from a step, forked, patched or deleted. The tests bring a run into every cell that can be and hold what happens against these tables. A number and a code stand for a refusal, after which nothing has changed; what each code means is in [errors.md](errors.md).',
    '## By the status of the run',
    'What the run waits for is the heading of a column; of a run that has ended, it is what it waited for until then. A dash: no run can be there.',
    ...operations.flatMap(section),
    '## What becomes of the wait',
    'Where the operation is accepted. A patch leaves the wait as it is; a deletion takes it along.',
    ...waits.flatMap((wait) => {
      const { means, ...sentences } = WAITS[wait]
      return [
        `### ${wait}`,
        means,
        table(
          ['operation', 'what becomes of it'],
          Object.entries(sentences).map(([operation, sentence]) => [operation, sentence]),
        ),
      ]
    }),
    '## Statuses',
    table(
      ['status', 'meaning', 'cannot wait for'],
      statuses.map((status) => [code(status), STATUSES[status].means, missing(status)]),
    ),
  )
}

function section(operation: Operation): string[] {
  const { route, does } = OPERATIONS[operation]
  const { method, path } = ROUTES[route]
  return [
    `### ${operation}`,
    `${code(`${method} /api/v1${path}`)}. ${does}`,
    table(
      ['', ...waits],
      statuses.map((status) => [
        code(status),
        ...waits.map((wait) => cell(outcomeOf(status, wait, operation))),
      ]),
    ),
  ]
}

function cell(outcome: Outcome | null): string {
  if (outcome === null) return '–'
  switch (outcome.is) {
    case 'moved':
      return `→ ${code(outcome.to)}`
    case 'unchanged':
      return 'accepted, nothing to do'
    case 'patched':
      return outcome.to === undefined ? 'patched' : `patched, → ${code(outcome.to)}`
    case 'under_review':
      return 'under review'
    case 'new_run':
      return 'a new run'
    case 'deleted':
      return 'gone'
    case 'refused':
      return `${statusOfCode(outcome.code)} ${code(outcome.code)}`
  }
}

function missing(status: RunStatus): string {
  const byReason = new Map<string, Wait[]>()
  for (const wait of waits) {
    const reason = STATUSES[status].waits[wait]
    if (reason !== true) byReason.set(reason, [...(byReason.get(reason) ?? []), wait])
  }
  return [...byReason].map(([reason, names]) => `${names.join(', ')}: ${reason}`).join('; ')
}
