// `npm start` and `npm run tour`: installs what is missing, then runs the platform, with its tour, on Node 24.
import { join } from 'node:path'
import { ensureInstalled, node24, root, run } from './node24.mjs'

if (!(await ensureInstalled())) process.exit(1)
process.exit(await run(node24(), [join(root, 'examples', 'tour', 'main.ts'), ...process.argv.slice(2)]))
