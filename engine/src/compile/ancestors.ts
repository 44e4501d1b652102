/**
 * Which steps come before which, asked for many pairs at once.
 *
 * A step is an ancestor when a path leads from it. Asking every pair by itself would be quadratic in a long chain;
 * here 32 steps are followed through the graph in one pass, one bit each.
 */
import type { Topology } from './topology.ts'

export interface Claim {
  readonly step: string
  readonly before: string
  /** Called when the step does not come before. */
  readonly refute: () => void
}

export function checkClaims(claims: readonly Claim[], { order, incoming }: Topology): void {
  const ordered = new Set(order)
  const open = claims.filter(
    ({ step, before }) => ordered.has(before) && !incoming.get(before)?.some(({ from }) => from === step),
  )
  if (open.length === 0) return
  const positions = new Map(order.map((id, index) => [id, index]))
  const sources = order.map((id) => (incoming.get(id) ?? []).map(({ from }) => positions.get(from) as number))
  const steps = [...new Set(open.map(({ step }) => step))]
  const byStep = Map.groupBy(open, ({ step }) => step)
  for (let start = 0; start < steps.length; start += 32) {
    const group = steps.slice(start, start + 32)
    const bits = new Int32Array(order.length)
    group.forEach((step, bit) => {
      const position = positions.get(step)
      if (position !== undefined) bits[position] = 1 << bit
    })
    const reached = spread(sources, bits)
    group.forEach((step, bit) => {
      for (const claim of byStep.get(step) ?? []) {
        if (((reached[positions.get(claim.before) as number] as number) & (1 << bit)) === 0) claim.refute()
      }
    })
  }
}

/** For each node the bits of its ancestors, without its own. */
function spread(sources: readonly (readonly number[])[], own: Int32Array): Int32Array {
  const reached = new Int32Array(own.length)
  for (let position = 0; position < own.length; position++) {
    let mask = 0
    for (const source of sources[position] as readonly number[])
      mask |= (reached[source] as number) | (own[source] as number)
    reached[position] = mask
  }
  return reached
}
