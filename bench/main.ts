/**
 * `npm run bench -- [--modes embedded] [--workloads submit,chain3,…] [--json FILE] [--quick]`
 *
 * Measures how fast Weft is and says beside each figure what it must be. Exits with 1 when something that must be true
 * was not (a step missing in the log, an accepted run lost, a database that is not durable), with 3 when a figure is
 * below its floor, with 2 when it was asked for something that does not exist.
 */
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { type DatabaseSettings, durableSettings } from './database.ts'
import { embeddedBench } from './embedded.ts'
import { machineNow, versionsOf } from './machine.ts'
import { type ModeFigures, missedFloors, tableOf } from './report.ts'
import { WORKLOADS } from './workloads/index.ts'
import type { Bench, Workload } from './workloads/workload.ts'

const MODES_TO_COME: Readonly<Record<string, string>> = {
  'postgres-redis':
    'runs on a PostgreSQL and a Redis that are given, and the Redis transport is not built yet',
  split:
    'runs every role in a process of its own, which needs the Redis transport, and that is not built yet',
}

const print = (line: string): void => void process.stdout.write(`${line}\n`)

function refuse(sentence: string): never {
  process.stderr.write(`${sentence}\n`)
  process.exit(2)
}

// Ended early, it ends and removes what it started (see weft-process.ts).
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

const { values } = parseArgs({
  options: {
    modes: { type: 'string', default: 'embedded' },
    workloads: { type: 'string' },
    json: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
})

for (const mode of values.modes.split(',')) {
  if (mode === 'embedded') continue
  const reason = MODES_TO_COME[mode]
  refuse(
    reason === undefined
      ? `There is no mode \`${mode}\`. The modes are embedded, ${Object.keys(MODES_TO_COME).join(', ')}.`
      : `The mode \`${mode}\` cannot be measured: it ${reason}. Run --modes embedded.`,
  )
}
const wanted = values.workloads?.split(',').map((name): Workload => {
  const found = WORKLOADS.find((workload) => workload.name === name)
  return (
    found ??
    refuse(`There is no workload \`${name}\`. There are ${WORKLOADS.map((one) => one.name).join(', ')}.`)
  )
})

const machine = machineNow()
print(
  `${machine.cpu}, ${machine.cores} cores, ${machine.system}; load average ${machine.loadAverage.join(' ')}`,
)
const bench = embeddedBench({ quick: values.quick, say: (text) => print(`    ${text}`) })
const settings = await settingsOf(bench)
print(
  `PostgreSQL ${settings.server_version}: fsync ${settings.fsync}, synchronous_commit ${settings.synchronous_commit}, full_page_writes ${settings.full_page_writes}`,
)
if (values.quick) print('--quick: small numbers, for a first look; these figures are no measure')

const figures: ModeFigures = {}
const failures: string[] = []
for (const workload of wanted ?? WORKLOADS) {
  print(`${workload.name} … (load ${(loadavg()[0] ?? 0).toFixed(2)})`)
  try {
    figures[workload.name] = await workload.measure(bench)
    print(`    ${JSON.stringify(figures[workload.name])}`)
  } catch (error) {
    failures.push(`${workload.name}: ${(error as Error).message}`)
    print(`    FAILED: ${(error as Error).stack}`)
  }
}

print(`\n${tableOf(figures)}`)
for (const failure of failures) print(`FAILED  ${failure}`)
if (values.json !== undefined) {
  const document = {
    machine: { ...machine, loadAverageAfter: loadavg().map((load) => Number(load.toFixed(2))) },
    versions: versionsOf(settings.server_version),
    settings: { ...settings, quick: values.quick },
    modes: { embedded: figures },
    peers: {},
  }
  writeFileSync(values.json, `${JSON.stringify(document, null, 2)}\n`)
}
const missed = missedFloors(figures)
process.exit(failures.length > 0 ? 1 : missed.length > 0 && !values.quick ? 3 : 0)

/** Of the database that Weft brings: every workload gets one like it. */
function settingsOf(mode: Bench): Promise<DatabaseSettings> {
  return mode.withServer((server) => durableSettings(server.databaseUrl))
}
