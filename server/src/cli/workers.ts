/** `weft workers …`: who performs attempts now, and of which node types. */
import { Command } from 'commander'
import { action, type CliContext, type Session } from './context.ts'
import { durationText, type Piece, plain } from './paint.ts'
import type { Page, WorkerSummary } from './shapes.ts'

export function workersCommand(context: CliContext): Command {
  const workers = new Command('workers')
    .summary('list who performs attempts')
    .description('Shows the worker processes that live now, and the programs outside that claim tasks.')
  workers
    .command('list')
    .description(
      'Lists live workers with the node types that they perform: attempts at work, and at most at a time.',
    )
    .addHelpText('after', '\nExamples:\n  weft workers list\n  weft workers list --json')
    .action(action(context, list))
  return workers
}

async function list(session: Session): Promise<number> {
  const { items } = await (await session.client()).call<Page<WorkerSummary>>('GET', '/api/v1/workers')
  return session.list(
    items,
    row,
    'No worker lives. Start one (weft serve --roles worker), or a program that claims tasks with POST /tasks/claim.',
  )
}

const row = ({ name, kind, types, seenAt }: WorkerSummary, now: number): Piece[] => [
  { text: plain(name) },
  { text: kind, colour: 'dim' },
  { text: `seen ${durationText(Math.max(0, now - seenAt))} ago`, colour: 'dim' },
  {
    text: plain(
      types
        .map(({ type, active, limit }) => `${type} ${limit === null ? active : `${active}/${limit}`}`)
        .join(', '),
    ),
  },
]
