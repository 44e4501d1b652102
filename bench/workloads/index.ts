/** Every workload, in the order in which they run. */
import { chain3 } from './chain3.ts'
import { dag } from './dag.ts'
import { fanout1000 } from './fanout1000.ts'
import { http } from './http.ts'
import { idle3 } from './idle3.ts'
import { live1000 } from './live1000.ts'
import { memory } from './memory.ts'
import { ready } from './ready.ts'
import { submit } from './submit.ts'
import { waiting10000 } from './waiting10000.ts'
import type { Workload } from './workload.ts'

export const WORKLOADS: readonly Workload[] = [
  ready,
  submit,
  chain3,
  idle3,
  fanout1000,
  dag,
  http,
  waiting10000,
  live1000,
  memory,
]
