/** `weft runs fork`: a new run that goes on from where another one stood. */
import { Command } from 'commander'
import { action, type CliContext, type Session } from './context.ts'
import { CliError, EXIT } from './exit.ts'
import { operationsOf } from './patches.ts'
import { resolveRun } from './reference.ts'
import { RUN_ARGUMENT, RUN_REFERENCES } from './run-command.ts'
import { gather, readJson } from './values.ts'

interface ForkOptions {
  readonly at?: string
  readonly from?: string
  readonly input?: string
  readonly reason?: string
  readonly file?: string
  readonly op: string[]
}

export const forkCommand = (context: CliContext): Command =>
  new Command('fork')
    .description(
      'Starts a new run whose log is a copy of another one’s, up to an event or to where a step was reached. The old run stays as it is; what waited there waits anew. A step that runs again, and whatever was not reached, can be changed by a patch.',
    )
    .argument('<run>', RUN_ARGUMENT)
    .option('--at <seq>', 'up to this event; weft logs --json shows the numbers')
    .option('--from <step>', 'up to where this step was reached: it runs again, and all that follows')
    .option('--input <json>', 'another input as JSON, from a file (@input.json), or from stdin (-)')
    .option('-f, --file <file>', 'a patch that the fork begins with, as JSON, from a file or from stdin (-)')
    .option(
      '--op <operation>',
      "one operation of it, as in 'remove /nodes/check'; may be repeated",
      gather,
      [],
    )
    .option('--reason <text>', 'why')
    .addHelpText(
      'after',
      `${RUN_REFERENCES}\n\nExamples:\n  weft runs fork @last --from notify\n  weft runs fork 3fa8c1 --at 12 --input @other.json --reason "as if it were paid"\n  weft runs fork @last --from fetch --op 'replace /nodes/fetch/with/url https://example.com/v2'`,
    )
    .action(action(context, fork))

async function fork(session: Session, reference: string, options: ForkOptions): Promise<number> {
  const { at, from, reason } = options
  if ((at === undefined) === (from === undefined))
    throw new CliError(EXIT.invalid, 'Say where the fork begins: --at <seq>, or --from <step>.')
  if (at !== undefined && !/^[1-9]\d{0,8}$/.test(at))
    throw new CliError(EXIT.invalid, `--at ${at} is not the number of an event.`)
  const input =
    options.input === undefined
      ? undefined
      : await readJson(options.input, '--input', session.context.terminal)
  const operations =
    options.file === undefined && options.op.length === 0 ? undefined : await operationsOf(session, options)
  const client = await session.client()
  const id = await resolveRun(client, reference)
  const answer = await client.call<{ id: string; status: string }>('POST', `/api/v1/runs/${id}/fork`, {
    body: { ...(at === undefined ? { fromStep: from } : { atSeq: Number(at) }), input, operations, reason },
  })
  if (session.isJson) session.json(answer)
  else session.line(`accepted  ${answer.id}  ${answer.status}`)
  return 0
}
