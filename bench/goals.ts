/** What each figure must reach (`floor`) and what it should (`goal`). The only place where these numbers stand. */

export interface Goal {
  readonly workload: string
  readonly key: string
  readonly title: string
  readonly unit: string
  readonly better: 'more' | 'less'
  readonly floor: number
  readonly goal: number | null
}

const MEBIBYTE = 1024 * 1024

export const GOALS: readonly Goal[] = [
  {
    workload: 'submit',
    key: 'perSecond',
    title: 'submit, in process',
    unit: '/s',
    better: 'more',
    floor: 5_000,
    goal: 8_000,
  },
  {
    workload: 'submit',
    key: 'httpPerSecond',
    title: 'submit, over HTTP',
    unit: '/s',
    better: 'more',
    floor: 2_500,
    goal: 5_000,
  },
  {
    workload: 'chain3',
    key: 'runsPerSecond',
    title: 'three-step runs',
    unit: '/s',
    better: 'more',
    floor: 1_500,
    goal: 3_000,
  },
  {
    workload: 'idle3',
    key: 'p50Ms',
    title: 'one such run alone, p50',
    unit: 'ms',
    better: 'less',
    floor: 6,
    goal: 4,
  },
  {
    workload: 'idle3',
    key: 'p99Ms',
    title: 'one such run alone, p99',
    unit: 'ms',
    better: 'less',
    floor: 40,
    goal: null,
  },
  {
    workload: 'fanout1000',
    key: 'ms',
    title: '1 → 1,000 → 1',
    unit: 'ms',
    better: 'less',
    floor: 1_000,
    goal: 200,
  },
  {
    workload: 'dag',
    key: 'cpuRatio',
    title: 'one run of 3,000 against 100 of 30, CPU',
    unit: '×',
    better: 'less',
    floor: 1.5,
    goal: 1.1,
  },
  {
    workload: 'dag',
    key: 'eventsRatio',
    title: 'the same, events per step',
    unit: '×',
    better: 'less',
    floor: 1.5,
    goal: 1.1,
  },
  {
    workload: 'http',
    key: 'stepsPerSecond',
    title: 'http steps',
    unit: '/s',
    better: 'more',
    floor: 2_000,
    goal: 10_000,
  },
  // What stays is the bounded share of waiting states; ten thousand of them held whole would be some 30 MiB.
  {
    workload: 'waiting10000',
    key: 'heapBytes',
    title: '10,000 runs on approval, heap',
    unit: 'B',
    better: 'less',
    floor: 8 * MEBIBYTE,
    goal: 4 * MEBIBYTE,
  },
  {
    workload: 'ready',
    key: 'firstMs',
    title: 'ready, first start',
    unit: 'ms',
    better: 'less',
    floor: 6_000,
    goal: null,
  },
  {
    workload: 'ready',
    key: 'againMs',
    title: 'ready, existing data',
    unit: 'ms',
    better: 'less',
    floor: 2_000,
    goal: null,
  },
  {
    workload: 'memory',
    key: 'pssBytes',
    title: 'memory of all processes',
    unit: 'B',
    better: 'less',
    floor: 350 * MEBIBYTE,
    goal: 200 * MEBIBYTE,
  },
]

export type Judgement = 'goal' | 'pass' | 'FAIL'

export function judge({ better, floor, goal }: Goal, value: number): Judgement {
  const reaches = (mark: number): boolean => (better === 'more' ? value >= mark : value <= mark)
  if (!reaches(floor)) return 'FAIL'
  return goal !== null && reaches(goal) ? 'goal' : 'pass'
}
