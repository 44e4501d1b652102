/**
 * Whether a step of a large graph costs more than one of a small graph (R8): 3,000 steps as 100 runs of 30 at once, and
 * as one run, with the same layers, the same number of needs per step and the same width in flight.
 *
 * `cpuRatio` compares the coordinator's CPU alone (see `coordinator-cpu.ts`), `processCpuRatio` the whole process's.
 */
import { Caller } from '../caller.ts'
import { expectRuns } from '../database.ts'
import { rounded } from '../figures.ts'
import { layered } from '../workflows.ts'
import type { Workload } from './workload.ts'

const LAYERS = 10
const SMALL_WIDTH = 3
const SMALL_RUNS = 100
const LARGE_WIDTH = SMALL_WIDTH * SMALL_RUNS

export const dag: Workload = {
  name: 'dag',
  measure(bench) {
    const rounds = bench.quick ? 1 : 6
    return bench.withSubject(
      async (subject) => {
        const caller = new Caller(subject.url, subject.apiKey, 1)
        await caller.store(layered('dag_small', LAYERS, SMALL_WIDTH))
        await caller.store(layered('dag_large', LAYERS, LARGE_WIDTH))
        await caller.close()
        const { one, many } = await subject.run('dag', { rounds, small: SMALL_RUNS, large: 1 })
        const large = await expectRuns(subject.databaseUrl, {
          workflow: 'dag_large',
          runs: rounds + 1,
          stepsPerRun: LAYERS * LARGE_WIDTH,
        })
        const small = await expectRuns(subject.databaseUrl, {
          workflow: 'dag_small',
          runs: (rounds + 1) * SMALL_RUNS,
          stepsPerRun: LAYERS * SMALL_WIDTH,
        })
        return {
          cpuRatio: rounded(one.coordinator / many.coordinator, 2),
          eventsRatio: rounded(large.events / small.events, 2),
          processCpuRatio: rounded(one.process / many.process, 2),
        }
      },
      { withCoordinator: true },
    )
  },
}
