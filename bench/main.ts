/**
 * `npm run bench -- [--modes embedded,postgres-redis,split,peers] [--workloads submit,chain3,…] [--peers dbos,…]
 *  [--rounds 3] [--json FILE] [--chart FILE] [--quick]`
 *
 * Measures how fast Weft is and says beside each figure what it must be; in the mode `peers`, beside those of others on
 * the same servers. Exits with 1 when something that must be true was not (a step missing in the log, an accepted run
 * lost, a database that is not durable), with 3 when a figure is below its floor, with 2 when it was asked for something
 * that does not exist.
 */
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
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

const print = (line: string): void => void process.stdout.write(`${line}\n`)

function refuse(sentence: string): never {
  process.stderr.write(`${sentence}\n`)
  process.exit(2)
}

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

// Ended early, it ends and removes what it started (see weft-process.ts).
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

const { values } = parseArgs({
  options: {
    modes: { type: 'string', default: 'embedded' },
    workloads: { type: 'string' },
    peers: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
    chart: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
})

const modes = namesOf('mode', values.modes, MODES)
const workloads = values.workloads
  ? namesOf(
      'workload',
      values.workloads,
      WORKLOADS.map(({ name }) => name),
    ).map((name) => WORKLOADS.find((workload) => workload.name === name)!)
  : WORKLOADS
const peers = values.peers ? namesOf('peer', values.peers, PEER_NAMES) : PEER_NAMES
const rounds = /^[1-9]\d?$/.test(values.rounds)
  ? Number(values.rounds)
  : refuse(`--rounds ${values.rounds}: not a number from 1 to 99.`)
for (const option of ['peers', 'chart'] as const) {
  if (values[option] !== undefined && !modes.includes('peers'))
    refuse(`--${option} is for the mode \`peers\`: add --modes peers.`)
}

const machine = machineNow()
print(
  `${machine.cpu}, ${machine.cores} cores, ${machine.system}; load average ${machine.loadAverage.join(' ')}`,
)
const say = (text: string): void => print(`    ${text}`)
const bench = embeddedBench({ quick: values.quick, say })
const settings = await settingsOf(bench)
print(
  `PostgreSQL ${settings.server_version}: fsync ${settings.fsync}, synchronous_commit ${settings.synchronous_commit}, full_page_writes ${settings.full_page_writes}`,
)
if (values.quick) print('--quick: small numbers, for a first look; these figures are no measure')

const measured: Record<string, ModeFigures> = {}
const failures: string[] = []
let comparison: Comparison | null = null
const versions = versionsOf(settings.server_version)
for (const mode of modes) {
  if (mode === 'peers') {
    print(`peers … (load ${(loadavg()[0] ?? 0).toFixed(2)})`)
    const quick = values.quick
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
if (values.json !== undefined) {
  const contenders = Object.entries(comparison?.contenders ?? {})
  const document = {
    date,
    machine: { ...machine, loadAverageAfter: loadavg().map((load) => Number(load.toFixed(2))) },
    versions,
    settings: { ...settings, quick: values.quick },
    modes: measured,
    peers: Object.fromEntries(contenders.map(([name, { figures }]) => [name, figures])),
    ...(comparison === null ? {} : { comparison }),
  }
  writeFileSync(values.json, `${JSON.stringify(document, null, 2)}\n`)
}
if (values.chart !== undefined && comparison !== null)
  writeFileSync(values.chart, chartOf({ date, machine, postgres: settings.server_version, comparison }))
const missed = Object.entries(measured).flatMap(([mode, figures]) => missedFloors(mode, figures))
process.exit(failures.length > 0 ? 1 : missed.length > 0 && !values.quick ? 3 : 0)

async function measureGiven(mode: GivenMode): Promise<ModeFigures> {
  const servers = await startServers()
  try {
    print(`${mode}: Redis ${servers.redis?.version}, ${servers.redis?.settings}`)
    return await measureMode(givenBench(mode, servers, { quick: values.quick, say }))
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
