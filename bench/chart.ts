/**
 * The comparison as a picture for the README: plain SVG, two groups of bars with their figures written beside them, and
 * everything that it says in a title and a description for those who do not see it.
 */
import type { Comparison, Contender } from './compare.ts'
import type { LoadFigures } from './load.ts'

export interface ChartSource {
  readonly date: string
  readonly machine: { readonly cpu: string; readonly cores: number }
  readonly postgres: string
  readonly comparison: Comparison
}

interface Group {
  readonly key: keyof LoadFigures
  readonly heading: string
  readonly unit: string
}

const GROUPS: readonly Group[] = [
  { key: 'runsPerSecond200', heading: 'Runs per second, 200 in flight (more is better)', unit: 'runs/s' },
  { key: 'idleP50Ms', heading: 'One run at a time, median (less is better)', unit: 'ms' },
]

const WIDTH = 720
const NAME_WIDTH = 216
const BAR_WIDTH = 364
const ROW_HEIGHT = 26
const TITLE = 'Three durable steps: Weft and its peers on the same servers'

export function chartOf({ date, machine, postgres, comparison }: ChartSource): string {
  const contenders = Object.values(comparison.contenders)
  const groupHeight = 34 + contenders.length * ROW_HEIGHT + 14
  const height = 44 + GROUPS.length * groupHeight + 62
  const body = GROUPS.map((group, index) => groupOf(group, contenders, 44 + index * groupHeight))
  const said = GROUPS.map(
    ({ key, heading, unit }) =>
      `${heading}: ${contenders.map((one) => `${one.title} ${figureOf(one, key)} ${unit}`).join(', ')}.`,
  ).join(' ')
  const notes = [
    `${date} · ${machine.cpu}, ${machine.cores} cores · PostgreSQL ${postgres}, Redis ${comparison.servers.redis}`,
    `Median of ${comparison.rounds} rounds, engine and load on one machine, each peer driven in process.`,
    'A hatched bar: not durable, the last second may be lost in a crash.',
  ]
  const noteLines = notes.map(
    (note, index) => `<text x="16" y="${height - 46 + index * 16}" class="note">${escaped(note)}</text>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title description">
<title id="title">${TITLE}</title>
<desc id="description">${escaped(said)}</desc>
<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.heading { font-weight: 600 }
.note { font-size: 11px; fill: #59636e }
</style>
<defs><pattern id="lossy" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" fill="#d0d7de"/><rect width="2" height="6" fill="#818b98"/></pattern></defs>
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="16" y="28" class="title">${TITLE}</text>
${body.join('\n')}
${noteLines.join('\n')}
</svg>
`
}

function groupOf({ key, heading, unit }: Group, contenders: readonly Contender[], top: number): string {
  const most = Math.max(...contenders.map(({ figures }) => figures[key]))
  const rows = contenders.map((one, index) => {
    const y = top + 32 + index * ROW_HEIGHT
    const width = Math.max(1, Math.round((one.figures[key] / most) * BAR_WIDTH))
    const fill = one.title === 'Weft' ? '#0969da' : one.isDurable ? '#818b98' : 'url(#lossy)'
    return [
      `<text x="${NAME_WIDTH - 10}" y="${y + 14}" text-anchor="end">${escaped(`${one.title} ${one.version}`)}</text>`,
      `<rect x="${NAME_WIDTH}" y="${y}" width="${width}" height="18" fill="${fill}"/>`,
      `<text x="${NAME_WIDTH + width + 8}" y="${y + 14}">${figureOf(one, key)} ${unit}</text>`,
    ].join('\n')
  })
  return `<text x="16" y="${top + 20}" class="heading">${heading}</text>\n${rows.join('\n')}`
}

function figureOf({ figures }: Contender, key: keyof LoadFigures): string {
  const value = figures[key]
  return key.startsWith('idle') ? value.toFixed(1) : value.toLocaleString('en')
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
