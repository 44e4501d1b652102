/** Proportional memory of the server and its PostgreSQL, idle after three-step runs came by HTTP. */
import { setTimeout as pause } from 'node:timers/promises'
import { proportionalBytes } from '../../examples/runner/os-process.ts'
import { Caller } from '../caller.ts'
import { expectFinished } from '../database.ts'
import { CHAIN3 } from '../workflows.ts'
import { chainOverHttp } from './chain3.ts'
import type { Workload } from './workload.ts'

const IDLE_MS = 10_000

export const memory: Workload = {
  name: 'memory',
  measure(bench) {
    return bench.withServer(async (server) => {
      const caller = new Caller(server.url, server.apiKey, 200)
      await caller.store(CHAIN3)
      await chainOverHttp(caller, bench.quick ? 500 : 5_000)
      await caller.close()
      await expectFinished(server.databaseUrl, 'chain3', 3)
      await pause(IDLE_MS)
      const sizes = server.pids().map(proportionalBytes)
      if (sizes.length === 0 || sizes.includes(null))
        throw new Error('this system does not tell the memory of processes')
      return { pssBytes: sizes.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0) }
    })
  },
}
