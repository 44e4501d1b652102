/** The program `weft`: this process, its terminal and its arguments, handed to the commands. */
import { text } from 'node:stream/consumers'
import packageJson from '../../package.json' with { type: 'json' }
import { systemClock } from '../clock.ts'
import { cliEnvironment } from '../config.ts'
import type { CliContext } from './context.ts'
import { createProgram, runProgram } from './program.ts'

const context: CliContext = {
  terminal: { out: process.stdout, err: process.stderr, readInput: () => text(process.stdin) },
  clock: systemClock(),
  environment: cliEnvironment(),
}
// A reader that has enough (`| head`) ends the program quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
})
const argv = process.argv.slice(2)
await runProgram(await createProgram(context, packageJson.version, argv), context, argv)
