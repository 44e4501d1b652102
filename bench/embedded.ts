/** The mode `embedded`: one process with the PostgreSQL that it brings, a fresh data directory for every workload. */
import {
  freePort,
  newApiKey,
  newDataDirectory,
  removeDataDirectory,
  WeftProcess,
} from '../server/test/weft-process.ts'
import { startSubject } from './subject.ts'
import type { Bench, Server } from './workloads/workload.ts'

export function embeddedBench(options: { quick: boolean; say(text: string): void }): Bench {
  return {
    ...options,
    redisKeys: async () => 0,
    async withSubject(work, { allow } = {}) {
      const subject = await startSubject(allow === undefined ? {} : { allow })
      try {
        return await work(subject)
      } finally {
        await subject.end()
      }
    },
    async withServer(work) {
      const dataDirectory = newDataDirectory('bench')
      const process = new WeftProcess({ dataDirectory, port: await freePort(), apiKey: newApiKey() })
      try {
        const readyMs = await process.start()
        const server: Server = {
          url: process.url,
          apiKey: process.apiKey,
          databaseUrl: process.databaseUrl,
          readyMs,
          kill: () => process.kill(false),
          async stop() {
            const code = await process.stop()
            if (code !== 0) throw new Error(`SIGTERM ended the server with ${code}:\n${process.output}`)
          },
          startAgain: () => process.start(),
          pids: () => process.pids(),
        }
        return await work(server)
      } finally {
        await process.stop()
        await removeDataDirectory(dataDirectory)
      }
    },
  }
}
