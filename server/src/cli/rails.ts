/**
 * The rails left of a list of nodes: how the edges of a graph run, drawn as `git log --graph` draws history.
 *
 *     ✔   fetch
 *     ├─╮
 *     ✔ │ shape
 *     │ ⠋ archive
 *     ├─╯
 *     ○   report
 *
 * Nodes stand in topological order, one line each. A lane belongs to a node that is still to come; every edge to that
 * node joins its lane, so that there are never more lanes than nodes that somebody already points at.
 */
export interface RailNode {
  readonly id: string
  readonly targets: readonly string[]
}

export interface Rail {
  /** One character per column, the node's own mark left out (`column` says where it goes). */
  readonly before: string
  readonly column: number
  readonly after: string
  /** The line that leads from this node to its targets, where it has to turn. */
  readonly connector: string | null
}

/** The rails of nodes in topological order; `null` when they would take more than `maxColumns` columns. */
export function layRails(nodes: readonly RailNode[], maxColumns: number): Rail[] | null {
  const lanes: (string | null)[] = []
  const position = new Map(nodes.map((node, index) => [node.id, index]))
  const rails: Rail[] = []
  for (const node of nodes) {
    const column = columnFor(lanes, node.id)
    lanes[column] = node.id
    const marks = lanes.map((lane) => (lane === null ? ' ' : '│'))
    const targets = [...new Set(node.targets)]
      .filter((target) => position.has(target))
      .sort((a, b) => (position.get(a) as number) - (position.get(b) as number))
    const connector = turn(lanes, column, targets)
    if (lanes.length > maxColumns) return null
    rails.push({
      before: spread(marks.slice(0, column)),
      column,
      after: spread(marks.slice(column + 1)).trimEnd(),
      connector,
    })
    while (lanes.at(-1) === null) lanes.pop()
  }
  return rails
}

function columnFor(lanes: (string | null)[], id: string): number {
  const own = lanes.indexOf(id)
  if (own >= 0) return own
  const free = lanes.indexOf(null)
  return free >= 0 ? free : lanes.length
}

/** Hands the node's lane to its targets, and answers the connector that shows it. */
function turn(lanes: (string | null)[], column: number, targets: readonly string[]): string | null {
  const above = lanes.map((lane) => lane !== null)
  lanes[column] = null
  const ends = new Set<number>()
  const fresh = new Set<number>()
  for (const target of targets) {
    const known = lanes.indexOf(target)
    if (known >= 0) {
      ends.add(known)
    } else if (lanes[column] === null) {
      lanes[column] = target
    } else {
      const right = lanes.findIndex((lane, index) => lane === null && index > column)
      const at = right >= 0 ? right : lanes.length
      lanes[at] = target
      ends.add(at)
      fresh.add(at)
    }
  }
  if (ends.size === 0) return null
  const first = Math.min(column, ...ends)
  const last = Math.max(column, ...ends)
  let line = ''
  for (let index = 0; index < Math.max(lanes.length, above.length); index++) {
    const isInside = index > first && index < last
    line += index === column ? corner(lanes[column] !== null, first < column, last > column) : mark(index)
    line += index >= first && index < last ? '─' : ' '
    function mark(at: number): string {
      const isPassing = above[at] === true
      if (!ends.has(at)) return isPassing ? (isInside ? '┼' : '│') : isInside ? '─' : ' '
      if (fresh.has(at)) return isInside ? '┬' : at > column ? '╮' : '╭'
      return isInside ? '┼' : at > column ? '┤' : '├'
    }
  }
  return line.trimEnd()
}

/** The node's own column: from above, to the sides, and on below if the lane goes on. */
function corner(goesOn: boolean, left: boolean, right: boolean): string {
  if (left && right) return goesOn ? '┼' : '┴'
  if (left) return goesOn ? '┤' : '╯'
  return goesOn ? '├' : '╰'
}

const spread = (marks: readonly string[]): string => marks.map((mark) => `${mark} `).join('')
