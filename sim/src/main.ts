/** `npm run sim`: plays worlds and says what did not hold, with the command that plays that world again. */
import { minutes, print, randomSeed, tool, whole } from '../../server/test/tool.ts'
import { playWorlds, replayCommand, summaryOf } from './campaign.ts'
import { huntMutants } from './mutants.ts'
import { playWorld } from './world.ts'

const DEFAULT_WORLDS = 1_000

interface Options {
  readonly worlds?: number
  readonly seed?: number
  readonly minutes?: number
  readonly trace?: true
  readonly findings: number
  readonly mutants?: true
  readonly only?: string
}

const options = tool(
  'sim',
  'Plays random worlds of clients, processes and faults on the real coordinator and worker, with a clock, a network and a database of its own, and says what did not hold. Exit code 1 when anything did not.',
  ['--worlds 20000', '--minutes 30', '--seed 17 --worlds 1 --trace', '--mutants --worlds 1000'],
)
  .option('--worlds <count>', `how many; ${DEFAULT_WORLDS} unless minutes are given`, whole(1))
  .option('--seed <seed>', 'of the first world; the next ones follow. Random unless given', whole(0))
  .option('--minutes <count>', 'for so long', minutes)
  .option('--trace', 'plays one world and prints every step of it')
  .option('--findings <count>', 'so many say enough', whole(1), 10)
  .option('--mutants', 'breaks the product, one rule at a time: each breach must be found')
  .option('--only <name>', 'this mutant alone')
  .parse()
  .opts<Options>()

const worlds = options.worlds ?? (options.minutes === undefined ? DEFAULT_WORLDS : Number.POSITIVE_INFINITY)
const firstSeed = options.seed ?? randomSeed()

if (options.mutants) {
  const missed = await huntMutants({
    worlds,
    firstSeed: options.seed ?? 1,
    only: options.only,
    report: print,
  })
  process.exit(missed === 0 ? 0 : 1)
}
if (options.trace) await trace(firstSeed)
await play()

async function trace(seed: number): Promise<never> {
  const { violation, ...result } = await playWorld(seed, (at, label) =>
    print(`${String(at).padStart(8)}  ${label}`),
  )
  print(JSON.stringify(result, null, 2))
  print(violation?.stack ?? 'everything held')
  process.exit(violation ? 1 : 0)
}

async function play(): Promise<never> {
  const began = performance.now()
  const passedMs = (): number => performance.now() - began
  print(`seed ${firstSeed}`)
  const tally = await playWorlds({
    firstSeed,
    goesOn: (soFar) =>
      soFar.worlds < worlds &&
      soFar.findings.length < options.findings &&
      (options.minutes === undefined || passedMs() < options.minutes * 60_000),
    found: ({ seed, violation }) => print(`\nseed ${seed}: ${violation.message}\n  ${replayCommand(seed)}\n`),
  })
  print(summaryOf(tally, passedMs() / 1000))
  process.exit(tally.findings.length === 0 ? 0 : 1)
}
