/** `weft queues …`: what waits for workers, and what they are at. */
import { Command } from 'commander'
import { action, type CliContext, type Session } from './context.ts'
import { durationText, type Piece, plain } from './paint.ts'
import type { Page, QueueSummary } from './shapes.ts'

export function queuesCommand(context: CliContext): Command {
  const queues = new Command('queues')
    .summary('list what waits for workers')
    .description('Shows the tasks of each node type: how many wait, how many are at work.')
  queues
    .command('list')
    .description(
      'Lists node types with the tasks that wait, those at work, the attempts that wait for their retry, and how long the oldest task waits.',
    )
    .addHelpText('after', '\nExamples:\n  weft queues list\n  weft queues list --json')
    .action(action(context, list))
  return queues
}

async function list(session: Session): Promise<number> {
  const { items } = await (await session.client()).call<Page<QueueSummary>>('GET', '/api/v1/queues')
  return session.list(items, row, 'Nothing waits for a worker, and none is at work.')
}

const row = ({ type, waiting, active, delayed, oldestAgeMs }: QueueSummary): Piece[] => [
  { text: plain(type) },
  { text: `${waiting} waiting`, ...(waiting === 0 ? { colour: 'dim' as const } : {}) },
  { text: `${active} active`, ...(active === 0 ? { colour: 'dim' as const } : {}) },
  { text: `${delayed} delayed`, ...(delayed === 0 ? { colour: 'dim' as const } : {}) },
  { text: waiting === 0 ? '' : `oldest ${durationText(oldestAgeMs)}`, colour: 'dim' },
]
