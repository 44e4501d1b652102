// `npm run check`: everything that must hold beside the tests. Runs all of it and says all that is wrong.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ensureInstalled, node24, root, run } from './node24.mjs'

if (!(await ensureInstalled())) process.exit(1)
const tool = (name) => join(root, 'node_modules', '.bin', name)
const env = { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}` }
const steps = [
  ['types of engine (no node, no DOM)', tool('tsc'), ['-p', 'engine']],
  ['types of the engine tests', tool('tsc'), ['-p', 'engine/test']],
  ['types of server, examples and bench', tool('tsc'), ['-p', 'server']],
  // Installed by the bench when it is asked for them, and only then there to be checked.
  ...(existsSync(join(root, 'bench', 'peers', 'node_modules'))
    ? [['types of the peers of the bench', tool('tsc'), ['-p', 'bench/peers']]]
    : []),
  ['types of the simulator', tool('tsc'), ['-p', 'sim']],
  ['format and lint', tool('biome'), ['check', '.']],
  ['unused code and packages', tool('knip'), []],
  ['import walls', node24(), ['scripts/walls.ts']],
]
let failed = 0
for (const [name, command, args] of steps) {
  const code = await run(command, args, { env })
  process.stdout.write(`${code === 0 ? 'ok  ' : 'FAIL'} ${name}\n`)
  if (code !== 0) failed++
}
process.stdout.write(`${steps.length - failed} passed, ${failed} failed\n`)
process.exit(failed === 0 ? 0 : 1)
