// `npm test`: installs what is missing, then runs Vitest on the Node that comes along: everything, and then, on a given
// PostgreSQL and Redis, what runs go through. Arguments go to Vitest, and to one run alone.
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { ensureInstalled, node24, root, run } from './node24.mjs'

/** Of what is not about one implementation, the part that is worth its time at every change. */
const ON_REDIS = [
  'server/test/coordinator',
  'server/test/worker',
  'server/test/examples/examples.test.ts',
  'server/test/api/commands.test.ts',
  'server/test/api/tasks.test.ts',
  'server/test/api/patches.test.ts',
  'server/test/api/reviews.test.ts',
]

if (!(await ensureInstalled())) process.exit(1)
const env = { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}` }
const vitest = (args, more = {}) =>
  run(node24(), [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...args], {
    env: { ...env, ...more },
  })

const given = process.argv.slice(2)
const code = await vitest(given)
// The run before has said what a machine without Redis can do about it.
if (code !== 0 || given.length > 0 || env.WEFT_TEST_STACK || !hasRedis()) process.exit(code)
process.stdout.write('\nThe same on PostgreSQL and Redis:\n')
process.exit(await vitest(ON_REDIS, { WEFT_TEST_STACK: 'postgres-redis' }))

function hasRedis() {
  const folders = [...(env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin']
  const programs = ['redis-server', 'valkey-server'].flatMap((name) =>
    folders.map((folder) => join(folder, name)),
  )
  return Boolean(env.WEFT_TEST_REDIS_URL) || programs.some((program) => existsSync(program))
}
