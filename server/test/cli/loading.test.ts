/** A command line loads the code of its own command alone; help and mistakes load all of them. */
import { expect, test } from 'vitest'
import { createProgram } from '../../src/cli/program.ts'
import { systemClock } from '../../src/clock.ts'

const quiet = { write: () => true }
const context = {
  terminal: { out: quiet, err: quiet, readInput: async () => '' },
  clock: systemClock(),
  environment: { url: null, apiKey: null, dataDirectory: '.weft', noColour: true },
}

const loadedBy = async (...argv: string[]): Promise<string[]> =>
  (await createProgram(context, '1.0.0', argv)).commands.map((command) => command.name())

test('each command is found by its name, and alone', async () => {
  const names = await loadedBy()
  expect(names).toContain('serve')
  for (const name of names) expect(await loadedBy(name)).toEqual([name])
})

test('options of the program may stand before it', async () => {
  expect(await loadedBy('--json', '--url', 'serve', '--api-key', 'run', 'logs', 'why')).toEqual(['logs'])
})

test('help, nothing and an unknown word load all', async () => {
  const names = await loadedBy()
  for (const argv of [['--help'], ['help', 'serve'], ['retry'], ['constructor']])
    expect(await loadedBy(...argv)).toEqual(names)
})
