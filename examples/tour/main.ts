/**
 * `npm start` and `npm run tour`: the platform with an example service beside it and, on a new data directory, a tour.
 *
 * This process is the supervisor: Weft and the service are processes of their own, which it starts, kills in the second
 * act, and ends in order when it is told to end. Every figure it shows was measured in this session.
 */
import { relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ServiceProcess, USUAL_SERVICE_PORT } from '../runner/service-process.ts'
import { WeftDidNotStart, WeftProcess } from '../runner/weft-process.ts'
import type { Cast } from './cast.ts'
import { Paper } from './paper.ts'

const USAGE = `npm start [-- --tour | --no-tour]

Starts Weft on 127.0.0.1:7400 with a PostgreSQL of its own, and a service for the examples beside it.
As long as nothing has run there it plays the tour; \`npm run tour\` plays it again.

  WEFT_DATA_DIR           where the data is kept (./.weft)
  WEFT_PORT               port of the API (7400)
  WEFT_TOUR_SERVICE_PORT  port of the service (${USUAL_SERVICE_PORT}, or a free one when that is taken)
  WEFT_TOUR_SLACK_STATUS  what the service's Slack receiver answers, to see the run fail (200)

The other settings of the server (WEFT_…) hold, too.
`

const { WEFT_TOUR_SERVICE_PORT, WEFT_TOUR_SLACK_STATUS, ...environment } = process.env
const dataDirectory = resolve(environment.WEFT_DATA_DIR || '.weft')
const flags = readFlags()
const paper = new Paper(() => void end(0))
const { paint } = paper
let cast: Cast | undefined
let isEnding = false

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end(0))
// Whoever read what was printed has gone; the server has not.
process.stdout.on('error', () => {})
try {
  await run()
} catch (error) {
  // Once the end has begun, what breaks is part of it.
  if (!isEnding) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    await end(error instanceof WeftDidNotStart ? error.exitCode : 1)
  }
}

function readFlags(): { tour?: boolean } {
  try {
    const { values } = parseArgs({
      allowNegative: true,
      options: { tour: { type: 'boolean' }, help: { type: 'boolean' } },
    })
    if (!values.help) return values
    process.stdout.write(USAGE)
    process.exit(0)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`)
    process.exit(2)
  }
}

async function run(): Promise<void> {
  if (paper.isTerminal) paper.line(paint('dim', `Starting Weft in ${shownDirectory()} …`))
  const service = await startService()
  const weft = new WeftProcess({ dataDirectory, environment: environmentWith(service) })
  cast = { weft, service, paper }
  await weft.start()
  await introduce(cast)
  const playsTour = flags.tour ?? (await isUnused(weft))
  if (playsTour) {
    // Read only now: what the tour needs would be in the way of the start.
    const { tour } = await import('./tour.ts')
    await tour(cast, () => isEnding)
  }
  if (isEnding) return
  whatNext(cast, playsTour)
  await weft.ended()
  if (!isEnding) throw new Error(`Weft has ended by itself. Its log: ${weft.logFile}`)
}

async function startService(): Promise<ServiceProcess> {
  const service = WEFT_TOUR_SERVICE_PORT
    ? await ServiceProcess.start(Number(WEFT_TOUR_SERVICE_PORT))
    : // Where its usual port is taken (another `npm start`), any other does as well.
      await ServiceProcess.start(USUAL_SERVICE_PORT).catch(() => ServiceProcess.start(0))
  if (WEFT_TOUR_SLACK_STATUS) await service.answerSlackWith(Number(WEFT_TOUR_SLACK_STATUS))
  return service
}

/** Lets exactly the service through the egress guard; a credential of the caller wins over the demo's. */
function environmentWith(service: ServiceProcess): Record<string, string | undefined> {
  const allowed = [environment.WEFT_EGRESS_ALLOW, `127.0.0.1:${service.port}`].filter(Boolean).join(',')
  return {
    WEFT_CREDENTIAL_TEAM_SLACK: service.slackCredential,
    ...environment,
    WEFT_EGRESS_ALLOW: allowed,
  }
}

async function introduce({ weft, service }: Cast): Promise<void> {
  const readyS = (performance.now() / 1000).toFixed(1)
  const { version, postgres } = await weft.client.call<{
    version: string
    postgres: { version: string; settings: Record<string, string> }
  }>('GET', '/api/v1/about')
  const database = `${weft.postgresPid === null ? '' : 'own '}PostgreSQL ${shortVersion(postgres.version)}`
  paper.line()
  paper.line(
    `${paint('bold', `Weft ${version}`)}  ready in ${readyS} s, ${database}, fsync ${postgres.settings.fsync}`,
  )
  paper.line(paint('dim', `${weft.client.address.url}, data in ${shownDirectory()}`))
  paper.line(paint('dim', `Beside it, for the examples: service ${service.url}`))
}

/** Nothing stored and nothing run: the data directory is new, though a first start may have failed in it. */
async function isUnused({ client }: WeftProcess): Promise<boolean> {
  for (const noun of ['runs', 'workflows']) {
    const { items } = await client.call<{ items: unknown[] }>('GET', `/api/v1/${noun}`, {
      query: { limit: 1 },
    })
    if (items.length > 0) return false
  }
  return true
}

function whatNext({ weft, service }: Cast, playsTour: boolean): void {
  const inputs = service.port === USUAL_SERVICE_PORT ? '' : ` -i service=${service.url}`
  const suggestions = [
    ['what has run', 'npm run weft -- runs list'],
    ['200 steps at once', `npm run weft -- run examples/05-fan-out/workflow.yaml${inputs}`],
    ['a workflow of your own', 'npm run weft -- init'],
    [playsTour ? 'all this again' : 'a tour of four acts', 'npm run tour'],
  ] as const
  paper.line()
  paper.line(paint('bold', 'What to try next'))
  for (const [meaning, command] of suggestions) paper.line(`${paint('dim', meaning.padEnd(22))}  ${command}`)
  paper.line()
  paper.line(`Weft goes on at ${weft.client.address.url}. Ctrl-C ends it.`)
}

/** Weft first, with its PostgreSQL, then the service that its last attempts may still call. */
async function end(code: number): Promise<void> {
  if (isEnding) return
  isEnding = true
  if (paper.isTerminal) process.stdout.write('\u001b[?25h\n')
  await cast?.weft.stop()
  await cast?.service.stop()
  process.exit(code)
}

function shownDirectory(): string {
  const path = relative(process.cwd(), dataDirectory)
  return path.startsWith('..') ? dataDirectory : `./${path}`
}

function shortVersion(text: string): string {
  return /\d+(\.\d+)?/.exec(text)?.[0] ?? text
}
