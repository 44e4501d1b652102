/**
 * The simulator is worth what it catches: each patch in `sim/mutants` breaks one rule in a copy of the product, and the
 * same worlds must find it.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface HuntSettings {
  readonly worlds: number
  readonly firstSeed: number
  /** One of them; without it, all. */
  readonly only?: string | undefined
  readonly report: (line: string) => void
}

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const patches = join(root, 'sim', 'mutants')
/** Beside the product, so that the copies find its packages. */
const copies = join(root, 'sim', '.mutants')
const COPIED = [
  'engine/src',
  'engine/test/world',
  'engine/package.json',
  'server/src',
  'server/test/tool.ts',
  'sim/src',
]

export const mutantNames = (): string[] =>
  readdirSync(patches)
    .filter((file) => file.endsWith('.patch'))
    .map((file) => basename(file, '.patch'))
    .sort()

/** Answers how many were not found. */
export async function huntMutants({ only, report, ...settings }: HuntSettings): Promise<number> {
  let missed = 0
  for (const name of mutantNames()) {
    if (only !== undefined && only !== name) continue
    const found = await findMutant(name, settings)
    report(
      found === null ? `MISSED ${name}: ${settings.worlds} worlds found nothing` : `found  ${name}: ${found}`,
    )
    if (found === null) missed++
  }
  return missed
}

/** What the worlds say about the product with this patch; `null` when they find nothing wrong with it. */
export async function findMutant(
  name: string,
  { worlds, firstSeed }: Pick<HuntSettings, 'worlds' | 'firstSeed'>,
): Promise<string | null> {
  const copy = join(copies, name)
  rmSync(copy, { recursive: true, force: true })
  try {
    for (const path of COPIED) cpSync(join(root, path), join(copy, path), { recursive: true })
    mkdirSync(join(copy, 'node_modules', '@weft'), { recursive: true })
    symlinkSync(join('..', '..', 'engine'), join(copy, 'node_modules', '@weft', 'engine'))
    applyPatch(copy, readFileSync(join(patches, `${name}.patch`), 'utf8'))
    const { code, output } = await runWorlds(join(copy, 'sim', 'src', 'main.ts'), worlds, firstSeed)
    if (code === 0) return null
    const [, finding] = /^(seed \d+: .*)$/m.exec(output) ?? []
    if (finding === undefined) throw new Error(`the worlds of ${name} broke off:\n${output.slice(-2000)}`)
    return finding
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

function runWorlds(
  program: string,
  worlds: number,
  firstSeed: number,
): Promise<{ code: number | null; output: string }> {
  const flags = ['--worlds', String(worlds), '--seed', String(firstSeed), '--findings', '1']
  const child = spawn(process.execPath, [program, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (output += String(bytes)))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, output }))
  })
}

/** Applies a unified diff. What a hunk replaces must stand in the file exactly once; line numbers do not matter. */
function applyPatch(folder: string, patch: string): void {
  for (const part of patch.split(/^--- .*\n(?=\+\+\+ )/m).slice(1)) {
    const [, path = ''] = /^\+\+\+ b\/(\S+)/.exec(part) ?? []
    const file = join(folder, path)
    let text = readFileSync(file, 'utf8')
    for (const hunk of part.split(/^@@ .*\n/m).slice(1)) {
      const lines = hunk.split('\n').filter((line) => /^[ +-]/.test(line))
      const side = (own: string): string =>
        lines.flatMap((line) => (line[0] === ' ' || line[0] === own ? [`${line.slice(1)}\n`] : [])).join('')
      const pieces = text.split(side('-'))
      if (pieces.length !== 2)
        throw new Error(`a hunk for ${path} fits ${pieces.length - 1} places, not one:\n${hunk}`)
      text = pieces.join(side('+'))
    }
    writeFileSync(file, text)
  }
}
