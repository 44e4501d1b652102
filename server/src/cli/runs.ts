/** `weft runs …` and its short forms: list, get, events, why, and the commands to a run. */

import type { RunEvent } from '@weft/engine'
import { Command } from 'commander'
import { bulkCommand } from './bulk.ts'
import type { Client } from './client.ts'
import { action, type CliContext, type Session } from './context.ts'
import { shortId } from './draw.ts'
import { forkCommand } from './fork.ts'
import { sendToRunCommand } from './messages.ts'
import { durationText, type Piece, plain, table } from './paint.ts'
import { resolveRun } from './reference.ts'
import { RUN_ARGUMENT, RUN_REFERENCES, sendToRun } from './run-command.ts'
import { brief, eventLine } from './sentences.ts'
import { collect, type Page, type RunDetail, type RunSummary, type RunWhy } from './shapes.ts'
import { gather, readLabels, readLimit } from './values.ts'
import { watchRun } from './watch-run.ts'

export function runsCommand(context: CliContext): Command {
  const runs = new Command('runs')
    .summary('list, inspect and control runs')
    .description('Lists, inspects and controls runs.')
  runs
    .command('list')
    .description('Lists runs, the newest first.')
    .option(
      '-s, --status <status>',
      'queued, running, waiting, paused, stopping, completed, failed or cancelled; may be repeated',
      gather,
      [],
    )
    .option('-w, --workflow <name>', 'runs of this workflow only')
    .option('-l, --label <name=value>', 'runs with this label only; may be repeated', gather, [])
    .option('-n, --limit <count>', 'how many at most', '20')
    .addHelpText(
      'after',
      '\nExamples:\n  weft runs list --status failed\n  weft runs list -w order-triage -l customer=acme --json',
    )
    .action(action(context, list))
  runs
    .command('get')
    .description('Shows a run with its steps.')
    .argument('<run>', RUN_ARGUMENT)
    .addHelpText(
      'after',
      `${RUN_REFERENCES}\n\nExamples:\n  weft runs get @last\n  weft runs get 3fa8c1 --json`,
    )
    .action(action(context, get))
  runs.addCommand(logsCommand(context, 'events'))
  runs.addCommand(whyCommand(context))
  runs.addCommand(bulkCommand(context, 'cancel'))
  runs.addCommand(bulkCommand(context, 'retry'))
  runs.addCommand(forkCommand(context))
  for (const [verb, description] of [
    ['pause', 'Pauses a run: nothing new starts until it is resumed.'],
    ['resume', 'Lets a paused run go on.'],
    ['recover', 'Lets a run that is stuck (in quarantine) try again.'],
  ] as const) {
    runs.addCommand(simpleCommand(context, verb, description))
  }
  runs.addCommand(sendToRunCommand(context))
  runs
    .command('delete')
    .description('Deletes a finished run with its events and records.')
    .argument('<run>', RUN_ARGUMENT)
    .addHelpText('after', `${RUN_REFERENCES}\n\nExamples:\n  weft runs delete 3fa8c1`)
    .action(
      action(context, async (session, reference: string) => {
        const client = await session.client()
        const id = await resolveRun(client, reference)
        await client.call('DELETE', `/api/v1/runs/${id}`)
        if (session.isJson) session.json({ id, deleted: true })
        else session.line(`deleted  ${id}`)
        return 0
      }),
    )
  return runs
}

export const logsCommand = (context: CliContext, name = 'logs'): Command =>
  new Command(name)
    .summary('what happened in a run, event by event')
    .description('Prints what happened in a run, one line per event.')
    .argument('<run>', RUN_ARGUMENT)
    .option('-f, --follow', 'stay, and show what follows; in a terminal the graph is drawn')
    .addHelpText(
      'after',
      `${RUN_REFERENCES}\n\nExamples:\n  weft ${name} @last\n  weft ${name} @last:order-triage --follow\n  weft ${name} 3fa8c1 --json | jq .type`,
    )
    .action(action(context, logs))

export const whyCommand = (context: CliContext): Command =>
  new Command('why')
    .summary('why a run is not moving')
    .description('Says what every live part of a run waits for, since when, and when it moves by itself.')
    .argument('<run>', RUN_ARGUMENT)
    .addHelpText('after', `${RUN_REFERENCES}\n\nExamples:\n  weft why @last`)
    .action(action(context, why))

export const cancelCommand = (context: CliContext): Command =>
  new Command('cancel')
    .summary('cancel a run')
    .description('Cancels a run, in whatever state it is: attempts at work are aborted, nothing new starts.')
    .argument('<run>', RUN_ARGUMENT)
    .option('--reason <text>', 'why')
    .addHelpText('after', `${RUN_REFERENCES}\n\nExamples:\n  weft cancel @last --reason "wrong order"`)
    .action(
      action(context, async (session, reference: string, options: { reason?: string }) =>
        sendToRun(
          session,
          reference,
          'cancel',
          options.reason === undefined ? {} : { reason: options.reason },
        ),
      ),
    )

const simpleCommand = (context: CliContext, verb: string, description: string): Command =>
  new Command(verb)
    .description(description)
    .argument('<run>', RUN_ARGUMENT)
    .addHelpText('after', `${RUN_REFERENCES}\n\nExamples:\n  weft runs ${verb} @last`)
    .action(action(context, (session, reference: string) => sendToRun(session, reference, verb, {})))

export const recoverCommand = (context: CliContext): Command =>
  simpleCommand(context, 'recover', 'Lets a run that is stuck (in quarantine) try again.').summary(
    'let a stuck run try again',
  )

