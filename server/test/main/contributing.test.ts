/**
 * Whoever follows CONTRIBUTING's "Add a node type" to the letter ends with a node type that works.
 *
 * The blocks are taken from the page: files are written, diffs are applied, commands are run, in a copy of this tree.
 */
import { type SpawnOptions, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
/** What is installed, made or none of the tree's own. */
const NOT_COPIED = new Set(['node_modules', '.git', '.weft', 'bench-results', 'test-results', '.mutants'])

/** Nine processes one after the other, two of them with a PostgreSQL of their own: more than one test's guard. */
const GUARD_MS = 240_000

let ground: string
let tree: string

beforeAll(async () => {
  ground = await mkdtemp(join(tmpdir(), 'weft-contributing-'))
  tree = join(ground, 'weft')
  await cp(ROOT, tree, {
    recursive: true,
    filter: (path) =>
      !relative(ROOT, path)
        .split('/')
        .some((part) => NOT_COPIED.has(part)),
  })
  await linkPackages(join(ROOT, 'node_modules'), join(tree, 'node_modules'))
})

afterAll(() => rm(ground, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }))

/** Packages are those of this tree; the workspaces among them are the copy's own. */
async function linkPackages(installed: string, links: string): Promise<void> {
  await mkdir(join(links, '@weft'), { recursive: true })
  for (const name of await readdir(installed)) {
    if (name !== '@weft' && name !== '.cache') await symlink(join(installed, name), join(links, name))
  }
  for (const name of ['engine', 'server']) {
    await symlink(join('..', '..', name), join(links, '@weft', name))
    // Of its own, where another version stands at the root.
    const own = join(ROOT, name, 'node_modules')
    if (existsSync(own)) await symlink(own, join(tree, name, 'node_modules'))
  }
}

interface Block {
  readonly language: string
  /** `file=…`: the path that the block is the content of. */
  readonly file: string | undefined
  readonly text: string
}

async function blocks(): Promise<Block[]> {
  const page = await readFile(join(ROOT, 'CONTRIBUTING.md'), 'utf8')
  const section = page.slice(page.indexOf('## Add a node type'))
  return [...section.matchAll(/^```(\w+)(?: file=(\S+))?\n([\s\S]*?)^```$/gm)].map(
    ([, language, file, body]) => ({
      language: language as string,
      file,
      text: body as string,
    }),
  )
}

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

async function run(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { input?: string } = {},
): Promise<Ended> {
  const { input = '', ...rest } = options
  const child = spawn(command, args, {
    cwd: tree,
    env: { PATH: process.env.PATH, HOME: ground, WEFT_DATA_DIR: join(ground, 'data') },
    ...rest,
    stdio: 'pipe',
  })
  child.stdin?.end(input)
  const [out, err, code] = await Promise.all([
    child.stdout ? text(child.stdout) : '',
    child.stderr ? text(child.stderr) : '',
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ])
  return { code, out, err }
}

test(
  'every step of “Add a node type” works as it is written',
  async () => {
    const said: Record<string, string> = {}
    for (const block of await blocks()) {
      if (block.file !== undefined) {
        await mkdir(dirname(join(tree, block.file)), { recursive: true })
        await writeFile(join(tree, block.file), block.text)
      } else if (block.language === 'diff') {
        expect(await run('git', ['apply', '-'], { input: block.text })).toMatchObject({
          code: 0,
          err: '',
        })
      } else if (block.language === 'sh' && block.text.trim() !== 'npm run check') {
        const ended = await run('sh', ['-c', block.text])
        expect(ended, `${block.text}${ended.out}${ended.err}`).toMatchObject({ code: 0 })
        said[block.text.trim()] = ended.out
      }
    }

    const [outcome = ''] = Object.entries(said).flatMap(([command, out]) =>
      command.includes('run count.yaml') ? [out] : [],
    )
    expect(outcome).toMatch(/^completed /)
    expect(JSON.parse(outcome.slice(outcome.indexOf('{')))).toEqual({ words: 3, characters: 18 })
    expect(await readFile(join(tree, 'docs/nodes.md'), 'utf8')).toContain('### text.count')

    const definition = await readFile(join(tree, 'count.yaml'), 'utf8')
    await writeFile(join(tree, 'count.yaml'), definition.replace('output.words', 'output.wrods'))
    const refused = await run('sh', ['-c', 'npm run --silent weft -- run count.yaml -i text=a'])
    expect(refused.code).toBe(2)
    expect(refused.err).toContain('words')
  },
  GUARD_MS,
)
