/** What each figure must reach (`floor`) and what it should (`goal`). The only place where these numbers stand. */

export interface Goal {
  readonly workload: string
  readonly key: string
  readonly better: 'more' | 'less'
  readonly floor: number
  readonly goal: number | null
  /** Of those alone; every mode unless given. */
  readonly modes?: readonly string[]
}

const MEGABYTE = 1_000_000

export const GOALS: readonly Goal[] = [
  { workload: 'submit', key: 'perSecond', better: 'more', floor: 5_000, goal: 8_000 },
  { workload: 'submit', key: 'httpPerSecond', better: 'more', floor: 2_500, goal: 5_000 },
  { workload: 'chain3', key: 'runsPerSecond', better: 'more', floor: 1_500, goal: 3_000 },
  { workload: 'idle3', key: 'p50Ms', better: 'less', floor: 6, goal: 4 },
  { workload: 'idle3', key: 'p99Ms', better: 'less', floor: 40, goal: null },
  { workload: 'fanout1000', key: 'ms', better: 'less', floor: 1_000, goal: 200 },
  { workload: 'dag', key: 'cpuRatio', better: 'less', floor: 1.5, goal: 1.1 },
  { workload: 'dag', key: 'eventsRatio', better: 'less', floor: 1.5, goal: 1.1 },
  { workload: 'http', key: 'stepsPerSecond', better: 'more', floor: 2_000, goal: 10_000 },
  // Nothing should grow with the runs that wait. What stays is the small share of memory kept for their states.
  { workload: 'waiting10000', key: 'heapBytes', better: 'less', floor: 8 * MEGABYTE, goal: 4 * MEGABYTE },
  { workload: 'waiting10000', key: 'redisKeys', better: 'less', floor: 0, goal: null },
  { workload: 'ready', key: 'firstMs', better: 'less', floor: 6_000, goal: null, modes: ['embedded'] },
  { workload: 'ready', key: 'againMs', better: 'less', floor: 2_000, goal: null, modes: ['embedded'] },
  {
    workload: 'memory',
    key: 'pssBytes',
    better: 'less',
    floor: 350 * MEGABYTE,
    goal: 200 * MEGABYTE,
    modes: ['embedded'],
  },
]

export type Judgement = 'goal' | 'pass' | 'FAIL'

export function judge({ better, floor, goal }: Goal, value: number): Judgement {
  const reaches = (mark: number): boolean => (better === 'more' ? value >= mark : value <= mark)
  if (!reaches(floor)) return 'FAIL'
  return goal !== null && reaches(goal) ? 'goal' : 'pass'
}
