/** `weft open`: where to look at the server in a browser. */
import { Command } from 'commander'
import { action, type CliContext } from './context.ts'
import { CliError, EXIT } from './exit.ts'

export const openCommand = (context: CliContext): Command =>
  new Command('open')
    .summary('print the address of the server')
    .description(
      'Prints the address under which the server lists its runs. The API wants the key as `Authorization: Bearer`.',
    )
    .addHelpText('after', '\nExamples:\n  weft open\n  weft open --json')
    .action(
      action(context, async (session) => {
        const { client, isOwnEngine, where } = await session.connection()
        if (isOwnEngine)
          throw new CliError(
            EXIT.unreachable,
            'No server runs here that could be opened. Start one with `weft dev`.',
          )
        const url = new URL('/api/v1/runs', client.address.url).href
        if (session.isJson) session.json({ url, where })
        else session.line(url)
        return 0
      }),
    )
