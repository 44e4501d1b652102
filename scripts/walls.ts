/**
 * Keeps the walls of ARCHITECTURE.md: imports point toward `engine`, rooms that must not know each other do not, and
 * each of the dangerous things happens in one place. Prints every breach.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const files = globSync('{engine,server,sim}/src/**/*.ts', { cwd: root })
const breaches: string[] = []

/** The room of a file: the first folder under `server/src`, or the file itself at the top. */
const roomOf = (file: string): string => {
  const [home, , first] = file.split('/')
  return home === 'server' ? (first as string) : (home as string)
}

/** Rooms that never import each other: they meet in store and transport. */
const STRANGERS = [
  ['api', 'worker'],
  ['api', 'coordinator'],
  ['worker', 'coordinator'],
] as const

/** What only one place may do. */
const ONLY: readonly {
  readonly what: string
  readonly pattern: RegExp
  readonly allowed: (file: string) => boolean
}[] = [
  {
    what: 'asks for the time or for chance (R12: take a Clock)',
    pattern: /\bDate\.now\(|new Date\(\)|\bMath\.random\(/,
    allowed: (file) => file === 'server/src/clock.ts',
  },
  {
    what: 'reads the environment (only config.ts does)',
    pattern: /process\.env\b/,
    allowed: (file) => file === 'server/src/config.ts',
  },
  {
    what: 'talks to Postgres (only store/ does)',
    pattern: /from 'pg'|from 'drizzle-orm/,
    allowed: (file) => file.startsWith('server/src/store/'),
  },
  {
    what: 'opens outgoing connections (only egress/ does; the CLI talks to its own server)',
    // `ServerResponse` answers, and `createServer` listens: they call nobody.
    pattern:
      /from 'undici'|(?<!import \{ (?:ServerResponse|createServer, type Server, type ServerResponse) \} )from 'node:https?'|(?<![.\w]|get )fetch\(/,
    allowed: (file) => file.startsWith('server/src/egress/') || file.startsWith('server/src/cli/'),
  },
  {
    what: 'decides (only coordinator/ does)',
    pattern: /\bdecide,|\bdecide \}|\{ decide\b/,
    allowed: (file) => file.startsWith('server/src/coordinator/') || file.startsWith('engine/'),
  },
  {
    what: 'uses Node in the engine',
    pattern: /from 'node:/,
    allowed: (file) => !file.startsWith('engine/'),
  },
]

for (const file of files) {
  const text = readFileSync(join(root, file), 'utf8')
  const room = roomOf(file)
  for (const match of text.matchAll(/from '(\.[^']+)'/g)) {
    const target = relative(root, resolve(root, dirname(file), match[1] as string))
    if (file.startsWith('engine/') && !target.startsWith('engine/'))
      breaches.push(`${file} imports ${target}: the engine imports nobody`)
    if (!file.startsWith('sim/') && target.startsWith('sim/'))
      breaches.push(`${file} imports ${target}: the simulator is never a part of the product`)
    if (!file.startsWith('engine/') && target.startsWith('engine/src/'))
      breaches.push(`${file} imports ${target}: use @weft/engine`)
    for (const [a, b] of STRANGERS) {
      const other = roomOf(target)
      if ((room === a && other === b) || (room === b && other === a))
        breaches.push(`${file} imports ${target}: ${a} and ${b} never import each other`)
    }
  }
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')
  for (const { what, pattern, allowed } of ONLY)
    if (!allowed(file) && pattern.test(code)) breaches.push(`${file} ${what}`)
}

for (const breach of breaches) console.error(breach)
console.log(`${files.length} files, ${breaches.length} breaches`)
process.exit(breaches.length === 0 ? 0 : 1)
