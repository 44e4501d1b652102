/** Three-step runs from submit to end, 200 in flight: through transport, worker and two commits per step. */
import { Caller } from '../caller.ts'
import { expectRuns } from '../database.ts'
import { keepInFlight } from '../figures.ts'
import { CHAIN3 } from '../workflows.ts'
import type { Bench, Workload } from './workload.ts'

const IN_FLIGHT = 200
const STEPS = 3

export const chain3: Workload = {
  name: 'chain3',
  async measure(bench) {
    return { ...(await inProcess(bench)), httpRunsPerSecond: await overHttp(bench) }
  },
}

function inProcess(bench: Bench): Promise<{ runsPerSecond: number; stepsPerSecond: number }> {
  const count = bench.quick ? 1_000 : 10_000
  const warmUp = count / 5
  return bench.withSubject(async (subject) => {
    const caller = new Caller(subject.url, subject.apiKey, 1)
    await caller.store(CHAIN3)
    await caller.close()
    await subject.run('runs', { workflow: 'chain3', count: warmUp, atOnce: IN_FLIGHT })
    const { seconds } = await subject.run('runs', { workflow: 'chain3', count, atOnce: IN_FLIGHT })
    await expectRuns(subject.databaseUrl, { workflow: 'chain3', runs: warmUp + count, stepsPerRun: STEPS })
    return {
      runsPerSecond: Math.round(count / seconds),
      stepsPerSecond: Math.round((count * STEPS) / seconds),
    }
  })
}

/** Each caller holds its request until the run has ended. */
function overHttp(bench: Bench): Promise<number> {
  const count = bench.quick ? 500 : 5_000
  return bench.withServer(async (server) => {
    const caller = new Caller(server.url, server.apiKey, IN_FLIGHT)
    await caller.store(CHAIN3)
    const perSecond = await chainOverHttp(caller, count)
    await caller.close()
    await expectRuns(server.databaseUrl, { workflow: 'chain3', runs: count + count / 5, stepsPerRun: STEPS })
    return perSecond
  })
}

/** Runs per second, after a warm-up of a fifth. */
export async function chainOverHttp(caller: Caller, count: number): Promise<number> {
  const run = async (index: number): Promise<void> => {
    const body = { workflow: 'chain3', input: { order: index } }
    const { status } = await caller.post<{ status: string }>('/runs?wait=60s', body)
    if (status !== 'completed') throw new Error(`a run of chain3 is ${status} after 60 s`)
  }
  await keepInFlight(count / 5, IN_FLIGHT, run)
  return Math.round(count / (await keepInFlight(count, IN_FLIGHT, run)))
}
