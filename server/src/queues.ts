/** What waits for workers, by node type: tasks in the lane, and attempts that come back to it at the time of their retry. */
import type { Clock } from './clock.ts'
import type { Store } from './store/store.ts'
import type { LaneDepth, Transport } from './transport/transport.ts'

export interface Queue extends LaneDepth {
  /** Attempts whose retry is not due yet. */
  readonly delayed: number
}

export interface QueueParts {
  readonly store: { readonly runs: Pick<Store['runs'], 'retries'> }
  readonly transport: { readonly tasks: Pick<Transport['tasks'], 'depth'> }
  readonly clock: Pick<Clock, 'now'>
}

export async function listQueues({ store, transport, clock }: QueueParts): Promise<Queue[]> {
  const [depths, delayed] = await Promise.all([
    transport.tasks.depth(),
    store.runs.retries({ now: clock.now() }),
  ])
  const lanes = new Map(depths.map((depth) => [depth.type, depth]))
  return [...new Set([...lanes.keys(), ...Object.keys(delayed)])].sort().map((type) => {
    const { waiting = 0, active = 0, oldestAgeMs = 0 } = lanes.get(type) ?? {}
    return { type, waiting, active, delayed: delayed[type] ?? 0, oldestAgeMs }
  })
}
