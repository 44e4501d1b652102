/** The documents say what is so: a code, a setting or a page that a user looks up is there. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { committedPage, referencePages } from '../../../scripts/docs.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

test('the committed reference pages are what `npm run docs` writes', async () => {
  for (const [path, text] of await referencePages())
    expect(committedPage(path), `${path}: run \`npm run docs\` and commit what it writes`).toBe(text)
})

test('every link between the documents leads somewhere', () => {
  const broken = globSync(['*.md', 'docs/**/*.md', 'examples/**/*.md'], { cwd: ROOT }).flatMap((page) => {
    const text = readFileSync(join(ROOT, page), 'utf8').replace(/^```[\s\S]*?^```$/gm, '')
    return [...text.matchAll(/\]\((?!https?:)([^)#\s]+)/g)]
      .map(([, target]) => target as string)
      .filter((target) => !existsSync(join(ROOT, dirname(page), target)))
      .map((target) => `${page}: ${target}`)
  })
  expect(broken).toEqual([])
})
