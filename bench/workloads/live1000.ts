/** A thousand streams of server-sent events at once, a hundred on each of ten busy runs. */
import { get, type IncomingMessage } from 'node:http'
import { Caller } from '../caller.ts'
import { expectRuns } from '../database.ts'
import { percentile, rounded } from '../figures.ts'
import { LIVE, LIVE_ITEMS } from '../workflows.ts'
import type { Bench, Workload } from './workload.ts'

const RUNS = 10
/** `run.started` is read from the log before the clock runs: the streams are open by then. */
const READY_EVENTS = 2

export const live1000: Workload = {
  name: 'live1000',
  measure(bench: Bench) {
    const streamsPerRun = bench.quick ? 10 : 100
    return bench.withServer(async (server) => {
      const caller = new Caller(server.url, server.apiKey, RUNS)
      await caller.store(LIVE)
      const input = { items: Array.from({ length: LIVE_ITEMS }, (_, index) => index) }
      const ids: string[] = []
      for (let index = 0; index < RUNS; index++) {
        ids.push((await caller.post<{ id: string }>('/runs', { workflow: 'live', input })).id)
      }
      const streams = ids.flatMap((id) =>
        Array.from({ length: streamsPerRun }, () => new Stream(server.url, server.apiKey, id)),
      )
      await Promise.all(streams.map((stream) => stream.received(READY_EVENTS)))
      const begun = performance.now()
      await Promise.all(ids.map((id) => caller.post(`/runs/${id}/messages`, { name: 'go' })))
      await Promise.all(streams.map((stream) => stream.ended))
      const seconds = (performance.now() - begun) / 1000
      await caller.close()
      await expectRuns(server.databaseUrl, { workflow: 'live', runs: RUNS, stepsPerRun: LIVE_ITEMS + 1 })
      const latencies = streams.flatMap((stream) => stream.latenciesMs.slice(READY_EVENTS))
      for (const stream of streams) stream.checkOrder()
      return {
        eventsPerSecond: Math.round(latencies.length / seconds),
        p99Ms: rounded(percentile(latencies, 0.99)),
      }
    })
  },
}

/** One stream: the numbers of its events, and how long each took from its decision to here (one machine, one clock). */
class Stream {
  readonly latenciesMs: number[] = []
  readonly ended: Promise<void>
  readonly #numbers: number[] = []
  #text = ''
  #look: () => void = () => {}

  constructor(url: string, apiKey: string, runId: string) {
    const headers = { authorization: `Bearer ${apiKey}`, accept: 'text/event-stream' }
    this.ended = new Promise((resolve, reject) => {
      const request = get(
        `${url}/api/v1/runs/${runId}/events`,
        { headers, agent: false },
        (response: IncomingMessage) => {
          if (response.statusCode !== 200)
            reject(new Error(`a stream was answered with ${response.statusCode}`))
          response.setEncoding('utf8').on('data', (text: string) => this.#read(text))
          response.once('end', resolve).once('error', reject)
        },
      )
      request.once('error', reject)
    })
  }

  received(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#look = () => {
        if (this.#numbers.length >= count) resolve()
      }
      this.#look()
    })
  }

  checkOrder(): void {
    const wrong = this.#numbers.findIndex((number, index) => number !== index + 1)
    if (wrong >= 0) throw new Error(`a stream got event ${this.#numbers[wrong]} in place ${wrong + 1}`)
  }

  #read(text: string): void {
    const blocks = (this.#text + text).split('\n\n')
    this.#text = blocks.pop() ?? ''
    for (const block of blocks) {
      if (!block.startsWith('id: ')) continue
      const { seq, at } = JSON.parse(block.slice(block.indexOf('\ndata: ') + 7)) as {
        seq: number
        at: number
      }
      this.#numbers.push(seq)
      this.latenciesMs.push(Date.now() - at)
    }
    this.#look()
  }
}
