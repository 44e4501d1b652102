/** `docs/cli.md`: the help of every command. */

import { createProgram } from '../../server/src/cli/program.ts'
import { systemClock } from '../../server/src/clock.ts'
import { block, page } from './markdown.ts'

type Command = Awaited<ReturnType<typeof createProgram>>

const WIDTH = 100

export async function cliPage(): Promise<string> {
  const quiet = { write: () => true }
  const program = await createProgram(
    {
      terminal: { out: quiet, err: quiet, readInput: async () => '' },
      clock: systemClock(),
      environment: { url: null, apiKey: null, dataDirectory: '.weft', noColour: true },
    },
    '',
  )
  return page(
    'The command line',
    'In a clone, `npm run weft --` stands for `weft`: `npm run weft -- runs list`. A command asks the server that `--url` or `WEFT_URL` names, else the one that serves the nearest `.weft` upward; without one it brings its own engine, and says so. What stands here is what `--help` prints.',
    '## weft',
    block('text', helpOf(program)),
    ...program.commands.flatMap((command) => section(command, ['weft'])),
  )
}

function section(command: Command, path: readonly string[]): string[] {
  const here = [...path, command.name()]
  return [
    `${path.length === 1 ? '##' : '###'} ${here.join(' ')}`,
    block('text', helpOf(command)),
    ...command.commands.flatMap((inner) => section(inner, here)),
  ]
}

/** As a terminal of this width shows it; texts that stand around the help included. */
function helpOf(command: Command): string {
  let text = ''
  command.configureHelp({ showGlobalOptions: false }).configureOutput({
    writeOut: (part) => {
      text += part
    },
    getOutHelpWidth: () => WIDTH,
    getOutHasColors: () => false,
  })
  command.outputHelp()
  return text
}
