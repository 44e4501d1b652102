/**
 * `npm start` and `npm run tour`: the platform with an example service beside it and, on an empty data directory, a tour.
 *
 * This process is the supervisor: Weft and the service are processes of their own, which it starts, kills in the second
 * act, and ends in order when it is told to end. Every figure it shows was measured in this session.
 */
import { existsSync, readdirSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ServiceProcess, USUAL_SERVICE_PORT } from '../runner/service-process.ts'
import { WeftDidNotStart, WeftProcess } from '../runner/weft-process.ts'
import { Paper } from './paper.ts'

const USAGE = `npm start [-- --tour | --no-tour]

Starts Weft on 127.0.0.1:7400 with a PostgreSQL of its own, and a service for the examples beside it.
On an empty data directory it plays the tour; \`npm run tour\` plays it again.

  WEFT_DATA_DIR           where the data is kept (./.weft)
  WEFT_PORT               port of the API (7400)
  WEFT_TOUR_SERVICE_PORT  port of the service (${USUAL_SERVICE_PORT}, or a free one when that is taken)
  WEFT_TOUR_SLACK_STATUS  what the service's Slack receiver answers, to see the run fail (200)
`

const { values: flags } = parseArgs({
  allowNegative: true,
  options: { tour: { type: 'boolean' }, help: { type: 'boolean', default: false } },
})
if (flags.help) {
  process.stdout.write(USAGE)
  process.exit(0)
}

const { WEFT_TOUR_SERVICE_PORT, WEFT_TOUR_SLACK_STATUS, ...environment } = process.env
const dataDirectory = resolve(environment.WEFT_DATA_DIR || '.weft')
const isEmpty = !existsSync(dataDirectory) || readdirSync(dataDirectory).length === 0
const playsTour = flags.tour ?? isEmpty

let isEnding = false
const paper = new Paper(() => void end(0))
// Whoever read what was printed has gone; the server has not.
process.stdout.on('error', () => {})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end(0))

const service = await startService()
if (WEFT_TOUR_SLACK_STATUS) await service.answerSlackWith(Number(WEFT_TOUR_SLACK_STATUS))
const weft = new WeftProcess({
  dataDirectory,
  environment: {
    // Defaults for the examples; what the caller's environment says wins.
    WEFT_CREDENTIAL_TEAM_SLACK: service.slackCredential,
    ...environment,
    WEFT_EGRESS_ALLOW: [environment.WEFT_EGRESS_ALLOW, `127.0.0.1:${service.port}`].filter(Boolean).join(','),
  },
})
async function startService(): Promise<ServiceProcess> {
  if (WEFT_TOUR_SERVICE_PORT) return ServiceProcess.start(Number(WEFT_TOUR_SERVICE_PORT))
  // Where its usual port is taken (another `npm start`), any other does as well.
  return ServiceProcess.start(USUAL_SERVICE_PORT).catch(() => ServiceProcess.start(0))
}

async function start(): Promise<void> {
  if (paper.isTerminal) paper.line(paper.paint('dim', `Starting Weft in ${shownDirectory()} …`))
  try {
    await weft.start()
  } catch (error) {
    if (!isEnding) {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
      await end(error instanceof WeftDidNotStart && error.exitCode !== 0 ? error.exitCode : 1)
    }
    return
  }
  await introduce()
  if (playsTour) {
    // Read only now: what the tour needs would be in the way of the start.
    const { tour } = await import('./tour.ts')
    await tour({ weft, service, paper }, () => isEnding)
  }
  if (isEnding) return
  whatNext()
  await weft.ended()
  if (isEnding) return
  process.stderr.write(`Weft has ended by itself. Its log: ${weft.logFile}\n`)
  await end(1)
}

async function introduce(): Promise<void> {
  const readyS = (performance.now() / 1000).toFixed(1)
  const { version, postgres } = await weft.client.call<{
    version: string
    postgres: { version: string; settings: Record<string, string> }
  }>('GET', '/api/v1/about')
  const whose = weft.postgresPid === undefined ? 'PostgreSQL' : 'own PostgreSQL'
  const { paint } = paper
  paper.line()
  paper.line(
    `${paint('bold', `Weft ${version}`)}  ready in ${readyS} s, ${whose} ${shortVersion(postgres.version)}, fsync ${postgres.settings.fsync}`,
  )
  paper.line(paint('dim', `${weft.client.address.url}, data in ${shownDirectory()}`))
  paper.line(paint('dim', `Beside it, for the examples: service ${service.url}`))
}

const shortVersion = (text: string): string => /\d+(\.\d+)?/.exec(text)?.[0] ?? text

function whatNext(): void {
  const { paint } = paper
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

function shownDirectory(): string {
  const path = relative(process.cwd(), dataDirectory)
  return path.startsWith('..') ? dataDirectory : `./${path}`
}

/** Weft first, with its PostgreSQL, then the service that its last attempts may still call. */
async function end(code: number): Promise<void> {
  if (isEnding) return
  isEnding = true
  if (paper.isTerminal) process.stdout.write('\u001b[?25h\n')
  await weft.stop()
  await service.stop()
  process.exit(code)
}

await start()
