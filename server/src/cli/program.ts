/** The commands of `weft`, put together; and how an error of any of them ends the process. */
import { Command, CommanderError } from 'commander'
import { approvalsCommand, decideCommand } from './approvals.ts'
import type { CliContext } from './context.ts'
import { credentialsCommand } from './credentials.ts'
import { dlqCommand } from './dlq.ts'
import { doctorCommand } from './doctor.ts'
import { CliError, EXIT } from './exit.ts'
import { initCommand } from './init.ts'
import { keysCommand } from './keys.ts'
import { messagesCommand, sendCommand } from './messages.ts'
import { openCommand } from './open.ts'
import { patchesCommand } from './patches.ts'
import { queuesCommand } from './queues.ts'
import { apiCommand } from './raw.ts'
import { resumeCommand } from './resume.ts'
import { runCommand } from './run.ts'
import { cancelCommand, logsCommand, recoverCommand, runsCommand, whyCommand } from './runs.ts'
import { devCommand, serveCommand } from './serve.ts'
import { validateCommand } from './validate.ts'
import { varsCommand } from './vars.ts'
import { workersCommand } from './workers.ts'
import { workflowsCommand } from './workflows.ts'

export function createProgram(context: CliContext, version: string): Command {
  const program = new Command('weft')
    .description('Durable workflows: runs, approvals, agents.')
    .version(version, '-V, --version')
    .option('--url <url>', 'the server (WEFT_URL); otherwise the one that serves the nearest .weft')
    .option('--api-key <key>', 'its key (WEFT_API_KEY)')
    .option('--json', 'print JSON')
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.terminal.out.write(text),
      writeErr: (text) => context.terminal.err.write(text),
    })
    .addHelpText(
      'after',
      `
Examples:
  weft init && weft run hello.yaml -i name=Ada
  weft dev                                        (in another terminal)
  weft runs list --status failed
  weft why @last

Exit codes: 0 completed · 1 failed · 2 invalid input · 3 cancelled · 4 waiting for a person
            5 server unreachable · 6 refused`,
    )
  const commands = [
    initCommand(context),
    devCommand(context),
    serveCommand(context),
    runCommand(context),
    logsCommand(context),
    whyCommand(context),
    cancelCommand(context),
    decideCommand(context, 'approve'),
    decideCommand(context, 'reject'),
    sendCommand(context),
    recoverCommand(context),
    resumeCommand(context),
    validateCommand(context),
    openCommand(context),
    doctorCommand(context),
    apiCommand(context),
    runsCommand(context),
    workflowsCommand(context),
    patchesCommand(context),
    approvalsCommand(context),
    messagesCommand(context),
    varsCommand(context),
    keysCommand(context),
    credentialsCommand(context),
    dlqCommand(context),
    workersCommand(context),
    queuesCommand(context),
  ]
  for (const command of commands) program.addCommand(inherit(command, program))
  return program
}

/** Help and errors of a command look like the program's. (Commander copies settings only to commands that it makes.) */
function inherit(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent)
  for (const inner of command.commands) inherit(inner, command)
  return command
}

/** Runs one command line; sets the exit code of the process, and prints what went wrong. */
export async function runProgram(
  program: Command,
  context: CliContext,
  argv: readonly string[],
): Promise<void> {
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (error) {
    process.exitCode = report(error, context, argv.includes('--json'))
    if (error instanceof CommanderError && error.code === 'commander.unknownCommand')
      context.terminal.err.write(nounsWith(program, argv))
  }
}

/** A verb without its noun, such as `weft retry`: says whose verb it is. */
function nounsWith(program: Command, argv: readonly string[]): string {
  const nouns = program.commands.filter(({ commands }) => commands.some((verb) => verb.name() === argv[0]))
  if (nouns.length === 0) return ''
  return `There is ${nouns.map((noun) => `\`weft ${noun.name()} ${argv[0]}\``).join(', ')}.\n`
}

function report(error: unknown, { terminal }: CliContext, isJson: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.invalid
  if (error instanceof CliError) {
    if (isJson)
      terminal.out.write(
        `${JSON.stringify({ error: error.problem ?? { detail: error.message } }, null, 2)}\n`,
      )
    terminal.err.write(`${error.message}\n`)
    return error.exitCode
  }
  terminal.err.write(
    `weft failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  )
  return EXIT.failed
}
