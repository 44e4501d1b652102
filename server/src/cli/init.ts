/** `weft init`: a first workflow to read and change. */
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Command } from 'commander'
import { action, type CliContext } from './context.ts'
import { CliError, EXIT } from './exit.ts'

export const initCommand = (context: CliContext): Command =>
  new Command('init')
    .summary('write a first workflow')
    .description('Writes a small workflow with comments, to read, run and change.')
    .argument('[file]', 'where to', 'hello.yaml')
    .option('-f, --force', 'overwrite the file')
    .addHelpText(
      'after',
      '\nExamples:\n  weft init\n  weft init workflows/greet.yaml && weft run workflows/greet.yaml -i name=Ada',
    )
    .action(
      action(context, async (session, file: string, options: { force?: boolean }) => {
        if (existsSync(file) && !options.force)
          throw new CliError(
            EXIT.invalid,
            `${file} exists already. Choose another name, or overwrite it with --force.`,
          )
        await mkdir(dirname(file), { recursive: true })
        await writeFile(file, STARTER)
        if (session.isJson) session.json({ file })
        else {
          session.line(`wrote ${file}`)
          session.notice(`Try it:  weft run ${file} -i name=Ada`)
        }
        return 0
      }),
    )

export const STARTER = `# A workflow is a graph: nodes by id, and in \`needs\` what each of them comes after.
# Check it with \`weft validate\`, run it with \`weft run <file> -i name=Ada\`.
weft: 1
name: hello
description: Greets people, and asks a person before it greets a crowd.

# JSON Schema of the run's input: checked, and filled with defaults, before anything starts.
input:
  type: object
  properties:
    name: { type: string, default: world }
    guests: { type: array, items: { type: string }, default: [Ada, Grace, Edsger] }

nodes:
  greet:
    type: set
    with:
      # \${{ … }} is an expression. One that stands alone keeps its type; inside text it is written out.
      text: "Hello, \${{ input.name }}!"
      count: "\${{ size(input.guests) }}"

  sign_off:
    type: approval
    needs:
      # An edge may have a condition; without one it is taken when \`greet\` succeeds.
      greet: { when: steps.greet.output.count > 3 }
    with: { title: "Greet \${{ steps.greet.output.count }} guests?", timeout: 1h, onTimeout: reject }

  welcome:
    type: log
    needs:
      greet: { when: else }
      # An approval ends as \`approved\`, \`rejected\` or \`timeout\`; an edge names what it takes.
      sign_off: approved
    # Once for every guest, ten at a time. Failed attempts are tried again by themselves.
    forEach: { items: input.guests, maxConcurrency: 10 }
    with: { message: "Welcome, \${{ item }}." }

output:
  greeting: "\${{ steps.greet.output.text }}"
  welcomed: "\${{ size(default(steps.welcome.output, [])) }}"
`
