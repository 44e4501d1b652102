/**
 * The load that every durable engine gets alike, Weft and its peers: three-step runs at a fixed number in flight, and
 * one at a time. It knows of the engine only how to run one.
 */
import { percentile, rounded } from './figures.ts'

export interface LoadFigures {
  readonly runsPerSecond50: number
  readonly runsPerSecond200: number
  readonly idleP50Ms: number
  readonly idleP99Ms: number
}

export interface LoadResult {
  readonly figures: LoadFigures
  /** Every run that was begun; all of them ended well. */
  readonly runs: number
}

/** Submits one run of three steps and resolves when its end is known. */
export type RunOne = (order: number) => Promise<void>

export async function measureLoad(run: RunOne, quick: boolean): Promise<LoadResult> {
  const windowMs = quick ? 1_500 : 6_000
  let runs = 0
  const next = (): Promise<void> => run(runs++)

  const runsPerSecond50 = await throughput(next, 50, windowMs)
  const runsPerSecond200 = await throughput(next, 200, windowMs)

  const warmUp = quick ? 20 : 50
  const samples = quick ? 80 : 400
  const latencies: number[] = []
  for (let index = 0; index < warmUp + samples; index++) {
    const begun = performance.now()
    await next()
    if (index >= warmUp) latencies.push(performance.now() - begun)
  }
  return {
    runs,
    figures: {
      runsPerSecond50,
      runsPerSecond200,
      idleP50Ms: rounded(percentile(latencies, 0.5), 2),
      idleP99Ms: rounded(percentile(latencies, 0.99), 2),
    },
  }
}

/** Ends per second in a window with the full number in flight: neither the rise before nor the last stragglers count. */
async function throughput(next: () => Promise<void>, atOnce: number, windowMs: number): Promise<number> {
  const warmUpMs = windowMs / 2
  const opens = performance.now() + warmUpMs
  const closes = opens + windowMs
  let ended = 0
  const lane = async (): Promise<void> => {
    while (performance.now() < closes) {
      await next()
      const now = performance.now()
      if (now >= opens && now < closes) ended++
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return Math.round((ended * 1_000) / windowMs)
}
