/** `weft validate`: says everything that is wrong with a definition, without a server. */
import { Command } from 'commander'
import { checkFile } from './check-file.ts'
import { action, type CliContext, type Session } from './context.ts'
import { EXIT } from './exit.ts'
import { readText } from './values.ts'

export const validateCommand = (context: CliContext): Command =>
  new Command('validate')
    .summary('say everything that is wrong with a workflow file')
    .description(
      'Checks workflow files on this machine, without a server, and shows every problem with its line. Exit code 2 when there is one.',
    )
    .argument('<files...>', '.yaml or .json files, or - for stdin')
    .option('--skip-unknown-types', 'accept node types that Weft itself does not bring')
    .addHelpText(
      'after',
      '\nExamples:\n  weft validate order.yaml\n  weft validate workflows/*.yaml --json\n  cat order.yaml | weft validate -',
    )
    .action(action(context, validate))

async function validate(
  session: Session,
  files: string[],
  options: { skipUnknownTypes?: boolean },
): Promise<number> {
  const results = []
  for (const file of files) {
    const source = await readText(file, session.context.terminal)
    const name = file === '-' ? 'stdin' : file
    const checked = await checkFile(
      source,
      name,
      session.context.clock,
      options.skipUnknownTypes ? 'skip' : 'error',
    )
    results.push({ file: name, ...checked })
    if (session.isJson) continue
    if (!checked.ok) {
      session.line(checked.text)
      session.line()
      continue
    }
    session.line(`${session.paint('green', '✔')} ${name}: ${checked.name} is valid (${checked.nodes} nodes)`)
    for (const { code, message, step } of checked.warnings)
      session.line(`  ${session.paint('yellow', code)}${step ? ` ${step}` : ''}: ${message}`)
  }
  const invalid = results.filter((result) => !result.ok)
  if (session.isJson) {
    session.json(
      results.map((result) => ({
        file: result.file,
        valid: result.ok,
        problems: result.ok ? [] : result.problems,
        warnings: result.ok ? result.warnings : [],
      })),
    )
  } else if (invalid.length > 0) {
    const count = invalid.reduce((sum, result) => sum + (result.ok ? 0 : result.problems.length), 0)
    session.notice(
      `${count} ${count === 1 ? 'problem' : 'problems'} in ${invalid.length} of ${results.length} ${results.length === 1 ? 'file' : 'files'}.`,
    )
  }
  return invalid.length > 0 ? EXIT.invalid : 0
}
