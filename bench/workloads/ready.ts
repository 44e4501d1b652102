/** From the spawn of `weft serve` to a yes from `/readyz`: on an empty data directory, and on one with data. */
import { rounded } from '../figures.ts'
import type { Workload } from './workload.ts'

export const ready: Workload = {
  name: 'ready',
  measure(bench) {
    return bench.withServer(async (server) => {
      await server.stop()
      const againMs = await server.startAgain()
      return { firstMs: rounded(server.readyMs, 0), againMs: rounded(againMs, 0) }
    })
  },
}
