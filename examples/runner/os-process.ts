/**
 * Processes as the operating system shows them: who descends from whom, and how much memory they hold.
 *
 * Reads `/proc`, hence Linux only; elsewhere the answers are empty and callers say that they measured nothing.
 */
import { readdirSync, readFileSync } from 'node:fs'

interface OsProcess {
  readonly pid: number
  readonly parent: number
}

function list(): OsProcess[] {
  const found: OsProcess[] = []
  for (const name of process.platform === 'linux' ? readdirSync('/proc') : []) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    const stat = read(`/proc/${pid}/stat`)
    if (stat === null) continue
    // "pid (name) state parent …"; the name may hold spaces and parentheses.
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (state !== 'Z' && state !== 'X') found.push({ pid, parent: Number(parent) })
  }
  return found
}

/** Whether it runs: one that has ended and that nobody has asked for its exit code does not. */
export function isAlive(pid: number): boolean {
  if (process.platform === 'linux') return list().some((one) => one.pid === pid)
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** These processes and everything that descends from them, as far as they live. */
export function processTree(roots: readonly number[]): number[] {
  const all = list()
  const tree = new Set(all.filter(({ pid }) => roots.includes(pid)).map(({ pid }) => pid))
  for (let before = -1; before !== tree.size; ) {
    before = tree.size
    for (const { pid, parent } of all) if (tree.has(parent)) tree.add(pid)
  }
  return [...tree]
}

/**
 * Proportional set size: private memory, and of what is shared with other processes each one's share. `null` where the
 * system does not tell.
 */
export function proportionalBytes(pid: number): number | null {
  const kilobytes = /^Pss:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1]
  return kilobytes === undefined ? null : Number(kilobytes) * 1024
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null // ended meanwhile, or somebody else's
  }
}
