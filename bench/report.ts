/** The figures on a terminal: each against its floor and its goal, and Weft's beside those of its peers. */
import type { Comparison, Contender } from './compare.ts'
import { GOALS, type Goal, judge } from './goals.ts'
import type { LoadFigures } from './load.ts'

export type ModeFigures = Record<string, Record<string, number>>

/** One line per figure; those without a goal stand for themselves. */
export function tableOf(mode: string, figures: ModeFigures): string {
  const rows: string[][] = [['workload', 'figure', 'measured', 'floor', 'goal', '']]
  for (const [workload, values] of Object.entries(figures)) {
    for (const [key, value] of Object.entries(values)) {
      const goal = goalsOf(mode).find((one) => one.workload === workload && one.key === key)
      rows.push([workload, key, shown(key, value), ...(goal ? marksOf(goal, value) : ['', '', ''])])
    }
  }
  return aligned(rows, 2)
}

/** Figures below their floor. */
export const missedFloors = (mode: string, figures: ModeFigures): Goal[] =>
  goalsOf(mode).filter((goal) => {
    const value = figures[goal.workload]?.[goal.key]
    return value !== undefined && judge(goal, value) === 'FAIL'
  })

const goalsOf = (mode: string): Goal[] =>
  GOALS.filter(({ modes }) => modes === undefined || modes.includes(mode))

/** One line per contender; the factor beside a figure is how many times as good Weft's is. */
export function comparisonTable({ contenders, skipped }: Comparison): string {
  const { weft } = contenders
  const rows = [['', 'version', '50 in flight', '', '200 in flight', '', 'idle p50', '', 'idle p99', '', '']]
  for (const contender of Object.values(contenders)) {
    const cell = (key: keyof LoadFigures): string[] => {
      const value = contender.figures[key]
      const unit = key.startsWith('idle') ? `${value.toFixed(1)} ms` : `${value.toLocaleString('en')} runs/s`
      return [unit, contender === weft || !weft ? '' : `${ratioOf(key, weft, contender).toFixed(1)}×`]
    }
    rows.push([
      contender.title,
      contender.version,
      ...cell('runsPerSecond50'),
      ...cell('runsPerSecond200'),
      ...cell('idleP50Ms'),
      ...cell('idleP99Ms'),
      contender.isTrusted ? '' : 'below what it is known to reach: set badly, or a slow machine',
    ])
  }
  const durability = Object.values(contenders).map(
    ({ title, durability, tuning }) => `${title}: ${durability}. Set: ${tuning}.`,
  )
  const missing = Object.entries(skipped).map(([name, reason]) => `MISSING  ${name}: ${reason}`)
  return [aligned(rows, 2), '', ...durability, ...missing].join('\n')
}

/** More than 1: Weft is ahead. */
export function ratioOf(key: keyof LoadFigures, weft: Contender, peer: Contender): number {
  const [ours, theirs] = [weft.figures[key], peer.figures[key]]
  return key.startsWith('idle') ? theirs / ours : ours / theirs
}

/** In columns; those after the first `leading` are set flush right. */
function aligned(rows: readonly string[][], leading: number): string {
  const columns = Math.max(...rows.map((row) => row.length)) - 1
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  )
  const cellOf = (cell: string, column: number): string => {
    const width = widths[column] ?? 0
    return column < leading ? cell.padEnd(width) : cell.padStart(width)
  }
  return rows.map((row) => row.map(cellOf).join('  ').trimEnd()).join('\n')
}

function marksOf(goal: Goal, value: number): string[] {
  const sign = goal.better === 'more' ? '≥' : '≤'
  const mark = (figure: number | null): string =>
    figure === null ? '' : `${sign} ${shown(goal.key, figure)}`
  return [mark(goal.floor), mark(goal.goal), judge(goal, value)]
}

function shown(key: string, value: number): string {
  if (/bytes$/i.test(key)) return `${(value / 1_000_000).toFixed(1)} MB`
  const text = Math.abs(value) >= 1_000 ? Math.round(value).toLocaleString('en') : String(value)
  if (/ms$/i.test(key)) return `${text} ms`
  return /persecond$/i.test(key) ? `${text}/s` : text
}
