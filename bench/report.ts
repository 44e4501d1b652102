/** The figures on a terminal: each against its floor and its goal. */
import { GOALS, type Goal, judge } from './goals.ts'

export type ModeFigures = Record<string, Record<string, number>>

/** One line per figure; those without a goal stand for themselves. */
export function tableOf(figures: ModeFigures): string {
  const rows: string[][] = [['workload', 'figure', 'measured', 'floor', 'goal', '']]
  for (const [workload, values] of Object.entries(figures)) {
    for (const [key, value] of Object.entries(values)) {
      const goal = GOALS.find((one) => one.workload === workload && one.key === key)
      rows.push([workload, key, shown(key, value), ...(goal ? marksOf(goal, value) : ['', '', ''])])
    }
  }
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row.map((cell, column) =>
        column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      ),
    )
    .map((row) => row.join('  ').trimEnd())
    .join('\n')
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

/** Figures below their floor. */
export const missedFloors = (figures: ModeFigures): Goal[] =>
  GOALS.filter((goal) => {
    const value = figures[goal.workload]?.[goal.key]
    return value !== undefined && judge(goal, value) === 'FAIL'
  })
