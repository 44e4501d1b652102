/** The commands of `weft`, put together; and how an error of any of them ends the process. */
import { Command, CommanderError } from 'commander'
import type { CliContext } from './context.ts'
import { CliError, EXIT } from './exit.ts'

/** In the order of the help. Each is loaded when it is needed: a server starts sooner without the code of the others. */
const COMMANDS: Readonly<Record<string, (context: CliContext) => Promise<Command>>> = {
  init: async (context) => (await import('./init.ts')).initCommand(context),
  dev: async (context) => (await import('./serve.ts')).devCommand(context),
  serve: async (context) => (await import('./serve.ts')).serveCommand(context),
  run: async (context) => (await import('./run.ts')).runCommand(context),
  logs: async (context) => (await import('./runs.ts')).logsCommand(context),
  why: async (context) => (await import('./runs.ts')).whyCommand(context),
  cancel: async (context) => (await import('./runs.ts')).cancelCommand(context),
  approve: async (context) => (await import('./approvals.ts')).decideCommand(context, 'approve'),
  reject: async (context) => (await import('./approvals.ts')).decideCommand(context, 'reject'),
  send: async (context) => (await import('./messages.ts')).sendCommand(context),
  recover: async (context) => (await import('./runs.ts')).recoverCommand(context),
  resume: async (context) => (await import('./resume.ts')).resumeCommand(context),
  validate: async (context) => (await import('./validate.ts')).validateCommand(context),
  open: async (context) => (await import('./open.ts')).openCommand(context),
  doctor: async (context) => (await import('./doctor.ts')).doctorCommand(context),
  api: async (context) => (await import('./raw.ts')).apiCommand(context),
  runs: async (context) => (await import('./runs.ts')).runsCommand(context),
  workflows: async (context) => (await import('./workflows.ts')).workflowsCommand(context),
  patches: async (context) => (await import('./patches.ts')).patchesCommand(context),
  approvals: async (context) => (await import('./approvals.ts')).approvalsCommand(context),
  messages: async (context) => (await import('./messages.ts')).messagesCommand(context),
  vars: async (context) => (await import('./vars.ts')).varsCommand(context),
  keys: async (context) => (await import('./keys.ts')).keysCommand(context),
  credentials: async (context) => (await import('./credentials.ts')).credentialsCommand(context),
  dlq: async (context) => (await import('./dlq.ts')).dlqCommand(context),
  workers: async (context) => (await import('./workers.ts')).workersCommand(context),
  queues: async (context) => (await import('./queues.ts')).queuesCommand(context),
}

const OPTIONS_WITH_VALUE = new Set(['--url', '--api-key'])

/** With the command that `argv` names, or with all of them: for help, and to say what is there instead. */
export async function createProgram(
  context: CliContext,
  version: string,
  argv: readonly string[] = [],
): Promise<Command> {
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
  const name = nameIn(argv) ?? ''
  const making = Object.hasOwn(COMMANDS, name) ? [COMMANDS[name]!] : Object.values(COMMANDS)
  const commands = await Promise.all(making.map((make) => make(context)))
  for (const command of commands) program.addCommand(inherit(command, program))
  return program
}

/** The command's name: the first word that is neither an option nor its value. */
function nameIn(argv: readonly string[]): string | undefined {
  return argv.find((word, index) => !word.startsWith('-') && !OPTIONS_WITH_VALUE.has(argv[index - 1] ?? ''))
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
