/**
 * The trial of the live streams: real processes, runs, clients behind a proxy that cuts every connection at random, and
 * restarts by SIGKILL at cuts. Afterwards every client's list of events
 * must be the database's.
 *
 * Half of the clients use server-sent events, half WebSocket; each run is followed by one of each. Two more clients, one
 * of each kind, write a wrong list on purpose: a trial that does not notice them has shown nothing.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { randomFrom } from '../../random.ts'
import { ApiClient } from '../client.ts'
import { differences, readLogs } from './checks.ts'
import { type Follower, honest, type Pen, SocketFollower, StreamFollower } from './followers.ts'
import { type CuttingProxy, cuttingProxy } from './proxy.ts'
import { type Grounds, newSite, type Site } from './site.ts'

export interface LiveTrialOptions extends Grounds {
  readonly seed: number
  readonly runs: number
  readonly clients: number
  readonly restarts: number
  readonly report: (line: string) => void
}

export interface LiveTrialReport {
  readonly seed: number
  readonly runs: number
  readonly clients: number
  readonly restarts: number
  readonly cuts: number
  readonly cutsMidFrame: number
  readonly reconnects: number
  /** Events in the log, and events that clients have put together. */
  readonly events: number
  readonly eventsSeen: number
  readonly seconds: number
  /** What was found of the two clients that are wrong on purpose. */
  readonly wrongOnPurpose: readonly string[]
  readonly problems: readonly string[]
}

const MOST_AT_ONCE = 120
const ITEMS = 8
const FINISH_WITHIN_MS = 120_000
const LOOK_EVERY_MS = 5

/** Says something every now and then for a second or two; the text makes frames longer than a cut's least. */
const DEFINITION = {
  weft: 1,
  name: 'talks',
  nodes: {
    hello: { type: 'log', with: { message: '${{ input.text }}' } },
    rest: { type: 'delay', needs: 'hello', with: { for: '${{ input.restMs }}' } },
    each: {
      type: 'log',
      needs: 'rest',
      forEach: { items: 'input.items', maxConcurrency: 2 },
      with: { message: 'item ${{ item }}: ${{ input.text }}' },
    },
    nap: { type: 'delay', needs: 'each', with: { for: '${{ input.restMs }}' } },
    bye: { type: 'log', needs: 'nap', with: { message: 'bye' } },
  },
}

/** Leaves an event of the first run out; writes one twice. */
const forgetful = (): Pen => once((_seen, _event) => {})
const stammering = (): Pen => once((seen, event) => void seen.push(event, event))

function once(wrong: Pen): Pen {
  let isDone = false
  return (seen, event) => {
    const isNow = !isDone && event.seq === 3
    if (isNow) isDone = true
    const write = isNow ? wrong : honest
    write(seen, event)
  }
}

