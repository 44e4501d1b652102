/**
 * `npm run sim -- [--worlds N] [--seed S] [--minutes M] [--trace]`: plays worlds from this seed on and says what did not
 * hold, with the command that plays that world again. Exits with 1 when it found anything.
 *
 * `--mutants [--only NAME]` breaks the product on purpose, one rule at a time, and exits with 1 when a breach is not found.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { playWorlds, replayCommand, summaryOf } from './campaign.ts'
import { huntMutants } from './mutants.ts'
import { playWorld } from './world.ts'

const DEFAULT_WORLDS = 1_000
/** So many findings say enough. */
const MAX_FINDINGS = 10

const print = (line: string): void => void process.stdout.write(`${line}\n`)

const { values } = parseArgs({
  options: {
    worlds: { type: 'string' },
    seed: { type: 'string' },
    minutes: { type: 'string' },
    trace: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    only: { type: 'string' },
    findings: { type: 'string' },
  },
})

function numberOf(name: 'worlds' | 'seed' | 'minutes' | 'findings'): number | undefined {
  const text = values[name]
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isFinite(value) && value >= 0) return value
  process.stderr.write(`--${name} must be a number, and \`${text}\` is none.\n`)
  process.exit(2)
}

const minutes = numberOf('minutes')
const worlds = numberOf('worlds') ?? (minutes === undefined ? DEFAULT_WORLDS : Number.POSITIVE_INFINITY)
const firstSeed = numberOf('seed') ?? randomInt(2 ** 31)
const maxFindings = numberOf('findings') ?? MAX_FINDINGS

if (values.mutants) {
  const missed = await huntMutants({
    worlds,
    firstSeed: numberOf('seed') ?? 1,
    only: values.only,
    report: print,
  })
  process.exit(missed === 0 ? 0 : 1)
}
if (values.trace) await trace(firstSeed)
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
      soFar.findings.length < maxFindings &&
      (minutes === undefined || passedMs() < minutes * 60_000),
    found: ({ seed, violation }) => print(`\nseed ${seed}: ${violation.message}\n  ${replayCommand(seed)}\n`),
  })
  print(summaryOf(tally, passedMs() / 1000))
  process.exit(tally.findings.length === 0 ? 0 : 1)
}
