/**
 * http steps per second, through the egress guard, against a server in another process. Ten independent steps per run;
 * the latency of a step is from the start of its attempt to the decision on its result, as the log has both.
 */
import { Caller } from '../caller.ts'
import { expectRuns, stepLatencies } from '../database.ts'
import { rounded } from '../figures.ts'
import { startTarget } from '../target.ts'
import { HTTP, HTTP_STEPS } from '../workflows.ts'
import type { Workload } from './workload.ts'

const RUNS_IN_FLIGHT = 40

export const http: Workload = {
  name: 'http',
  async measure(bench) {
    const count = bench.quick ? 200 : 2_000
    const target = await startTarget()
    try {
      return await bench.withSubject(
        async (subject) => {
          const caller = new Caller(subject.url, subject.apiKey, 1)
          await caller.store(HTTP)
          await caller.close()
          const input = { target: target.url, order: 'ord_1' }
          const load = { workflow: 'http', atOnce: RUNS_IN_FLIGHT, input }
          await subject.run('runs', { ...load, count: count / 10 })
          const { seconds } = await subject.run('runs', { ...load, count })
          await expectRuns(subject.databaseUrl, {
            workflow: 'http',
            runs: count + count / 10,
            stepsPerRun: HTTP_STEPS,
          })
          const { p50, p95, p99 } = await stepLatencies(subject.databaseUrl, 'http')
          return {
            stepsPerSecond: Math.round((count * HTTP_STEPS) / seconds),
            p50Ms: rounded(p50),
            p95Ms: rounded(p95),
            p99Ms: rounded(p99),
          }
        },
        { allow: target.address },
      )
    } finally {
      target.stop()
    }
  },
}
