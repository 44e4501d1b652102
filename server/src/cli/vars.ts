/** `weft vars …`: the workspace's variables, which runs read as `vars.<name>`. */
import type { Json } from '@weft/engine'
import { Command } from 'commander'
import { action, type CliContext, type Session } from './context.ts'
import { deleteCommand } from './delete.ts'
import { durationText, jsonText, type Piece, plain } from './paint.ts'
import type { Page, Variable } from './shapes.ts'
import { looseValue, readJson } from './values.ts'

const pathOf = (name: string): string => `/api/v1/variables/${encodeURIComponent(name)}`

export function varsCommand(context: CliContext): Command {
  const vars = new Command('vars')
    .summary('set, list and delete variables')
    .description(
      'Sets, lists and deletes variables, which workflows read as vars.<name>. A run keeps the values it started with.\nVariables are shown to everybody who may read: secrets belong into credentials.',
    )
  vars
    .command('list')
    .description('Lists variables with their values.')
    .addHelpText('after', '\nExamples:\n  weft vars list --json')
    .action(action(context, list))
  vars
    .command('get')
    .description('Prints a variable: text as it is, everything else as JSON.')
    .argument('<name>', 'its name')
    .addHelpText('after', '\nExamples:\n  weft vars get region')
    .action(
      action(context, async (session, name: string) => {
        const variable = await (await session.client()).call<Variable>('GET', pathOf(name))
        if (session.isJson) session.json(variable)
        else session.line(typeof variable.value === 'string' ? variable.value : jsonText(variable.value))
        return 0
      }),
    )
  vars
    .command('set')
    .description('Sets a variable.')
    .argument('<name>', 'letters, digits and _')
    .argument('<value>', 'JSON or text; JSON from a file (@value.json) or from stdin (-)')
    .addHelpText(
      'after',
      `\nExamples:\n  weft vars set region eu-west\n  weft vars set limits '{"orders": 5}'`,
    )
    .action(
      action(context, async (session, name: string, given: string) => {
        const value = await givenValue(session, given)
        const variable = await (await session.client()).call<Variable>('PUT', pathOf(name), {
          body: { value },
        })
        if (session.isJson) session.json(variable)
        else session.line(`set  ${variable.name}`)
        return 0
      }),
    )
  vars.addCommand(
    deleteCommand(context, {
      argument: 'name',
      description: 'Deletes a variable. Runs that have started keep its value.',
      example: 'weft vars delete region',
      pathOf,
    }),
  )
  return vars
}

async function list(session: Session): Promise<number> {
  const { items } = await (await session.client()).call<Page<Variable>>('GET', '/api/v1/variables')
  return session.list(items, row, 'No variable is set yet. Set one: weft vars set <name> <value>.')
}

const row = ({ name, value, updatedAt }: Variable, now: number): Piece[] => [
  { text: plain(name) },
  { text: `${durationText(now - updatedAt)} ago`, colour: 'dim' },
  { text: plain(typeof value === 'string' ? value : JSON.stringify(value)) },
]

const givenValue = async (session: Session, given: string): Promise<Json> =>
  given === '-' || given.startsWith('@')
    ? readJson(given, '<value>', session.context.terminal)
    : looseValue(given)