interface ListOptions {
  readonly status: string[]
  readonly workflow?: string
  readonly label: string[]
  readonly limit: string
}

async function list(session: Session, options: ListOptions): Promise<number> {
  const most = readLimit(options.limit)
  const client = await session.client()
  const label = Object.entries(readLabels(options.label)).map(([name, value]) => `${name}:${value}`)
  const fetchPage = (cursor: string | undefined) =>
    client.call<Page<RunSummary>>('GET', '/api/v1/runs', {
      query: {
        status: options.status,
        workflow: options.workflow,
        label,
        limit: Math.min(most, 500),
        cursor,
      },
    })
  const runs = await collect(fetchPage, most)
  return session.list(runs, rowOf, 'No run matches. Start one: weft run <file>.')
}

const rowOf = (run: RunSummary, now: number): Piece[] => [
  { text: run.id },
  { text: run.stuckReason === null ? run.status : `${run.status} (stuck)`, colour: colourOf(run) },
  { text: plain(`${run.workflow}${run.version === null ? '' : `@${run.version}`}`) },
  { text: `${durationText(now - run.createdAt)} ago`, colour: 'dim' },
  {
    text: run.error
      ? plain(run.error.code)
      : run.waitingFor.length > 0
        ? `for ${run.waitingFor.join(', ')}`
        : '',
    colour: 'dim',
  },
]

function colourOf({ status, stuckReason }: RunSummary): NonNullable<Piece['colour']> {
  if (stuckReason !== null || status === 'failed') return 'red'
  if (status === 'completed') return 'green'
  if (status === 'cancelled') return 'magenta'
  return status === 'running' ? 'cyan' : 'yellow'
}

async function get(session: Session, reference: string): Promise<number> {
  const client = await session.client()
  const run = await client.call<RunDetail>('GET', `/api/v1/runs/${await resolveRun(client, reference)}`)
  if (session.isJson) {
    session.json(run)
    return 0
  }
  const { paint } = session
  const took = durationText((run.finishedAt ?? session.context.clock.now()) - run.createdAt)
  session.line(
    `${paint('bold', plain(run.workflow))}${run.version === null ? '' : `@${run.version}`}  ${paint(colourOf(run), run.status)}  ${took}  ${paint('dim', run.id)}`,
  )
  for (const [name, value] of Object.entries(run.labels))
    session.line(`  label   ${plain(name)}=${plain(value)}`)
  session.line(`  input   ${plain(brief(run.input) || 'null')}`)
  if (run.output !== null) session.line(`  output  ${plain(brief(run.output))}`)
  if (run.error) session.line(paint('red', `  error   ${run.error.code}: ${plain(run.error.message)}`))
  if (run.stuckReason !== null) session.line(paint('red', `  stuck   ${plain(run.stuckReason)}`))
  session.lines(
    table(
      run.steps.map((step): Piece[] => [
        { text: `  ${step.id}` },
        {
          text: step.status,
          colour: step.status === 'failed' ? 'red' : step.status === 'completed' ? 'green' : 'dim',
        },
        {
          text: step.items
            ? `${step.items.completed}/${step.items.count}`
            : step.attempts > 1
              ? `${step.attempts} attempts`
              : '',
          colour: 'dim',
        },
        {
          text: plain(step.error ? `${step.error.code}: ${step.error.message}` : brief(step.output)),
          ...(step.error ? { colour: 'red' as const } : {}),
        },
      ]),
      session.width,
      paint,
    ),
  )
  return 0
}

async function logs(session: Session, reference: string, options: { follow?: boolean }): Promise<number> {
  const client = await session.client()
  const id = await resolveRun(client, reference)
  if (options.follow) {
    await watchRun(session, client, id)
    return 0
  }
  for await (const event of allEvents(client, id)) {
    session.line(session.isJson ? JSON.stringify(event) : eventLine(event, session.paint))
  }
  return 0
}

async function* allEvents(client: Client, id: string): AsyncGenerator<RunEvent & { seq: number }> {
  let after = 0
  for (;;) {
    const page = await client.call<Page<RunEvent & { seq: number }>>('GET', `/api/v1/runs/${id}/events`, {
      query: { after, limit: 1000 },
    })
    yield* page.items
    if (page.nextCursor === null) return
    after = Number(page.nextCursor)
  }
}

async function why(session: Session, reference: string): Promise<number> {
  const client = await session.client()
  const answer = await client.call<RunWhy>('GET', `/api/v1/runs/${await resolveRun(client, reference)}/why`)
  if (session.isJson) {
    session.json(answer)
    return 0
  }
  const now = session.context.clock.now()
  const { paint } = session
  session.line(
    `run …${shortId(answer.id)} is ${paint('bold', answer.status)}${answer.waitingFor.length > 0 ? ` for ${answer.waitingFor.join(', ')}` : ''}`,
  )
  for (const token of answer.tokens) {
    const until =
      token.until === null
        ? ''
        : `, moves by itself ${token.until > now ? `in ${durationText(token.until - now)}` : 'now'}`
    session.line(
      `  ${paint('cyan', plain(token.token))}  ${plain(token.text)} ${paint('dim', `(for ${durationText(now - token.since)}${until})`)}`,
    )
  }
  if (answer.tokens.length === 0 && answer.hints.length === 0)
    session.line('  It is finished: nothing is left to wait for.')
  for (const hint of answer.hints) session.line(`  ${paint('yellow', '!')} ${plain(hint)}`)
  return 0
}
