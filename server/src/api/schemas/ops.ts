/** The shapes of what says how the server is. */
import { z } from 'zod'
import { queue } from './tasks.ts'

export const health = z.object({
  status: z.string(),
  version: z.string(),
  roles: z.array(z.string()).describe('what this process does'),
})

export const readiness = z.object({
  status: z
    .enum(['ready', 'degraded', 'not_ready'])
    .describe('degraded: requests are accepted, and steps wait for the transport'),
  dependencies: z.record(
    z.string(),
    z.object({ ok: z.boolean(), ms: z.number().optional(), error: z.string().optional() }),
  ),
})

export const about = z.object({
  version: z.string(),
  postgres: z.object({ version: z.string(), settings: z.record(z.string(), z.string()) }),
  clockOffsetMs: z.number(),
  runs: z.object({ byStatus: z.record(z.string(), z.number()), stuck: z.number() }),
  transport: z.string(),
  coordinators: z
    .array(
      z.object({
        name: z.string(),
        partitions: z.array(z.number()),
        leaving: z.boolean(),
        silentMs: z.number().describe('since it last showed that it lives'),
      }),
    )
    .describe('who decides runs, and which of the 16 partitions each owns'),
  lanes: z.array(queue),
})
