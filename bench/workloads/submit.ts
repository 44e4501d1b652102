/** How many runs a second become durable: called in process, and over HTTP from a second one. */

import { setTimeout as pause } from 'node:timers/promises'
import { Caller } from '../caller.ts'
import { expectFinished, missingRuns } from '../database.ts'
import { keepInFlight, percentile, rounded } from '../figures.ts'
import { SUBMIT } from '../workflows.ts'
import type { Bench, Workload } from './workload.ts'

const AT_ONCE = 200

export const submit: Workload = {
  name: 'submit',
  async measure(bench) {
    return { ...(await inProcess(bench)), ...(await overHttp(bench)) }
  },
}

function inProcess(bench: Bench): Promise<{ perSecond: number }> {
  const count = bench.quick ? 4_000 : 30_000
  return bench.withSubject(async (subject) => {
    const caller = new Caller(subject.url, subject.apiKey, 4)
    await caller.store(SUBMIT)
    await caller.close()
    await subject.run('submit', { count: count / 10, atOnce: AT_ONCE })
    const { perSecond, ids } = await subject.run('submit', { count, atOnce: AT_ONCE })
    await subject.kill()
    await expectAll(subject.databaseUrl, ids)
    bench.say(`killed: all ${ids.length} accepted ids are in the database`)
    return { perSecond }
  })
}

function overHttp(bench: Bench): Promise<{ httpPerSecond: number; httpP50Ms: number; httpP99Ms: number }> {
  const count = bench.quick ? 2_000 : 15_000
  return bench.withServer(async (server) => {
    const caller = new Caller(server.url, server.apiKey)
    await caller.store(SUBMIT)
    const accepted: string[] = []
    const latencies: number[] = []
    const post = async (index: number): Promise<void> => {
      const begun = performance.now()
      const { id } = await caller.post<{ id: string }>('/runs', {
        workflow: 'submit',
        input: { order: index },
      })
      latencies.push(performance.now() - begun)
      accepted.push(id)
    }
    await keepInFlight(count / 10, 64, post)
    latencies.length = 0
    const seconds = await keepInFlight(count, 64, post)
    const figures = {
      httpPerSecond: Math.round(count / seconds),
      httpP50Ms: rounded(percentile(latencies, 0.5), 2),
      httpP99Ms: rounded(percentile(latencies, 0.99), 2),
    }

    // Killed in full flight: the callers that got an id were promised a run.
    let isKilled = false
    const load = Array.from({ length: 64 }, async (_, index) => {
      while (!isKilled) await post(index).catch(() => {})
    })
    const reached = accepted.length + (bench.quick ? 200 : 2_000)
    while (accepted.length < reached) await pause(1)
    isKilled = true
    await server.kill()
    await Promise.all(load)
    await caller.close()
    await server.startAgain()
    await expectAll(server.databaseUrl, accepted)
    const { runs } = await expectFinished(server.databaseUrl, 'submit', 1)
    bench.say(
      `killed under load: all ${accepted.length} accepted ids are in the database, ${runs} runs ended`,
    )
    return figures
  })
}

async function expectAll(databaseUrl: string, ids: readonly string[]): Promise<void> {
  const missing = await missingRuns(databaseUrl, ids)
  if (missing.length === 0) return
  throw new Error(
    `${missing.length} of ${ids.length} accepted runs are not in the database, such as ${missing[0]}`,
  )
}
