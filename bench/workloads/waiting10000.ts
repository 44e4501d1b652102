/**
 * What ten thousand runs that wait for people cost (R6: rows, not heap), and how quickly one of them moves when its
 * person has decided.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { Caller } from '../caller.ts'
import { countRuns } from '../database.ts'
import type { Subject } from '../subject.ts'
import { APPROVAL } from '../workflows.ts'
import type { Workload } from './workload.ts'

const SETTLE_WITHIN_MS = 30_000
/** Enough that every partition has had some. */
const WARM_UP = 200
const LOOK_EVERY_MS = 1_000

export const waiting10000: Workload = {
  name: 'waiting10000',
  measure(bench) {
    const count = bench.quick ? 1_000 : 10_000
    const decisions = bench.quick ? 50 : 200
    return bench.withSubject(async (subject) => {
      const caller = new Caller(subject.url, subject.apiKey, 1)
      await caller.store(APPROVAL)
      // The code and the connections that the first runs need are not what waiting costs.
      await decide(
        subject,
        caller,
        (await subject.run('begin', { workflow: 'waiting', count: WARM_UP, atOnce: 20 })).ids,
      )
      const before = await leastHeap(subject)
      const keysBefore = await bench.redisKeys()

      const { ids } = await subject.run('begin', { workflow: 'waiting', count, atOnce: 200 })
      while ((await countRuns(subject.databaseUrl, 'waiting', 'waiting')) < count) await pause(100)
      const heapBytes = (await leastHeap(subject)) - before

      // Streams and sets of the transport itself stay; none may be there for a run that waits.
      const redisKeys = (await bench.redisKeys()) - keysBefore

      const { p99Ms } = await decide(subject, caller, ids.slice(0, decisions))
      await caller.close()
      const decided = decisions + WARM_UP
      const waiting = await countRuns(subject.databaseUrl, 'waiting', 'waiting')
      if (waiting !== count - decisions)
        throw new Error(`${waiting} runs wait, and ${count - decisions} should`)
      const completed = await countRuns(subject.databaseUrl, 'waiting', 'completed')
      if (completed !== decided) throw new Error(`${completed} runs completed, and ${decided} were decided`)
      return { heapBytes, redisKeys, wakeP99Ms: p99Ms }
    })
  },
}

async function decide(
  subject: Subject,
  caller: Caller,
  runIds: readonly string[],
): Promise<{ p99Ms: number }> {
  const decisions: { runId: string; approvalId: string }[] = []
  for (const runId of runIds) {
    while (decisions.at(-1)?.runId !== runId) {
      const { items } = await caller.get<{ items: { id: string }[] }>(`/approvals?runId=${runId}&status=open`)
      const [open] = items
      if (open) decisions.push({ runId, approvalId: open.id })
      else await pause(20)
    }
  }
  return subject.run('decide', { decisions })
}

/** Caches of young runs and of compiled code go after some seconds of rest; the figure is what stays. */
async function leastHeap(subject: Subject): Promise<number> {
  const deadline = performance.now() + SETTLE_WITHIN_MS
  let least = Number.POSITIVE_INFINITY
  for (let still = 0; still < 4 && performance.now() < deadline; ) {
    const { bytes } = await subject.run('heap', undefined)
    still = bytes < least * 0.99 ? 0 : still + 1
    least = Math.min(least, bytes)
    await pause(LOOK_EVERY_MS * 3)
  }
  return least
}
