/** `npm run bench`: how fast Weft is and, beside each figure, what it must be; on request, how fast others are. */
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { print, refuse, tool, whole } from '../server/test/tool.ts'
import { chartOf } from './chart.ts'
import { type Comparison, comparePeers, PEER_NAMES } from './compare.ts'
import { type DatabaseSettings, durableSettings } from './database.ts'
import { embeddedBench } from './embedded.ts'
import { type GivenMode, givenBench } from './given.ts'
import { machineNow, versionsOf } from './machine.ts'
import { comparisonTable, type ModeFigures, missedFloors, tableOf } from './report.ts'
import { startServers } from './servers.ts'
import { WORKLOADS } from './workloads/index.ts'
import type { Bench } from './workloads/workload.ts'

/** In one process as it comes, on given servers, a process per role on given servers, and beside others. */
const MODES = ['embedded', 'postgres-redis', 'split', 'peers'] as const

/** The names of a list as given, each known. */
function namesOf<Name extends string>(what: string, given: string, known: readonly Name[]): Name[] {
  return given
    .split(',')
    .map(
      (name) =>
        known.find((one) => one === name) ??
        refuse(`There is no ${what} \`${name}\`. There are ${known.join(', ')}.`),
    )
}

interface Options {
  readonly modes?: readonly (typeof MODES)[number][]
  readonly workloads?: readonly string[]
  readonly peers?: readonly (typeof PEER_NAMES)[number][]
  readonly rounds: number
  readonly json?: string
  readonly chart?: string
  readonly quick?: true
}

const WORKLOAD_NAMES = WORKLOADS.map(({ name }) => name)
const options = tool(
  'bench',
  'Measures how fast Weft is and says beside each figure what it must be; in the mode `peers`, beside others on the same servers. Exit code 1 when something that must be true was not (a step missing in the log, an accepted run lost, a database that is not durable), 3 when a figure is below its floor.',
  [
    '--modes embedded --workloads chain3,idle3',
    '--modes embedded,postgres-redis,split --json bench.json',
    '--modes peers --chart bench.svg',
    '--quick',
  ],
)
  .option('--modes <names>', `${MODES.join(', ')}; the first unless given`, (text) =>
    namesOf('mode', text, MODES),
  )
  .option('--workloads <names>', `all, or of ${WORKLOAD_NAMES.join(', ')}`, (text) =>
    namesOf('workload', text, WORKLOAD_NAMES),
  )
  .option('--peers <names>', `all, or of ${PEER_NAMES.join(', ')}`, (text) =>
    namesOf('peer', text, PEER_NAMES),
  )
  .option('--rounds <count>', 'of the peers', whole(1, 99), 3)
  .option('--json <file>', 'writes the figures there')
  .option('--chart <file>', 'draws the peers there')
  .option('--quick', 'small numbers, for a first look')
  .parse()
  .opts<Options>()

const { modes = [MODES[0]], rounds, quick = false, peers = PEER_NAMES } = options
const workloads = WORKLOADS.filter(({ name }) => options.workloads?.includes(name) ?? true)
for (const option of ['peers', 'chart'] as const) {
  if (options[option] !== undefined && !modes.includes('peers'))
    refuse(`--${option} is for the mode \`peers\`: add --modes peers.`)
}

const machine = machineNow()
print(
  `${machine.cpu}, ${machine.cores} cores, ${machine.system}; load average ${machine.loadAverage.join(' ')}`,
)
const say = (text: string): void => print(`    ${text}`)
const bench = embeddedBench({ quick, say })
const settings = await settingsOf(bench)
print(
  `PostgreSQL ${settings.server_version}: fsync ${settings.fsync}, synchronous_commit ${settings.synchronous_commit}, full_page_writes ${settings.full_page_writes}`,
)
if (quick) print('--quick: small numbers, for a first look; these figures are no measure')

const measured: Record<string, ModeFigures> = {}
const failures: string[] = []
let comparison: Comparison | null = null
const versions = versionsOf(settings.server_version)
for (const mode of modes) {
  if (mode === 'peers') {
    print(`peers … (load ${(loadavg()[0] ?? 0).toFixed(2)})`)
    comparison = await comparePeers({ peers, rounds: quick ? 1 : rounds, quick, versions, say })
    print(`\n${comparisonTable(comparison)}`)
    failures.push(...Object.entries(comparison.skipped).map(([name, reason]) => `peer ${name}: ${reason}`))
  } else {
    const figures = await (mode === 'embedded' ? measureMode(bench) : measureGiven(mode))
    print(`\n${mode}\n${tableOf(mode, figures)}`)
    measured[mode] = figures
  }
}
for (const failure of failures) print(`FAILED  ${failure}`)

const date = new Date().toISOString().slice(0, 10)
if (options.json !== undefined) {
  const contenders = Object.entries(comparison?.contenders ?? {})
  const document = {
    date,
    machine: { ...machine, loadAverageAfter: loadavg().map((load) => Number(load.toFixed(2))) },
    versions,
    settings: { ...settings, quick },
    modes: measured,
    peers: Object.fromEntries(contenders.map(([name, { figures }]) => [name, figures])),
    ...(comparison === null ? {} : { comparison }),
  }
  writeFileSync(options.json, `${JSON.stringify(document, null, 2)}\n`)
}
if (options.chart !== undefined && comparison !== null)
  writeFileSync(options.chart, chartOf({ date, machine, postgres: settings.server_version, comparison }))
const missed = Object.entries(measured).flatMap(([mode, figures]) => missedFloors(mode, figures))
process.exit(failures.length > 0 ? 1 : missed.length > 0 && !quick ? 3 : 0)

async function measureGiven(mode: GivenMode): Promise<ModeFigures> {
  const servers = await startServers()
  try {
    print(`${mode}: Redis ${servers.redis?.version}, ${servers.redis?.settings}`)
    return await measureMode(givenBench(mode, servers, { quick, say }))
  } finally {
    await servers.stop()
  }
}

async function measureMode(mode: Bench): Promise<ModeFigures> {
  const figures: ModeFigures = {}
  for (const workload of workloads) {
    print(`${workload.name} … (load ${(loadavg()[0] ?? 0).toFixed(2)})`)
    try {
      figures[workload.name] = await workload.measure(mode)
      print(`    ${JSON.stringify(figures[workload.name])}`)
    } catch (error) {
      failures.push(`${workload.name}: ${(error as Error).message}`)
      print(`    FAILED: ${(error as Error).stack}`)
    }
  }
  return figures
}

/** Of the database that Weft brings: every workload gets one like it. */
function settingsOf(mode: Bench): Promise<DatabaseSettings> {
  return mode.withServer((server) => durableSettings(server.databaseUrl))
}
