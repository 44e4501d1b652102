import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import { logNode } from '../../src/nodes/log.ts'
import { createRegistry } from '../../src/nodes/registry.ts'

const moduleOf = (type: string, answer: string): string => `
import { defineNode, NodeError, z } from '@weft/server/nodes'
export const node = defineNode({
  type: '${type}',
  title: 'T',
  description: 'D',
  config: z.object({}),
  effect: 'pure',
  async run() {
    if (!NodeError) throw new Error('NodeError is missing')
    return ${answer}
  },
})
export const other = 7
`

async function folderOf(files: Record<string, string>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'weft-nodes-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text)
  return path
}

/**
 * What a script says about a registry of this folder, in a Node process of its own: modules of users are loaded by Node,
 * and not by what runs these tests.
 */
async function inNode(folder: string, script: string): Promise<unknown> {
  const source = (name: string): string => JSON.stringify(new URL(`../../src/${name}`, import.meta.url).href)
  const code = `
    import { writeFile, rm } from 'node:fs/promises'
    import { join } from 'node:path'
    import { createRegistry } from ${source('nodes/registry.ts')}
    import { logNode } from ${source('nodes/log.ts')}
    import { systemClock } from ${source('clock.ts')}
    const folder = ${JSON.stringify(folder)}
    const registry = createRegistry({ builtIn: [logNode], folder })
    const answerOf = async (type) => (await registry.get(type).run({}, {})).output
    const write = async (name, text) => { await writeFile(join(folder, name), text); return join(folder, name) }
    const moduleOf = (type, answer) => (${JSON.stringify(moduleOf('TYPE', 'ANSWER'))}).replace('TYPE', type).replace('ANSWER', answer)
    const said = {}
    ${script}
    console.log(JSON.stringify(said))
  `
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code])
  return JSON.parse(stdout)
}

describe('registry', () => {
  it('knows its own types, and the control types that definitions may use', () => {
    const registry = createRegistry({ builtIn: [logNode] })
    expect(registry.names()).toEqual(['log'])
    expect([...registry.types().keys()]).toEqual(
      expect.arrayContaining(['branch', 'delay', 'approval', 'log']),
    )
    expect(registry.get('branch')).toBeUndefined()
  })

  it('says so when the folder is not there', async () => {
    const registry = createRegistry({ builtIn: [], folder: '/nowhere/at/all' })
    expect(await registry.load()).toMatchObject([
      { file: '/nowhere/at/all', message: expect.stringContaining('WEFT_NODES') },
    ])
  })

  it('loads the modules of a folder that lies anywhere', async () => {
    const folder = await folderOf({
      'order.ts': `const typed: number = 1\n${moduleOf('shop.order', 'typed')}`,
      'price.mjs': moduleOf('shop.price', '2'),
      'own-zod.mjs': `import { z } from 'zod'\nimport { defineNode } from '@weft/server/nodes'\nexport default defineNode({ type: 'shop.zod', title: 'T', description: 'D', config: z.object({}), effect: 'pure', run: async () => 3 })`,
      'helper.js': 'export const value = 1',
      'order.test.ts': 'throw new Error("a test is not loaded")',
      'types.d.ts': 'export interface Nothing {}',
      'notes.md': '#',
    })
    const said = await inNode(
      folder,
      `said.problems = await registry.load()
       said.names = registry.names()
       said.kind = registry.types().get('shop.order').kind
       said.answers = [await answerOf('shop.order'), await answerOf('shop.price'), await answerOf('shop.zod')]`,
    )
    expect(said).toEqual({
      problems: [],
      names: ['log', 'shop.order', 'shop.zod', 'shop.price'],
      kind: 'task',
      answers: [1, 2, 3],
    })
  })

  it('says which file is broken and why, and loads the others', async () => {
    const folder = await folderOf({
      'a-syntax.ts': 'export const = 1',
      'b-throws.mjs': 'throw new Error("no key for the shop")',
      'c-import.mjs': 'import "./nowhere.mjs"',
      'd-declared.mjs': moduleOf('Shop', '1'),
      'e-good.mjs': moduleOf('shop.good', '1'),
      'f-again.mjs': moduleOf('shop.good', '2'),
      'g-own.mjs': moduleOf('log', '3'),
    })
    const said = (await inNode(
      folder,
      `for (const { file, message } of await registry.load()) said[file.slice(folder.length + 1, folder.length + 2)] = message
       said.answer = await answerOf('shop.good')`,
    )) as Record<string, string>
    expect(Object.keys(said).sort()).toEqual(['a', 'answer', 'b', 'c', 'd', 'f', 'g'])
    expect(said.b).toContain('no key for the shop')
    expect(said.c).toContain('nowhere.mjs')
    expect(said.d).toContain('lower-case words')
    expect(said.f).toContain('already defined by e-good.mjs')
    expect(said.g).toContain('already defined by Weft itself')
    expect(said.answer).toBe(1)
  })

  it('reloads a changed file, keeps its last good version, and forgets a file that is gone', async () => {
    const folder = await folderOf({ 'a.mjs': moduleOf('mine.a', '1') })
    const said = await inNode(
      folder,
      `let changes = 0
       registry.onChange(() => changes++)
       await registry.load()
       const before = registry.types()
       const file = await write('a.mjs', moduleOf('mine.a', '2'))
       said.changed = [await registry.reload(file), await answerOf('mine.a'), registry.types() !== before, changes]
       await write('a.mjs', 'export const = broken')
       said.broken = [(await registry.reload(file)).length, await answerOf('mine.a')]
       await rm(file)
       said.gone = [await registry.reload(file), registry.get('mine.a') === undefined]`,
    )
    expect(said).toEqual({ changed: [[], 2, true, 2], broken: [1, 2], gone: [[], true] })
  })

  it('reloads by itself while it watches', async () => {
    const folder = await folderOf({ 'a.mjs': moduleOf('mine.a', '1') })
    const said = await inNode(
      folder,
      `await registry.load()
       const alive = setInterval(() => {}, 1000)
       let end
       const reloaded = new Promise((resolve) => { end = registry.watch(systemClock(), (file, problems) => resolve(problems)) })
       await write('b.mjs', moduleOf('mine.b', '5'))
       said.problems = await reloaded
       said.answer = await answerOf('mine.b')
       end()
       clearInterval(alive)`,
    )
    expect(said).toEqual({ problems: [], answer: 5 })
  })
})
