/** The latency of one three-step run while nothing else happens: what a person or another program waits for. */
import { Caller } from '../caller.ts'
import { expectRuns } from '../database.ts'
import { CHAIN3 } from '../workflows.ts'
import type { Workload } from './workload.ts'

export const idle3: Workload = {
  name: 'idle3',
  measure(bench) {
    const warmUp = 50
    const samples = bench.quick ? 100 : 500
    return bench.withSubject(async (subject) => {
      const caller = new Caller(subject.url, subject.apiKey, 1)
      await caller.store(CHAIN3)
      await caller.close()
      const figures = await subject.run('alone', { warmUp, samples })
      await expectRuns(subject.databaseUrl, { workflow: 'chain3', runs: warmUp + samples, stepsPerRun: 3 })
      return figures
    })
  },
}
