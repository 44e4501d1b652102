/** A patch in sentences, for whoever decides about it where no picture can be drawn: an inbox, a chat, a log. */
import type { EdgeName, Preview } from './preview.ts'

/** Markdown. `because` says why somebody has to look at all. */
export function describePatch(preview: Preview, because: readonly string[]): string {
  const { nodes, edges } = preview
  const parts: readonly (readonly [string, readonly string[]])[] = [
    ['adds steps', nodes.added],
    ['removes steps', nodes.removed],
    ['changes steps', nodes.changed],
    ['adds edges', edges.added.map(arrow)],
    ['removes edges', edges.removed.map(arrow)],
    ['changes edges', edges.changed.map(arrow)],
    ['changes', preview.output ? ['the output of the run'] : []],
    ['new types', preview.types],
    ['new hosts', preview.hosts],
    ['new credentials', preview.credentials],
    ['adds agents', preview.agents],
    ['writes, or cannot be undone', preview.writes],
    ['can no longer be reached', preview.unreachable],
    ['starts at once, since nothing leads to it any more', preview.detached],
  ]
  const lines = parts
    .filter(([, names]) => names.length > 0)
    .map(([what, names]) => `- ${what}: ${list(names)}`)
  return [...lines, ...because.map((reason) => `- under review because ${reason}`)].join('\n')
}

const MOST = 20

const list = (names: readonly string[]): string => {
  const shown = names.slice(0, MOST).map((name) => `\`${name}\``)
  return names.length > MOST ? `${shown.join(', ')} and ${names.length - MOST} more` : shown.join(', ')
}

const arrow = ({ from, to }: EdgeName): string => `${from} → ${to}`
