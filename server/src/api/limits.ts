/**
 * Lets calls that start work pass, or refuses them as `WEFT_RATE_LIMITS` says: 429 with the layer, the figure and the
 * setting. A workflow that no layer concerns costs nothing: no bucket is looked at.
 */
import type { Graph } from '@weft/engine'
import { type RateLimits, tierOf } from '../rate-limits.ts'
import { type Bucket, type RateLimiter, WINDOW_MS } from '../transport/rate-limiter.ts'
import type { Principal } from './call.ts'
import { ApiError } from './errors.ts'

interface Layer extends Bucket {
  readonly layer: 'global' | 'key' | 'tier'
  /** What the figure is about. */
  readonly of: string
}

export type Admit = (principal: Principal, graph: Graph) => Promise<void> | undefined

export function createAdmit(limits: RateLimits, limiter: RateLimiter): Admit {
  return (principal, graph) => {
    const layers = layersOf(limits, principal, graph)
    return layers.length === 0 ? undefined : pass(limiter, layers)
  }
}

function layersOf({ global, key, tiers }: RateLimits, principal: Principal, graph: Graph): Layer[] {
  const { keyId, actor } = principal
  const tier = tierOf(graph, tiers)
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

async function pass(limiter: RateLimiter, layers: readonly Layer[]): Promise<void> {
  const full = await limiter.take(layers)
  if (!full) return
  const { layer, limit, of } = full.bucket
  const seconds = Math.max(1, Math.ceil(full.retryAfterMs / 1000))
  throw ApiError.of(
    'rate_limited',
    `Calls that start work are limited to ${limit} per minute for ${of} (layer ${layer} of WEFT_RATE_LIMITS), and so many came within the last minute. Nothing was started. Try again in ${seconds} s, or have whoever runs this server raise the figure.`,
    {
      details: { layer, limit, windowSeconds: WINDOW_MS / 1000, setting: 'WEFT_RATE_LIMITS' },
      headers: {
        'retry-after': String(seconds),
        'ratelimit-limit': String(limit),
        'ratelimit-remaining': '0',
        'ratelimit-reset': String(seconds),
      },
    },
  )
}
