/** `weft send`, `weft runs send`, `weft messages …`: messages to a run, and by name and key to whoever waits for them. */
import { Command } from 'commander'
import { action, type CliContext, type Session } from './context.ts'
import { durationText, type Piece, plain } from './paint.ts'
import { RUN_ARGUMENT, RUN_REFERENCES, sendToRun } from './run-command.ts'
import { brief } from './sentences.ts'
import { collect, type Message, type Page, type SentMessage } from './shapes.ts'
import { readJson, readLimit } from './values.ts'

const NAME = 'the name that the wait node waits for'
const BY_NAME =
  'every `wait` node of the workspace that fits takes it; without one it is kept for the first that does'

export const sendCommand = (context: CliContext): Command =>
  withContent(new Command('send'))
    .summary('send a message to whoever waits for it, or to a run')
    .description(
      `Sends a message. With a run: the oldest \`wait\` node of it that matches takes it, or the first that will. Without: ${BY_NAME}.`,
    )
    .usage('[options] [run] <message>')
    .argument('<run-or-message>', `a run (${RUN_ARGUMENT}), or the message when no run is meant`)
    .argument('[message]', NAME)
    .addHelpText(
      'after',
      `${RUN_REFERENCES}\n\nExamples:\n  weft send payment --key A-17 --data '{"amount": 12}'\n  weft send @last payment --data @payment.json`,
    )
    .action(
      action(context, (session, first: string, second: string | undefined, options: Content) =>
        second === undefined ? sendByName(session, first, options) : sendTo(session, first, second, options),
      ),
    )

export const sendToRunCommand = (context: CliContext): Command =>
  withContent(new Command('send'))
    .summary('send a message to a run')
    .description(
      'Sends a message to a run: the oldest `wait` node that matches takes it; otherwise it is kept for the first that does.',
    )
    .argument('<run>', RUN_ARGUMENT)
    .argument('<message>', NAME)
    .addHelpText(
      'after',
      `${RUN_REFERENCES}\n\nExamples:\n  weft runs send @last payment --data '{"amount": 12}'`,
    )
    .action(action(context, sendTo))

export function messagesCommand(context: CliContext): Command {
  const messages = new Command('messages')
    .summary('send messages by name and key, see the ones that nobody has taken')
    .description('Sends messages by name and key, and shows those that are kept for whoever waits for them.')
  messages.addCommand(
    withContent(new Command('send'))
      .description(`Sends a message by name and key: ${BY_NAME}.`)
      .argument('<message>', NAME)
      .addHelpText('after', `\nExamples:\n  weft messages send payment --key A-17 --data @payment.json`)
      .action(action(context, sendByName)),
  )
  messages
    .command('list')
    .description('Lists messages that are kept, the newest first.')
    .option('-m, --message <name>', 'of this name only')
    .option('--key <text>', 'with this correlation key only')
    .option('-n, --limit <count>', 'how many at most', '50')
    .addHelpText('after', '\nExamples:\n  weft messages list\n  weft messages list --message payment --json')
    .action(action(context, list))
  messages
    .command('get')
    .description('Shows a message, and who has it.')
    .argument('<id>', 'its id')
    .addHelpText('after', '\nExamples:\n  weft messages get invoice-17')
    .action(action(context, get))
  messages
    .command('delete')
    .description('Deletes a message that nobody has taken. Exit code 6 when it was delivered.')
    .argument('<id>', 'its id')
    .addHelpText('after', '\nExamples:\n  weft messages delete invoice-17')
    .action(
      action(context, async (session, id: string) => {
        await (await session.client()).call('DELETE', pathOf(id))
        if (session.isJson) session.json({ id, deleted: true })
        else session.line(`deleted  ${plain(id)}`)
        return 0
      }),
    )
  return messages
}

interface Content {
  readonly data?: string
  readonly key?: string
  readonly id?: string
  readonly ttl: string
}

const withContent = (command: Command): Command =>
  command
    .option('--data <json>', 'the message’s data as JSON, from a file (@data.json), or from stdin (-)')
    .option('--key <text>', 'correlation key')
    .option('--id <text>', 'your id of this message: the same id counts once')
    .option('--ttl <duration>', 'how long it is kept when nothing waits for it yet', '24h')

async function bodyOf(session: Session, name: string, { data, key, id, ttl }: Content) {
  const value = data === undefined ? undefined : await readJson(data, '--data', session.context.terminal)
  return { name, data: value, key, id, ttl }
}

const sendTo = async (session: Session, run: string, name: string, options: Content): Promise<number> =>
  sendToRun(session, run, 'messages', await bodyOf(session, name, options))

async function sendByName(session: Session, name: string, options: Content): Promise<number> {
  const body = await bodyOf(session, name, options)
  const client = await session.client()
  const sent = await client.call<SentMessage>('POST', '/api/v1/messages', { body })
  if (session.isJson) {
    session.json(sent)
    return 0
  }
  session.line(`${stateText(session, sent)}  ${session.paint('dim', plain(sent.id))}`)
  for (const runId of sent.runs) session.line(`  ${runId}`)
  return 0
}

function stateText(session: Session, { status, runs, expiresAt }: SentMessage): string {
  if (status === 'delivered') return `delivered to ${runs.length === 1 ? '1 run' : `${runs.length} runs`}`
  if (status === 'expired') return 'expired; nobody waited for it in time'
  return `kept for ${durationText(expiresAt - session.context.clock.now())}: nobody waits for it yet`
}

async function list(
  session: Session,
  options: { message?: string; key?: string; limit: string },
): Promise<number> {
  const most = readLimit(options.limit)
  const client = await session.client()
  const query = { name: options.message, key: options.key, limit: Math.min(most, 500) }
  const kept = await collect(
    (cursor) => client.call<Page<Message>>('GET', '/api/v1/messages', { query: { ...query, cursor } }),
    most,
  )
  return session.list(kept, rowOf, 'No message is kept: each was taken, or none was sent.')
}

const rowOf = ({ id, name, key, data, createdAt, expiresAt }: Message, now: number): Piece[] => [
  { text: plain(id) },
  { text: plain(name), colour: 'cyan' },
  { text: key === null ? '' : `key ${plain(key)}` },
  { text: `${durationText(now - createdAt)} ago`, colour: 'dim' },
  { text: `${durationText(expiresAt - now)} left`, colour: 'dim' },
  { text: plain(brief(data)), colour: 'dim' },
]

async function get(session: Session, id: string): Promise<number> {
  const message = await (await session.client()).call<Message>('GET', pathOf(id))
  if (session.isJson) {
    session.json(message)
    return 0
  }
  const { paint } = session
  session.line(`${paint('bold', plain(message.name))}  ${stateText(session, message)}`)
  if (message.key !== null) session.line(`  key   ${plain(message.key)}`)
  session.line(`  from  ${plain(message.actor)}`)
  session.line(`  data  ${plain(brief(message.data)) || 'null'}`)
  for (const runId of message.runs) session.line(`  run   ${runId}`)
  return 0
}

const pathOf = (id: string): string => `/api/v1/messages/${encodeURIComponent(id)}`
