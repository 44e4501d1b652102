/**
 * A patch as a picture: the graph before and after in one, with the rails of the patched graph. What is added stands in
 * green behind a `+`, what is removed in red behind a `-`, what is changed in yellow behind a `~`.
 */
import type { Definition, NodeDefinition, Preview } from '@weft/engine'
import { type Colour, joinPieces, type Paint, type Piece, pad, plain, widthOf } from './paint.ts'
import { layRails } from './rails.ts'

const MAX_RAIL_COLUMNS = 10

type Change = 'added' | 'removed' | 'changed'

const MARKS: Readonly<Record<Change | 'kept', readonly [string, Colour]>> = {
  added: ['+', 'green'],
  removed: ['-', 'red'],
  changed: ['~', 'yellow'],
  kept: ['·', 'dim'],
}

export interface PatchPicture {
  readonly before: Definition
  readonly after: Definition
  readonly preview: Preview
}

/** Nodes that the patch leaves alone are shown as far as they are next to one that it does not. */
export function drawPatch(picture: PatchPicture, width: number, paint: Paint): string[] {
  const { before, after, preview } = picture
  const changes = changesOf(preview)
  const shown = orderOf(before, after).filter((id) => changes.has(id) || isBeside(id, picture, changes))
  const nodes = shown.map((id) => ({ id, targets: targetsOf(after, id) }))
  const rails = layRails(nodes, MAX_RAIL_COLUMNS)
  const nameWidth = Math.max(0, ...shown.map((id) => widthOf(id)))
  const railWidth = Math.max(
    1,
    ...(rails ?? []).map((rail) => widthOf(rail.before) + 1 + widthOf(rail.after)),
  )
  const lines: string[] = []
  for (const [index, id] of shown.entries()) {
    const rail = rails?.[index]
    const [mark, colour] = MARKS[changes.get(id) ?? 'kept']
    const node = after.nodes[id] ?? before.nodes[id]
    lines.push(
      joinPieces(
        [
          { text: ` ${rail?.before ?? ''}`, colour: 'dim' },
          { text: mark, colour },
          {
            text: pad(rail ? ` ${rail.after}` : '', railWidth - widthOf(rail?.before ?? '') + 1),
            colour: 'dim',
          },
          { text: pad(id, nameWidth), colour },
          { text: `  ${node?.type ?? ''}`, colour: 'dim' },
          ...edgesOf(id, preview),
        ],
        width,
        paint,
      ),
    )
    if (rail?.connector) lines.push(joinPieces([{ text: ` ${rail.connector}`, colour: 'dim' }], width, paint))
  }
  for (const piece of remarksOf(preview)) lines.push(joinPieces([piece], width, paint))
  return lines
}

function changesOf({ nodes, edges }: Preview): Map<string, Change> {
  const changes = new Map<string, Change>()
  for (const { to } of [...edges.added, ...edges.removed, ...edges.changed]) changes.set(to, 'changed')
  for (const change of ['changed', 'removed', 'added'] as const)
    for (const id of nodes[change]) changes.set(id, change)
  return changes
}

const needsOf = (node: NodeDefinition | undefined): string[] => Object.keys(node?.needs ?? {})

const targetsOf = ({ nodes }: Definition, id: string): string[] =>
  Object.keys(nodes).filter((to) => needsOf(nodes[to]).includes(id))

function isBeside(
  id: string,
  { before, after }: PatchPicture,
  changes: ReadonlyMap<string, Change>,
): boolean {
  return [before, after].some((definition) =>
    [...targetsOf(definition, id), ...needsOf(definition.nodes[id])].some((other) => changes.has(other)),
  )
}

/** Every node of both, each behind those that it needs; what was removed stands where it stood. */
function orderOf(before: Definition, after: Definition): string[] {
  const order = new Set<string>()
  const place = (root: string): void => {
    const stack = [root]
    while (stack.length > 0) {
      const id = stack.at(-1) as string
      const node = after.nodes[id] ?? before.nodes[id]
      const missing = order.has(id) ? [] : needsOf(node).filter((from) => !order.has(from))
      if (missing.length > 0) stack.push(...missing)
      else order.add(stack.pop() as string)
    }
  }
  for (const id of [...Object.keys(before.nodes), ...Object.keys(after.nodes)]) place(id)
  return [...order]
}

function edgesOf(id: string, { nodes, edges }: Preview): Piece[] {
  const pieces: Piece[] = []
  for (const change of ['added', 'removed', 'changed'] as const) {
    const [mark, colour] = MARKS[change]
    const from = edges[change].filter(({ to }) => to === id).map((edge) => edge.from)
    if (from.length > 0) pieces.push({ text: `  ${mark} needs ${from.join(', ')}`, colour })
  }
  return nodes.removed.includes(id) ? [] : pieces
}

/** What whoever decides has to know beyond the picture. */
function remarksOf(preview: Preview): Piece[] {
  const remarks: [string, readonly string[], Colour][] = [
    ['writes, or cannot be undone', preview.writes, 'yellow'],
    ['new hosts', preview.hosts, 'yellow'],
    ['new credentials', preview.credentials, 'yellow'],
    ['agents', preview.agents, 'yellow'],
    ['can no longer be reached', preview.unreachable, 'red'],
    ['start at once, since nothing leads to them any more', preview.detached, 'red'],
  ]
  const pieces = remarks
    .filter(([, names]) => names.length > 0)
    .map(([what, names, colour]): Piece => ({ text: `   ${what}: ${plain(names.join(', '))}`, colour }))
  if (preview.output) pieces.push({ text: "   the run's output is another", colour: 'yellow' })
  return pieces
}
