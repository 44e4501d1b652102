/** The edges of a graph: outcomes that their source can have, conditions, `else`. */

import { nearestName } from '../expression/index.ts'
import { listNames } from '../expression/nearest.ts'
import type { Edge } from '../graph.ts'
import type { NodeSettings } from './node.ts'
import type { Reader } from './reader.ts'
import type { Report } from './report.ts'
import type { Link, Topology } from './topology.ts'

const OUTCOMES = ['success', 'failure', 'skipped', 'always']
const ELSE = 'else'

/** Compiles every edge once; both ends then share it. */
export function edgesOf(
  topology: Topology,
  settings: ReadonlyMap<string, NodeSettings>,
  scope: {
    readonly reader: Reader
    readonly report: Report
    readonly base: string
    readonly item: boolean
    readonly stored: boolean
  },
): Map<Link, Edge> {
  const edges = new Map<Link, Edge>()
  for (const links of topology.outgoing.values()) {
    for (const link of links) {
      const { from, to, need } = link
      const pointer = `${scope.base}/nodes/${to}/needs/${from}`
      const source = settings.get(from)
      if (source && !scope.stored) checkOutcomes(link, source, scope.report, pointer)
      const when = need.when?.trim()
      const otherwise = when === ELSE
      if (otherwise && !links.some((other) => other !== link && isCondition(other))) {
        const message = `\`else\` is taken when no other conditional edge out of \`${from}\` was, and there is no other. Give another edge out of \`${from}\` a condition, or remove this \`when\`.`
        scope.report.problem('else_without_condition', message, `${pointer}/when`)
      }
      edges.set(link, {
        from,
        to,
        on: need.on,
        otherwise,
        when:
          need.when === undefined || otherwise
            ? null
            : scope.reader.bare(need.when, {
                pointer: `${pointer}/when`,
                before: from,
                also: from,
                item: scope.item,
              }),
      })
    }
  }
  return edges
}

const isCondition = ({ need }: Link): boolean => need.when !== undefined && need.when.trim() !== ELSE

function checkOutcomes(link: Link, source: NodeSettings, report: Report, pointer: string): void {
  if (source.kind === 'unknown') return
  const { from } = link
  for (const outcome of link.need.on) {
    if (outcome === 'success' && source.kind === 'branch') {
      const cases = source.labels
      const message = `An edge out of the branch \`${from}\` names a case, as in \`needs: { ${from}: ${cases[0]} }\`. Its cases are ${listNames(cases)}; \`always\` takes any.`
      report.problem('unknown_outcome', message, pointer)
    } else if (!OUTCOMES.includes(outcome) && !source.labels.includes(outcome)) {
      const suggestion = nearestName(outcome, [...source.labels, ...OUTCOMES])
      const advice = suggestion ? ` Did you mean \`${suggestion}\`?` : ''
      const own =
        source.labels.length > 0 ? `it emits ${listNames(source.labels)}` : 'it emits no labels of its own'
      const message = `\`${from}\` never ends as \`${outcome.slice(0, 80)}\`: ${own}, and every node has ${listNames(OUTCOMES)}.${advice}`
      report.problem('unknown_outcome', message, pointer, suggestion ? { suggestion } : {})
    }
  }
}
