// `npm test`: installs what is missing, then runs Vitest on the Node that comes along. Arguments go to Vitest.
import { join } from 'node:path'
import { ensureInstalled, node24, root, run } from './node24.mjs'

if (!(await ensureInstalled())) process.exit(1)
const env = { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}` }
process.exit(
  await run(node24(), [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...process.argv.slice(2)], {
    env,
  }),
)