export async function runLiveTrial(options: LiveTrialOptions): Promise<LiveTrialReport> {
  const random = randomFrom(options.seed)
  const site = await newSite(options)
  const proxy = await cuttingProxy(site.port, () => random.between(400, 6_000))
  const begun = performance.now()
  try {
    await site.start()
    const client = new ApiClient(site.url, site.apiKey)
    await client.post('/workflows', { definition: DEFINITION }, 'workflow')
    const where = { port: proxy.port, apiKey: site.apiKey }
    const half = Math.ceil(options.clients / 2)
    const streams = Array.from({ length: half }, (_, n) => new StreamFollower(`stream ${n + 1}`, where))
    const sockets = Array.from(
      { length: options.clients - half },
      (_, n) => new SocketFollower(`socket ${n + 1}`, where, n % 2 === 1),
    )
    const wrong = [
      new StreamFollower('the forgetful stream', where, forgetful()),
      new SocketFollower('the stammering socket', where, false, stammering()),
    ]
    const followers: Follower[] = [...streams, ...sockets, ...wrong]

    const progress = new Progress(options.runs)
    const [, restarts] = await Promise.all([
      submitAll(options, client, async (runId, n) => {
        sockets[n % sockets.length]?.follow(runId)
        if (n === 0) for (const follower of wrong) void follower.follow(runId)
        await streams[n % streams.length]?.follow(runId)
        progress.oneEnded()
      }),
      restartOften(options, progress, site, proxy),
    ])
    await finishWithin(followers)

    const logs = await readLogs(site.databaseUrl)
    const problems = [...streams, ...sockets].flatMap((follower) => differences(follower, logs))
    const wrongOnPurpose = wrong.flatMap((follower) => differences(follower, logs))
    if (logs.size !== options.runs)
      problems.push(`${logs.size} runs are in the database, and ${options.runs} were accepted`)
    if (restarts < options.restarts)
      problems.push(`the runs were over after ${restarts} of ${options.restarts} restarts: ask for more runs`)
    if (wrongOnPurpose.length !== wrong.length)
      problems.push('a client that is wrong on purpose was not noticed: this trial has shown nothing')
    const { seed, runs, clients } = options
    return {
      seed,
      runs,
      clients,
      restarts,
      cuts: proxy.cuts,
      cutsMidFrame: proxy.cutsMidFrame,
      reconnects: followers.reduce((sum, { reconnects }) => sum + reconnects, 0),
      events: [...logs.values()].reduce((sum, log) => sum + log.length, 0),
      eventsSeen: [...streams, ...sockets].reduce((sum, follower) => sum + eventsOf(follower), 0),
      seconds: (performance.now() - begun) / 1000,
      wrongOnPurpose,
      problems,
    }
  } catch (error) {
    throw new Error(
      `seed ${options.seed}: ${(error as Error).message}\nThe server’s last words:\n${site.output()}`,
      { cause: error },
    )
  } finally {
    proxy.close()
    await site.end()
  }
}

/** How many runs have ended for those who follow them. */
class Progress {
  readonly #runs: number
  ended = 0
  #end: () => void = () => {}
  readonly over = new Promise<void>((resolve) => {
    this.#end = resolve
  })

  constructor(runs: number) {
    this.#runs = runs
  }

  oneEnded(): void {
    this.ended++
    if (this.ended === this.#runs) this.#end()
  }
}

/** Keeps a number of runs going; `followed` resolves when the run has ended for who follows it. */
async function submitAll(
  { seed, runs }: LiveTrialOptions,
  client: ApiClient,
  followed: (runId: string, n: number) => Promise<void>,
): Promise<void> {
  const random = randomFrom(seed + 1)
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < runs) {
      const n = next++
      const input = {
        text: 'x'.repeat(random.between(20, 400)),
        restMs: random.between(50, 700),
        items: Array.from({ length: ITEMS }, (_, index) => index),
      }
      const { id } = await client.post<{ id: string }>('/runs', { workflow: 'talks', input }, `run-${n}`)
      await followed(id, n)
    }
  }
  await Promise.all(Array.from({ length: Math.min(Math.ceil(runs / 3), MOST_AT_ONCE) }, lane))
}

/**
 * Restarts, spread evenly over the runs; each is a cut of one client and, by the kill, of everybody. Answers how many
 * there were: when every run is over there is nobody left to cut.
 */
async function restartOften(
  { runs, restarts, report }: LiveTrialOptions,
  progress: Progress,
  site: Site,
  proxy: CuttingProxy,
): Promise<number> {
  for (let done = 0; done < restarts; done++) {
    while (progress.ended < ((done + 0.5) * runs) / restarts) await pause(LOOK_EVERY_MS)
    await Promise.race([proxy.nextCut(), progress.over])
    if (progress.ended === runs) return done
    const killedAt = performance.now()
    const what = await site.restart(done)
    report(
      `restart ${done + 1} of ${restarts}  ${what.padEnd(22)}  after ${progress.ended} runs and ${proxy.cuts} cuts; ready after ${Math.round(performance.now() - killedAt)} ms`,
    )
  }
  return restarts
}

async function finishWithin(followers: readonly Follower[]): Promise<void> {
  const finished = Promise.all(followers.map((follower) => follower.finished())).then(() => true)
  if (await Promise.race([finished, pause(FINISH_WITHIN_MS, false, { ref: false })])) return
  throw new Error(
    `some clients have not heard the end of their runs ${FINISH_WITHIN_MS} ms after the last restart`,
  )
}

const eventsOf = ({ seen }: Follower): number =>
  [...seen.values()].reduce((sum, list) => sum + list.length, 0)
