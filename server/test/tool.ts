/**
 * The command line of what is run by hand beside the tests (`npm run sim`, `npm run chaos`, `npm run bench` …): options
 * with a help text, refusals in a sentence with exit code 2, and an end by Ctrl-C that leaves nothing behind.
 */
import { Command, InvalidArgumentError } from 'commander'

export const print = (line: string): void => void process.stdout.write(`${line}\n`)

export function refuse(sentence: string): never {
  process.stderr.write(`${sentence}\n`)
  process.exit(2)
}

/** `script` as in `npm run <script>`; `examples` are what stands behind its `--`. */
export function tool(script: string, description: string, examples: readonly string[]): Command {
  // Whoever started processes ends and removes them at `exit` (see weft-process.ts).
  process.once('SIGINT', () => process.exit(130))
  process.once('SIGTERM', () => process.exit(143))
  const shown = examples.map((options) => `  npm run ${script} -- ${options}`).join('\n')
  return new Command(`npm run ${script} --`)
    .description(description)
    .allowExcessArguments(false)
    .addHelpText('after', `\nExamples:\n${shown}`)
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
}

/** Reads an option as a whole number in these bounds. */
export const whole =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (value >= least && value <= most) return value
    throw new InvalidArgumentError(
      `It is a whole number from ${least} ${most === Number.MAX_SAFE_INTEGER ? 'on' : `to ${most}`}.`,
    )
  }

/** Minutes may have a fraction. */
export function minutes(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new InvalidArgumentError('It is a number of minutes above 0.')
}

export const randomSeed = (): number => Math.floor(Math.random() * 2 ** 31)
