/**
 * What `WEFT_RATE_LIMITS` says: how often calls that start work may come, in three layers.
 *
 * Owns the setting's forms and its checks, and which tier a workflow is of. What counts the calls is
 * `transport/rate-limiter.ts`; what refuses them is `api/limits.ts`. All figures are calls within any 60 s.
 */
import { type Graph, isObject, nearestName } from '@weft/engine'

export interface Tier {
  /** Workflows with at least so many agent nodes, and fewer than the next tier's. */
  readonly agents: number
  readonly perMinute: number
}

export interface RateLimits {
  /** For all keys together. */
  readonly global: number | null
  /** For each key. */
  readonly key: number | null
  /** For each key and tier; ascending by `agents`. */
  readonly tiers: readonly Tier[]
}

const OFF: RateLimits = { global: null, key: null, tiers: [] }

const PRESETS: Readonly<Record<string, RateLimits>> = {
  tiers: {
    ...OFF,
    tiers: [
      { agents: 1, perMinute: 20 },
      { agents: 3, perMinute: 5 },
    ],
  },
  strict: {
    global: 100,
    key: 50,
    tiers: [
      { agents: 0, perMinute: 100 },
      { agents: 1, perMinute: 20 },
      { agents: 3, perMinute: 5 },
    ],
  },
  off: OFF,
}

const MAX_PER_MINUTE = 10_000
const FORMS = '`tiers`, `strict`, `off`, or JSON such as {"global":100,"key":50,"tiers":{"1":20,"3":5}}'

export type ParsedRateLimits =
  | { readonly ok: true; readonly limits: RateLimits }
  | { readonly ok: false; readonly problem: string }

export function parseRateLimits(text: string): ParsedRateLimits {
  const preset = Object.hasOwn(PRESETS, text) ? PRESETS[text] : undefined
  if (preset) return { ok: true, limits: preset }
  if (!text.startsWith('{')) {
    const nearest = nearestName(text, Object.keys(PRESETS))
    return refused(`is not known: ${nearest ? `did you mean \`${nearest}\`? ` : ''}it is one of ${FORMS}.`)
  }
  try {
    return ownLimits(JSON.parse(text))
  } catch {
    return refused(`is not JSON, although it begins like it: write ${FORMS}.`)
  }
}

const refused = (problem: string): ParsedRateLimits => ({ ok: false, problem })

function ownLimits(value: unknown): ParsedRateLimits {
  if (!isObject(value)) return refused(`is not a JSON object: write ${FORMS}.`)
  const unknown = Object.keys(value).find((name) => !['global', 'key', 'tiers'].includes(name))
  if (unknown !== undefined)
    return refused(`has the layer \`${unknown}\`, and there are \`global\`, \`key\` and \`tiers\`.`)
  const { global = null, key = null, tiers = {} } = value
  if (!isObject(tiers)) {
    return refused(
      'has `tiers` that are no object: write the least number of agent nodes and the figure, such as {"1":20,"3":5}.',
    )
  }
  const figures = {
    global,
    key,
    ...Object.fromEntries(Object.entries(tiers).map(([at, of]) => [`tiers.${at}`, of])),
  }
  for (const [where, figure] of Object.entries(figures)) {
    if (figure === null && !where.startsWith('tiers.')) continue
    if (!Number.isInteger(figure) || (figure as number) < 1 || (figure as number) > MAX_PER_MINUTE)
      return refused(`has at \`${where}\` no whole number of calls per minute from 1 to ${MAX_PER_MINUTE}.`)
  }
  const wrong = Object.keys(tiers).find((at) => !/^(0|[1-9]\d{0,5})$/.test(at))
  if (wrong !== undefined)
    return refused(
      `has the tier \`${wrong}\`: a tier is named by its least number of agent nodes, such as "3".`,
    )
  return {
    ok: true,
    limits: {
      global: global as number | null,
      key: key as number | null,
      tiers: Object.entries(tiers)
        .map(([agents, perMinute]) => ({ agents: Number(agents), perMinute: perMinute as number }))
        .sort((a, b) => a.agents - b.agents),
    },
  }
}

/** The setting as it is in force, for people. */
export function describeRateLimits({ global, key, tiers }: RateLimits): string {
  const parts = [
    ...(global === null ? [] : [`global ${global}/min`]),
    ...(key === null ? [] : [`per key ${key}/min`]),
    ...tiers.map(({ agents, perMinute }) => `from ${agents} agent nodes ${perMinute}/min per key`),
  ]
  return parts.join(', ') || 'off'
}

const agentNodes = new WeakMap<Graph, number>()

/** The tier that a workflow is of, by the number of its agent nodes; counted once for each graph. */
export function tierOf(graph: Graph, tiers: readonly Tier[]): Tier | undefined {
  let count = agentNodes.get(graph)
  if (count === undefined) {
    count = [...graph.nodes.values()].filter(({ type }) => type === 'agent').length
    agentNodes.set(graph, count)
  }
  const agents = count
  return tiers.findLast((tier) => tier.agents <= agents)
}
