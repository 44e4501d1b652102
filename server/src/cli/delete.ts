/** `weft … delete <name>`: of whatever goes by a name, and has a path of the API by it. */
import { Command } from 'commander'
import { action, type CliContext } from './context.ts'
import { plain } from './paint.ts'

export interface Named {
  readonly argument: string
  readonly description: string
  readonly example: string
  readonly pathOf: (name: string) => string
}

export const deleteCommand = (context: CliContext, named: Named): Command =>
  new Command('delete')
    .description(named.description)
    .argument(`<${named.argument}>`, 'its name')
    .addHelpText('after', `\nExamples:\n  ${named.example}`)
    .action(
      action(context, async (session, name: string) => {
        await (await session.client()).call('DELETE', named.pathOf(name))
        if (session.isJson) session.json({ name, deleted: true })
        else session.line(`deleted  ${plain(name)}`)
        return 0
      }),
    )
