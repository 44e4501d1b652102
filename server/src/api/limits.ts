/**
 * Lets calls that start work pass, or refuses them as `WEFT_RATE_LIMITS` says: 429 with the layer, the figure and the
 * setting; what is left of a figure stands in the `RateLimit-*` headers of whatever is answered. A call about many runs
 * counts once for each of them: it is done for those that fit, and says which did not. A workflow that no layer concerns
 * costs nothing: no bucket is looked at.
 */
import { type Graph, InvalidError, type JsonObject } from '@weft/engine'
import { GraphNotStored } from '../graphs.ts'
import { tierOf } from '../rate-limits.ts'
import { type Bucket, type Taken, WINDOW_MS } from '../transport/rate-limiter.ts'
import type { Caller, Principal } from './call.ts'
import { ApiError } from './errors.ts'
import type { ApiParts } from './parts.ts'

interface Layer extends Bucket {
  readonly layer: 'global' | 'key' | 'tier'
  /** What the figure is about. */
  readonly of: string
}

type Layers = readonly [Layer, ...Layer[]]

/** Runs that one figure has no room for. */
export interface RefusedRuns {
  readonly code: 'rate_limited'
  readonly detail: string
  readonly details: JsonObject
  readonly runs: readonly string[]
}

export interface Admission {
  /** For a call that starts one run, or retries one. */
  readonly admit: (caller: Caller, graph: Graph) => Promise<void> | undefined
  /** For a call about many runs. Throws `rate_limited` when none of them fits. */
  readonly admitEach: <Run extends { readonly runId: string; readonly graph: string }>(
    caller: Caller,
    runs: readonly Run[],
  ) => Promise<{ readonly admitted: readonly Run[]; readonly refused: readonly RefusedRuns[] }>
}

export function createAdmission(parts: Pick<ApiParts, 'rateLimits' | 'rateLimiter' | 'graphs'>): Admission {
  const { rateLimits, rateLimiter, graphs } = parts
  const isOff = rateLimits.global === null && rateLimits.key === null && rateLimits.tiers.length === 0

  async function take(caller: Caller, layers: Layers): Promise<Taken<Layer>> {
    const taken = await rateLimiter.take(layers)
    caller.setHeaders({
      'ratelimit-limit': String(taken.bucket.limit),
      'ratelimit-remaining': String(taken.remaining),
      'ratelimit-reset': String(secondsOf(taken)),
      ...(taken.isAdmitted ? {} : { 'retry-after': String(secondsOf(taken)) }),
    })
    return taken
  }

  async function pass(caller: Caller, layers: Layers): Promise<void> {
    const taken = await take(caller, layers)
    if (!taken.isAdmitted) throw refusal(taken)
  }

  /** A run whose definition cannot be read is of no tier: what becomes of its retry is not decided here. */
  async function tierOfRun(hash: string) {
    if (rateLimits.tiers.length === 0) return undefined
    try {
      return tierOf(await graphs.get(hash), rateLimits.tiers)
    } catch (error) {
      if (error instanceof GraphNotStored || error instanceof InvalidError) return undefined
      throw error
    }
  }

  function layersOf(principal: Principal, tier: ReturnType<typeof tierOf>): Layer[] {
    const { global, key } = rateLimits
    const { keyId, actor } = principal
    const layers: Layer[] = []
    if (global !== null)
      layers.push({ layer: 'global', name: 'global', limit: global, of: 'all keys together' })
    if (key !== null) layers.push({ layer: 'key', name: `key:${keyId}`, limit: key, of: actor })
    if (tier) {
      layers.push({
        layer: 'tier',
        name: `tier:${keyId}:${tier.agents}`,
        limit: tier.perMinute,
        of: `${actor} and workflows with ${tier.agents} or more agent nodes`,
      })
    }
    return layers
  }

  return {
    admit(caller, graph) {
      const layers = layersOf(caller.principal, tierOf(graph, rateLimits.tiers))
      return isSome(layers) ? pass(caller, layers) : undefined
    },

    async admitEach(caller, runs) {
      if (isOff) return { admitted: runs, refused: [] }
      const admitted: (typeof runs)[number][] = []
      const full = new Map<string, { readonly taken: Taken<Layer>; readonly runs: string[] }>()
      for (const run of runs) {
        const layers = layersOf(caller.principal, await tierOfRun(run.graph))
        // What was full a moment ago is not asked again for each of the runs behind.
        const known = layers.map(({ name }) => full.get(name)).find((found) => found !== undefined)
        if (known) known.runs.push(run.runId)
        else {
          const taken = isSome(layers) ? await take(caller, layers) : null
          if (taken === null || taken.isAdmitted) admitted.push(run)
          else full.set(taken.bucket.name, { taken, runs: [run.runId] })
        }
      }
      const [first] = full.values()
      if (first && admitted.length === 0) throw refusal(first.taken)
      const refused = [...full.values()].map(
        ({ taken, runs }): RefusedRuns => ({
          code: 'rate_limited',
          detail: sentence(taken, `${runs.length === 1 ? 'This run was' : 'These runs were'} left as before`),
          details: detailsOf(taken),
          runs,
        }),
      )
      return { admitted, refused }
    },
  }
}

const isSome = (layers: Layer[]): layers is [Layer, ...Layer[]] => layers.length > 0

const secondsOf = ({ resetMs }: Taken<Layer>): number => Math.max(1, Math.ceil(resetMs / 1000))

const detailsOf = ({ bucket: { layer, limit } }: Taken<Layer>) => ({
  layer,
  limit,
  windowSeconds: WINDOW_MS / 1000,
  setting: 'WEFT_RATE_LIMITS',
})

const sentence = (taken: Taken<Layer>, consequence: string): string => {
  const { layer, limit, of } = taken.bucket
  return `Calls that start work are limited to ${limit} per minute for ${of} (layer ${layer} of WEFT_RATE_LIMITS), and so many came within the last minute. ${consequence}. Try again in ${secondsOf(taken)} s, or have whoever runs this server raise the figure.`
}

const refusal = (taken: Taken<Layer>): ApiError =>
  ApiError.of('rate_limited', sentence(taken, 'Nothing was started'), { details: detailsOf(taken) })
