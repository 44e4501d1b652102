/** `weft dlq …`: steps that failed for good, and their replay. */
import { Command } from 'commander'
import { touchAll } from './bulk.ts'
import { action, type CliContext, type Session } from './context.ts'
import { CliError, EXIT } from './exit.ts'
import { durationText, type Piece, plain } from './paint.ts'
import { resolveRun } from './reference.ts'
import { brief } from './sentences.ts'
import { type CommandAnswer, collect, type DeadLetter, type DeadLetterDetail, type Page } from './shapes.ts'

const LETTER_ARGUMENT = 'its id, as weft dlq list shows it'
const MOST = 10_000

interface FilterOptions {
  readonly workflow?: string
  readonly run?: string
  readonly step?: string
  readonly code?: string
}

const filtered = (command: Command): Command =>
  command
    .option('-w, --workflow <name>', 'of runs of this workflow only')
    .option('-r, --run <run>', 'of this run only')
    .option('--step <id>', 'of this step only')
    .option('--code <code>', 'with this error only')

export function dlqCommand(context: CliContext): Command {
  const dlq = new Command('dlq')
    .summary('list and replay steps that failed for good')
    .description('Lists and replays dead letters: steps that failed for good.')
  dlq.addCommand(
    filtered(new Command('list').description('Lists dead letters, the newest first.'))
      .addHelpText(
        'after',
        '\nExamples:\n  weft dlq list\n  weft dlq list -w order-triage --code timeout --json',
      )
      .action(action(context, list)),
  )
  dlq
    .command('get')
    .description('Shows a dead letter with its attempts, its node and the run’s input.')
    .argument('<letter>', LETTER_ARGUMENT)
    .addHelpText('after', '\nExamples:\n  weft dlq get 0198c2de-5b1f-7c55-8a3e-2f6c1d0b9a47.12')
    .action(action(context, get))
  dlq.addCommand(
    filtered(
      new Command('replay').description('Retries the run of a dead letter, or of all that a filter finds.'),
    )
      .argument('[letter]', LETTER_ARGUMENT)
      .option('--all', 'all that can be replayed')
      .option('--dry-run', 'say which runs it would be, and touch none')
      .addHelpText(
        'after',
        '\nExamples:\n  weft dlq replay 0198c2de-5b1f-7c55-8a3e-2f6c1d0b9a47.12\n  weft dlq replay -w order-triage --code timeout --dry-run',
      )
      .action(action(context, replay)),
  )
  return dlq
}

async function filterOf(session: Session, { workflow, run, step, code }: FilterOptions) {
  const runId = run === undefined ? undefined : await resolveRun(await session.client(), run)
  return { workflow, runId, step, code }
}

async function list(session: Session, options: FilterOptions): Promise<number> {
  const client = await session.client()
  const query = { ...(await filterOf(session, options)), limit: 500 }
  const letters = await collect(
    (cursor) => client.call<Page<DeadLetter>>('GET', '/api/v1/dead-letters', { query: { ...query, cursor } }),
    MOST,
  )
  return session.list(letters, rowOf, 'No step has failed for good.')
}

const rowOf = (letter: DeadLetter, now: number): Piece[] => [
  { text: letter.id },
  { text: plain(letter.workflow) },
  { text: letter.key },
  { text: `${durationText(now - letter.failedAt)} ago`, colour: 'dim' },
  { text: letter.handled ? 'handled' : letter.replayable ? '' : 'its run goes on', colour: 'dim' },
  { text: plain(`${letter.error.code}: ${letter.error.message}`), colour: 'red' },
]

async function get(session: Session, id: string): Promise<number> {
  const client = await session.client()
  const letter = await client.call<DeadLetterDetail>('GET', `/api/v1/dead-letters/${encodeURIComponent(id)}`)
  if (session.isJson) {
    session.json(letter)
    return 0
  }
  session.line(
    `${session.paint('bold', letter.key)} of ${plain(letter.workflow)}  ${session.paint('dim', letter.runId)}`,
  )
  session.line(`  node   ${plain(brief(letter.node))}`)
  session.line(`  input  ${plain(brief(letter.input) || 'null')}`)
  for (const { attempt, error } of letter.attempts)
    session.line(session.paint('red', `  attempt ${attempt}  ${plain(`${error.code}: ${error.message}`)}`))
  return 0
}

interface ReplayOptions extends FilterOptions {
  readonly all?: boolean
  readonly dryRun?: boolean
}

async function replay(session: Session, id: string | undefined, options: ReplayOptions): Promise<number> {
  const filter = await filterOf(session, options)
  const isFiltered = options.all || Object.values(filter).some((value) => value !== undefined)
  if ((id !== undefined) === Boolean(isFiltered) || (id !== undefined && options.dryRun)) {
    throw new CliError(
      EXIT.invalid,
      'Name one dead letter, or several by a filter (--workflow, --run, --step, --code) or --all; --dry-run goes with a filter. Nothing was done.',
    )
  }
  if (id !== undefined) {
    const path = `/api/v1/dead-letters/${encodeURIComponent(id)}/replay`
    const client = await session.client()
    const answer = await client.call<CommandAnswer>('POST', path, { body: {} })
    if (session.isJson) session.json(answer)
    else session.line(answer.accepted ? `accepted  ${id}` : `stored, and not answered yet  ${id}`)
    return 0
  }
  const dryRun = options.dryRun ?? false
  return touchAll(session, 'replay', '/api/v1/dead-letters/replay', { filter, dryRun })
}
