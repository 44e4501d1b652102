/**
 * The loads that run beside the engine, in its own process: what a program that embeds Weft would reach. Asked for by
 * name over the IPC channel (`subject.ts`); parameters and results are plain data.
 */
import type { Json } from '@weft/engine'
import { measureCpu } from './coordinator-cpu.ts'
import type { Engine } from './engine.ts'
import { keepInFlight, percentile, rounded } from './figures.ts'
import { measureLoad } from './load.ts'
import { FANOUT_ITEMS } from './workflows.ts'

const order = (index: number): Json => ({ order: index })
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

export const JOBS = {
  /** Submits only; the runs go on meanwhile. */
  async submit(engine: Engine, { count, atOnce }: { count: number; atOnce: number }) {
    const ids: string[] = []
    const seconds = await keepInFlight(count, atOnce, async (index) => {
      ids.push(await engine.submit('submit', order(index)))
    })
    return { perSecond: Math.round(count / seconds), ids }
  },

  /** Runs from submit to end. */
  async runs(
    engine: Engine,
    { workflow, count, atOnce, input }: { workflow: string; count: number; atOnce: number; input?: Json },
  ) {
    const seconds = await keepInFlight(count, atOnce, (index) => engine.run(workflow, input ?? order(index)))
    return { seconds }
  },

  /** What the peers get too. */
  async load(engine: Engine, { quick }: { quick: boolean }) {
    return measureLoad((index) => engine.run('chain3', order(index)), quick)
  },

  /** One run at a time, with nothing else to do. */
  async alone(engine: Engine, { warmUp, samples }: { warmUp: number; samples: number }) {
    const latencies: number[] = []
    for (let index = 0; index < warmUp + samples; index++) {
      const begun = performance.now()
      await engine.run('chain3', order(index))
      if (index >= warmUp) latencies.push(performance.now() - begun)
    }
    return { p50Ms: rounded(percentile(latencies, 0.5), 2), p99Ms: rounded(percentile(latencies, 0.99), 2) }
  },

  async fanout(engine: Engine, { warmUp, samples }: { warmUp: number; samples: number }) {
    const input: Json = { items: numbers(FANOUT_ITEMS) }
    const times: number[] = []
    for (let index = 0; index < warmUp + samples; index++) {
      const begun = performance.now()
      await engine.run('fanout1000', input)
      if (index >= warmUp) times.push(performance.now() - begun)
    }
    return { ms: rounded(percentile(times, 0.5)) }
  },

  /** Alternating, so that both sides meet the same machine. */
  async dag(engine: Engine, { rounds, small, large }: { rounds: number; small: number; large: number }) {
    const many = async (): Promise<void> => {
      await keepInFlight(small, small, () => engine.run('dag_small', {}))
    }
    const one = async (): Promise<void> => {
      await keepInFlight(large, large, () => engine.run('dag_large', {}))
    }
    await many()
    await one()
    const total = { many: { coordinator: 0, process: 0 }, one: { coordinator: 0, process: 0 } }
    for (let round = 0; round < rounds; round++) {
      for (const [name, work] of [
        ['many', many],
        ['one', one],
      ] as const) {
        const cpu = await measureCpu(work)
        total[name].coordinator += cpu.coordinator
        total[name].process += cpu.process
      }
    }
    return total
  },

  /** The heap after everything that can be collected was. */
  async heap() {
    if (!globalThis.gc) throw new Error('the engine was started without --expose-gc')
    globalThis.gc()
    globalThis.gc()
    return { bytes: process.memoryUsage().heapUsed }
  },

  /** Begins runs that wait, and remembers them for `decide`. */
  async begin(
    engine: Engine,
    { workflow, count, atOnce }: { workflow: string; count: number; atOnce: number },
  ) {
    const ids: string[] = []
    await keepInFlight(count, atOnce, async (index) => {
      ids.push(await engine.submit(workflow, order(index)))
    })
    return { ids }
  },

  /** From a person's decision to the end of the run that had waited for it, one after another. */
  async decide(engine: Engine, { decisions }: { decisions: { runId: string; approvalId: string }[] }) {
    const latencies: number[] = []
    for (const { runId, approvalId } of decisions) {
      const ended = engine.ended(runId)
      const begun = performance.now()
      await engine.approve(approvalId)
      await ended
      latencies.push(performance.now() - begun)
    }
    return { p99Ms: rounded(percentile(latencies, 0.99), 2) }
  },
}

export type JobName = keyof typeof JOBS
export type JobParameters<Name extends JobName> = Parameters<(typeof JOBS)[Name]>[1]
export type JobResult<Name extends JobName> = Awaited<ReturnType<(typeof JOBS)[Name]>>
