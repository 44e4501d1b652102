/**
 * How much CPU the coordinator takes, apart from worker, API and driver in the same process: V8's sampling profiler runs
 * beside the work, and a sample counts when a function of the coordinator, or of the append that it calls, is anywhere
 * on the stack. What the garbage collector does stands on no stack and is left out; `process.cpuUsage` has it.
 */

import type { Profiler } from 'node:inspector'
import { Session } from 'node:inspector/promises'

const SAMPLE_EVERY_US = 250
const COORDINATOR = /\/server\/src\/(?:coordinator\/|store\/(?:append|owner|binary-array)\.ts)/

export interface CpuMs {
  readonly coordinator: number
  readonly process: number
}

export async function measureCpu(work: () => Promise<void>): Promise<CpuMs> {
  const session = new Session()
  session.connect()
  try {
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_EVERY_US })
    await session.post('Profiler.start')
    const before = process.cpuUsage()
    await work()
    const { user, system } = process.cpuUsage(before)
    const { profile } = await session.post('Profiler.stop')
    return { coordinator: coordinatorMs(profile), process: (user + system) / 1000 }
  } finally {
    session.disconnect()
  }
}

function coordinatorMs({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): number {
  const parents = new Map<number, number>()
  for (const { id, children } of nodes) for (const child of children ?? []) parents.set(child, id)
  const own = new Map(nodes.map(({ id, callFrame }) => [id, COORDINATOR.test(callFrame.url)]))
  const counted = new Map<number, boolean>()
  const isCounted = (id: number): boolean => {
    const known = counted.get(id)
    if (known !== undefined) return known
    const parent = parents.get(id)
    const result = own.get(id) === true || (parent !== undefined && isCounted(parent))
    counted.set(id, result)
    return result
  }
  let microseconds = 0
  samples.forEach((id, index) => {
    if (isCounted(id)) microseconds += Math.max(0, timeDeltas[index] ?? 0)
  })
  return microseconds / 1000
}
