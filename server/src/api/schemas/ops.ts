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
    .describe('degraded: requests are accepted, and steps wait: for the transport, or for POST /resume'),
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
  held: z
    .array(z.object({ name: z.string(), since: z.number() }))
    .describe('processes that were started paused, and dispatch nothing until POST /resume'),
  lanes: z.array(queue),
})

export const resumedAll = z.object({
  resumed: z.array(z.string()).describe('the processes that go on, within about a second'),
  runs: z
    .number()
    .describe('unfinished runs that are not paused, in all workspaces; 0 when nothing was held'),
})
