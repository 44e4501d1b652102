import fc from 'fast-check'
import { expect, test } from 'vitest'
import { layRails, type RailNode } from '../../src/cli/rails.ts'

function drawn(nodes: readonly RailNode[]): string[] {
  const rails = layRails(nodes, 10)
  if (!rails) return ['too wide']
  return nodes.flatMap((node, index) => {
    const { before, after, connector } = rails[index] as NonNullable<typeof rails>[number]
    const line = `${before}${node.id}${after ? ` ${after}` : ''}`
    return connector === null ? [line] : [line, connector]
  })
}

const nodes = (text: string): RailNode[] =>
  text.split(' ').map((part) => {
    const [id = '', targets = ''] = part.split('>')
    return { id, targets: targets === '' ? [] : targets.split('') }
  })

test.each([
  ['a chain is a column', 'a>b b>c c', ['a', 'b', 'c']],
  ['a diamond opens and closes', 'a>bc b>d c>d d', ['a', '├─╮', 'b │', '│ c', '├─╯', 'd']],
  ['an edge that skips a node goes around it', 'a>bc b>c c', ['a', '├─╮', 'b │', '╰─┤', '  c']],
  ['roots that join', 'a>c b>c c', ['a', '│ b', '├─╯', 'c']],
  ['ends that lead nowhere', 'a>bc b c', ['a', '├─╮', 'b │', '  c']],
  [
    'several to several',
    'a>bcd b>e c>ef d>f e f',
    ['a', '├─┬─╮', 'b │ │', '│ c │', '├─┤ │', '│ │ d', '│ ├─╯', 'e │', '  f'],
  ],
])('%s', (_name, graph, lines) => {
  expect(drawn(nodes(graph))).toEqual(lines)
})

test('a graph that is too wide has no rails', () => {
  const ids = Array.from({ length: 20 }, (_, index) => `n${index}`)
  expect(layRails([{ id: 'a', targets: ids }, ...ids.map((id) => ({ id, targets: [] }))], 10)).toBeNull()
})

test('whatever the graph, lines stay within the lanes of nodes that are still to come', () => {
  const graphs = fc.integer({ min: 1, max: 14 }).chain((count) =>
    fc.array(fc.array(fc.nat(), { maxLength: 4 }), { minLength: count, maxLength: count }).map((picks) =>
      picks.map(
        (targets, index): RailNode => ({
          id: String(index),
          targets:
            index === count - 1
              ? []
              : targets.map((target) => String(index + 1 + (target % (count - index - 1)))),
        }),
      ),
    ),
  )
  fc.assert(
    fc.property(graphs, (graph) => {
      const rails = layRails(graph, 100)
      expect(rails).toHaveLength(graph.length)
      const pending = new Set<string>()
      for (const [index, node] of graph.entries()) {
        pending.add(node.id)
        const { before, after, column } = (rails as NonNullable<typeof rails>)[index] as NonNullable<
          typeof rails
        >[number]
        const lanes = [...before, ...after].filter((mark) => mark === '│').length + 1
        expect(lanes).toBe(pending.size)
        expect(before.length).toBe(column * 2)
        pending.delete(node.id)
        for (const target of node.targets) pending.add(target)
      }
    }),
  )
})
