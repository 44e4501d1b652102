/**
 * Runs examples against a Weft and a service of their own, and compares with what each expects.
 *
 *     node scripts/node24.mjs examples/run.ts               the examples, all of them
 *     node scripts/node24.mjs examples/run.ts 02 09         these
 *     node scripts/node24.mjs examples/run.ts 02 --changed  with the deliberate change made: the comparison must fail
 *
 * Ends with 0 when every run matched, else with 1.
 */
import { parseArgs } from 'node:util'
import { differences } from './runner/compare.ts'
import { changed, exampleNames, readExample } from './runner/example.ts'
import { expectedWith, play } from './runner/play.ts'
import { startStage } from './runner/stage.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { changed: { type: 'boolean', default: false } },
})
const names = exampleNames().filter(
  (name) => positionals.length === 0 || positionals.some((start) => name.startsWith(start)),
)
if (names.length === 0) {
  console.error(`There is no example ${positionals.join(', ')}. There are:\n  ${exampleNames().join('\n  ')}`)
  process.exit(2)
}

await using stage = await startStage()
for (const name of names) {
  const example = readExample(name)
  const observed = await play(values.changed ? changed(example) : example, stage.weft.client, stage.service)
  const found = differences(expectedWith(stage.service.nonce, example.expected), observed)
  console.log(`${found.length === 0 ? 'matches' : 'differs'}  ${name}`)
  if (values.changed) console.log(`         ${example.change.change}`)
  for (const difference of found) console.log(`         ${difference}`)
  if (found.length > 0) process.exitCode = 1
}
