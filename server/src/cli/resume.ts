/** `weft resume --all`: lets processes go on that were started paused. */
import { Command } from 'commander'
import { action, type CliContext, type Session } from './context.ts'
import { CliError, EXIT } from './exit.ts'
import type { ResumedAll } from './shapes.ts'

export const resumeCommand = (context: CliContext): Command =>
  new Command('resume')
    .summary('let a server go on that was started paused')
    .description(
      'Lets every process go on that was started with WEFT_START_PAUSED=true, as after a restore. Runs that somebody paused stay paused. Needs a key with the role admin.',
    )
    .option('--all', 'every process of the installation; there is no other choice, and it has to be said')
    .addHelpText(
      'after',
      '\nExamples:\n  weft resume --all\n  weft runs resume @last             (one paused run)',
    )
    .action(action(context, resume))

async function resume(session: Session, { all }: { readonly all?: boolean }): Promise<number> {
  if (!all)
    throw new CliError(
      EXIT.invalid,
      'Say `weft resume --all` to let every process go on that was started paused, or `weft runs resume <run>` for one paused run. Nothing was done.',
    )
  const { client, isOwnEngine, where } = await session.connection()
  if (isOwnEngine)
    throw new CliError(
      EXIT.unreachable,
      `No server runs that could go on; this is ${where}, which ends with the command. Start one first: weft serve, with WEFT_START_PAUSED=true to resume it later, or without to dispatch at once.`,
    )
  const answer = await client.call<ResumedAll>('POST', '/api/v1/resume')
  if (session.isJson) session.json(answer)
  else if (answer.resumed.length === 0) session.notice('Nothing was held: no process was started paused.')
  else {
    for (const name of answer.resumed) session.line(name)
    session.notice(`resumed: ${answer.runs} unfinished run${answer.runs === 1 ? ' goes' : 's go'} on.`)
  }
  return 0
}
