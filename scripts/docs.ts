/**
 * `npm run docs`: writes the reference pages in `docs/` from the tables in the code. A test compares what is committed
 * with what this would write.
 */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cliPage } from './docs/cli-page.ts'
import { errorsPage } from './docs/errors-page.ts'
import { livePage } from './docs/live-page.ts'
import { nodesPage } from './docs/nodes-page.ts'
import { operationsPage } from './docs/operations-page.ts'
import { configurationPage, expressionsPage, metricsPage } from './docs/tables.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** The pages by their path in the repository. */
export async function referencePages(): Promise<ReadonlyMap<string, string>> {
  const pages = {
    'docs/cli.md': await cliPage(),
    'docs/configuration.md': configurationPage(),
    'docs/errors.md': errorsPage(root),
    'docs/expressions.md': expressionsPage(),
    'docs/live.md': livePage(),
    'docs/metrics.md': await metricsPage(),
    'docs/nodes.md': await nodesPage(),
    'docs/operations.md': operationsPage(),
  }
  return new Map(
    await Promise.all(
      Object.entries(pages).map(async ([path, text]) => [path, await formatted(path, text)] as const),
    ),
  )
}

/** As the formatter of this repository writes it, which `npm run check` asks for. */
function formatted(path: string, text: string): Promise<string> {
  const biome = join(root, 'node_modules', '.bin', 'biome')
  return new Promise((resolve, reject) => {
    const child = execFile(biome, ['format', `--stdin-file-path=${path}`], { cwd: root }, (error, out) =>
      error ? reject(error) : resolve(out),
    )
    child.stdin?.end(text)
  })
}

export function committedPage(path: string): string {
  try {
    return readFileSync(join(root, path), 'utf8')
  } catch {
    return ''
  }
}

if (import.meta.main) {
  for (const [path, text] of await referencePages()) {
    if (committedPage(path) === text) continue
    writeFileSync(join(root, path), text)
    console.log(`wrote ${path}`)
  }
}
