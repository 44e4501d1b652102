/** `weft runs cancel` and `weft runs retry`: one run, or every run that a filter finds. */
import { Command } from 'commander'
import { action, type CliContext, type Session } from './context.ts'
import { CliError, EXIT } from './exit.ts'
import { RUN_ARGUMENT, RUN_REFERENCES, sendToRun } from './run-command.ts'
import type { BulkAnswer } from './shapes.ts'
import { gather, readLabels } from './values.ts'

type Verb = 'cancel' | 'retry'

interface BulkOptions {
  readonly status: string[]
  readonly workflow?: string
  readonly label: string[]
  readonly all?: boolean
  readonly dryRun?: boolean
  readonly reason?: string
}

const TEXTS = {
  cancel: {
    description: 'Cancels a run, or every run that a filter finds: attempts at work are aborted.',
    statuses: 'queued, running, waiting or paused (all of them unless told otherwise); may be repeated',
    all: 'every run that is not finished',
    example: '--status waiting -l customer=acme --dry-run',
  },
  retry: {
    description:
      'Retries a failed or cancelled run from its failure, or every one that a filter finds; what was completed stays.',
    statuses: 'failed (unless told otherwise) or cancelled; may be repeated',
    all: 'every failed run',
    example: '-w order-triage --dry-run',
  },
} as const

export function bulkCommand(context: CliContext, verb: Verb): Command {
  const text = TEXTS[verb]
  const command = new Command(verb)
    .description(text.description)
    .argument('[run]', RUN_ARGUMENT)
    .option('-s, --status <status>', text.statuses, gather, [])
    .option('-w, --workflow <name>', 'runs of this workflow only')
    .option('-l, --label <name=value>', 'runs with this label only; may be repeated', gather, [])
    .option('--all', text.all)
    .option('--dry-run', 'say which runs it would be, and touch none')
  if (verb === 'cancel') command.option('--reason <text>', 'why')
  return command
    .addHelpText(
      'after',
      `${RUN_REFERENCES}\n\nExamples:\n  weft runs ${verb} @last\n  weft runs ${verb} ${text.example}`,
    )
    .action(
      action(context, (session, reference: string | undefined, options: BulkOptions) =>
        reference === undefined ? toAll(session, verb, options) : toOne(session, verb, reference, options),
      ),
    )
}

const isFiltered = ({ status, workflow, label }: BulkOptions): boolean =>
  status.length > 0 || workflow !== undefined || label.length > 0

function toOne(session: Session, verb: Verb, reference: string, options: BulkOptions): Promise<number> {
  if (isFiltered(options) || options.all || options.dryRun) {
    throw new CliError(
      EXIT.invalid,
      `Name one run, or runs by a filter (--status, --workflow, --label, --all), not both. Nothing was done.`,
    )
  }
  return sendToRun(session, reference, verb, reasonOf(options))
}

const reasonOf = ({ reason }: BulkOptions) => (reason === undefined ? {} : { reason })

async function toAll(session: Session, verb: Verb, options: BulkOptions): Promise<number> {
  if (!isFiltered(options) && !options.all) {
    throw new CliError(
      EXIT.invalid,
      `Say which: a run, a filter (--status, --workflow, --label), or --all for ${TEXTS[verb].all}. --dry-run shows what it would touch.`,
    )
  }
  const { status, workflow } = options
  const labels = readLabels(options.label)
  const filter = {
    ...(status.length > 0 ? { status } : {}),
    ...(workflow === undefined ? {} : { workflow }),
    ...(options.label.length > 0 ? { labels } : {}),
  }
  const dryRun = options.dryRun ?? false
  return touchAll(session, verb, `/api/v1/runs/${verb}`, { filter, dryRun, ...reasonOf(options) })
}

interface BulkBody {
  readonly filter: object
  readonly dryRun: boolean
  readonly reason?: string
}

/** Page by page until the filter finds no more, or the server's limits have no more room. Also a replay of dead letters. */
export async function touchAll(
  session: Session,
  verb: string,
  path: string,
  body: BulkBody,
): Promise<number> {
  const client = await session.client()
  const runs = new Set<string>()
  const left = new Set<string>()
  const reasons: string[] = []
  let queued = 0
  let exitCode: number = EXIT.completed
  let cursor: string | undefined
  do {
    let answer: BulkAnswer
    try {
      answer = await client.call<BulkAnswer>('POST', path, { body: { ...body, limit: 500, cursor } })
    } catch (error) {
      // The pages before it were done, and that has to be said.
      if (runs.size === 0 || !(error instanceof CliError)) throw error
      reasons.push(error.message)
      exitCode = error.exitCode
      break
    }
    for (const run of answer.runs) runs.add(run)
    queued += answer.queued
    for (const refused of answer.refused ?? []) {
      reasons.push(refused.detail)
      exitCode = EXIT.refused
      for (const run of refused.runs) left.add(run)
    }
    cursor = reasons.length > 0 ? undefined : (answer.nextCursor ?? undefined)
  } while (cursor !== undefined)
  showTouched(session, verb, { runs: [...runs], left: [...left], reasons, queued, dryRun: body.dryRun })
  return exitCode
}

interface Touched {
  readonly runs: readonly string[]
  readonly queued: number
  readonly dryRun: boolean
  /** Those of `runs` that were left as they were. */
  readonly left: readonly string[]
  /** Why it ended before all that the filter finds was done. */
  readonly reasons: readonly string[]
}

function showTouched(session: Session, verb: string, touched: Touched): void {
  if (session.isJson) {
    session.json(touched)
    return
  }
  const { runs, left, reasons, queued, dryRun } = touched
  const untouched = new Set(left)
  for (const id of runs) session.line(untouched.has(id) ? `${id}  left as it was` : id)
  const count = `${runs.length} run${runs.length === 1 ? '' : 's'}`
  if (dryRun) session.notice(`${verb} would touch ${count}; nothing was done.`)
  else session.notice(`${verb}: ${count}, ${queued} of them told now.`)
  for (const reason of reasons) session.notice(`Not all was done: ${reason}`)
}
