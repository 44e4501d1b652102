/** The reference pages say what the code says: an error code or a setting that a user looks up is there. */
import { expect, test } from 'vitest'
import { committedPage, referencePages } from '../../../scripts/docs.ts'

test('the committed reference pages are what `npm run docs` writes', async () => {
  for (const [path, text] of await referencePages())
    expect(committedPage(path), `${path}: run \`npm run docs\` and commit what it writes`).toBe(text)
})
