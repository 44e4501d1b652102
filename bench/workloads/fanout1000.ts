/** One step, a thousand items of a `forEach` at once, one join. The median of several runs. */
import { Caller } from '../caller.ts'
import { expectRuns } from '../database.ts'
import { FANOUT, FANOUT_ITEMS } from '../workflows.ts'
import type { Workload } from './workload.ts'

export const fanout1000: Workload = {
  name: 'fanout1000',
  measure(bench) {
    const warmUp = 3
    const samples = bench.quick ? 3 : 15
    return bench.withSubject(async (subject) => {
      const caller = new Caller(subject.url, subject.apiKey, 1)
      await caller.store(FANOUT)
      await caller.close()
      const figures = await subject.run('fanout', { warmUp, samples })
      const stepsPerRun = FANOUT_ITEMS + 2
      await expectRuns(subject.databaseUrl, { workflow: 'fanout1000', runs: warmUp + samples, stepsPerRun })
      return figures
    })
  },
}
