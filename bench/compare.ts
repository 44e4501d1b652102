/**
 * Weft and its peers: the same load (`load.ts`) on the same PostgreSQL and Redis, one after another, in several rounds
 * so that a machine that changes meanwhile hurts all of them alike. Each figure is the median of the rounds.
 *
 * The peers are a package of their own (`peers/`), installed when they are asked for and never with Weft.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Caller } from './caller.ts'
import { expectRuns } from './database.ts'
import { rounded } from './figures.ts'
import type { LoadFigures } from './load.ts'
import { type GivenServers, startServers } from './servers.ts'
import { startSubject } from './subject.ts'
import { CHAIN3 } from './workflows.ts'

const FOLDER = fileURLToPath(new URL('peers', import.meta.url))

/** What each of them reached on a machine of two cores when it was set well: runs per second, and milliseconds idle. */
const PEERS = {
  dbos: { title: 'DBOS Transact', isDurable: true, runsPerSecond: 200, idleMs: 9 },
  restate: { title: 'Restate', isDurable: true, runsPerSecond: 310, idleMs: 10 },
  mastra: { title: 'Mastra on PostgreSQL', isDurable: true, runsPerSecond: 310, idleMs: 6 },
  bullmq: { title: 'BullMQ flows', isDurable: false, runsPerSecond: 510, idleMs: 5 },
} as const

export type PeerName = keyof typeof PEERS
export const PEER_NAMES = Object.keys(PEERS) as PeerName[]

/** Below this share of what it is known to reach, a peer was set badly, and beating it says nothing. */
const TRUSTED_SHARE = 0.8

export interface Contender {
  readonly title: string
  /** Whether what it answered outlives a crash of the machine. */
  readonly isDurable: boolean
  readonly version: string
  readonly durability: string
  readonly tuning: string
  readonly figures: LoadFigures
  /** False when it stayed far below what it is known to reach on two cores. */
  readonly isTrusted: boolean
}

export interface Comparison {
  readonly rounds: number
  readonly contenders: Readonly<Record<string, Contender>>
  /** Why a peer is missing. */
  readonly skipped: Readonly<Record<string, string>>
  readonly servers: { readonly redis: string }
}

interface Measured {
  readonly figures: LoadFigures
  readonly version: string
  readonly durability: string
  readonly tuning: string
}

export async function comparePeers(options: {
  readonly peers: readonly PeerName[]
  readonly rounds: number
  readonly quick: boolean
  readonly versions: { readonly weft: string }
  say(text: string): void
}): Promise<Comparison> {
  const { peers, rounds, quick, say } = options
  const skipped: Record<string, string> = {}
  const failure = await install(say)
  if (failure !== null) for (const name of peers) skipped[name] = failure
  const samples = new Map<string, Measured[]>()
  const servers = await startServers()
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const name of ['weft', ...peers.filter((peer) => failure === null && !skipped[peer])]) {
        try {
          const measured =
            name === 'weft'
              ? await measureWeft(servers, quick, options.versions.weft)
              : await measurePeer(servers, name, quick)
          samples.set(name, [...(samples.get(name) ?? []), measured])
          say(`${name} ${measured.version}, round ${round} of ${rounds}: ${JSON.stringify(measured.figures)}`)
        } catch (error) {
          if (name === 'weft') throw error
          skipped[name] = (error as Error).message
          samples.delete(name)
          say(`${name} cannot be compared: ${skipped[name]}`)
        }
      }
    }
    const contenders = Object.fromEntries([...samples].map(([name, all]) => [name, contender(name, all)]))
    const redis = servers.redis ? `${servers.redis.version}: ${servers.redis.settings}` : 'none'
    return { rounds, contenders, skipped, servers: { redis } }
  } finally {
    await servers.stop()
  }
}

async function measureWeft(servers: GivenServers, quick: boolean, version: string): Promise<Measured> {
  const subject = await startSubject({ databaseUrl: await servers.newDatabase('contender_weft') })
  try {
    const caller = new Caller(subject.url, subject.apiKey, 1)
    await caller.store(CHAIN3)
    await caller.close()
    const { figures, runs } = await subject.run('load', { quick })
    await expectRuns(subject.databaseUrl, { workflow: 'chain3', runs, stepsPerRun: 3 })
    return {
      figures,
      version,
      durability: 'every event committed to PostgreSQL before anything follows from it',
      tuning: 'as it comes',
    }
  } finally {
    await subject.end()
  }
}

async function measurePeer(servers: GivenServers, name: string, quick: boolean): Promise<Measured> {
  const directory = `${servers.directory}/${name}-${Date.now()}`
  await mkdir(directory)
  await servers.redis?.flush()
  const given = {
    postgresUrl: await servers.newDatabase(`contender_${name}`),
    redisUrl: servers.redis?.url ?? null,
    directory,
  }
  const child = fork(`${FOLDER}/main.ts`, [name, JSON.stringify(given), quick ? 'quick' : 'full'], {
    // Nothing of it reaches out: what peers would tell their makers is switched off.
    env: {
      PATH: process.env.PATH,
      HOME: directory,
      NODE_ENV: 'production',
      NODE_NO_WARNINGS: '1',
      MASTRA_TELEMETRY_DISABLED: '1',
      DO_NOT_TRACK: '1',
    },
    execArgv: [],
  })
  return answerOf(child)
}

function answerOf(child: ChildProcess): Promise<Measured> {
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  return new Promise<Measured>((resolve, reject) => {
    child.once('message', (message) => {
      const { measured, error } = message as { measured?: Measured; error?: string }
      if (measured) resolve(measured)
      else reject(new Error(error))
    })
    child.once('exit', (code, signal) => {
      process.off('exit', kill)
      reject(new Error(`it ended with ${code ?? signal} before it answered`))
    })
  })
}

/** `null`, or why it failed. */
function install(say: (text: string) => void): Promise<string | null> {
  say('installing the peers where they are missing …')
  const child = spawn(
    'npm',
    ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    { cwd: FOLDER, stdio: ['ignore', 'ignore', 'pipe'], shell: process.platform === 'win32' },
  )
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-2_000)
  })
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`npm could not be started: ${error.message}`))
    child.once('close', (code) =>
      resolve(code === 0 ? null : `npm install ended with ${code}: ${output.trim()}`),
    )
  })
}

export function contender(name: string, samples: readonly Measured[]): Contender {
  const [first] = samples as [Measured]
  const middle = (key: keyof LoadFigures): number => median(samples.map(({ figures }) => figures[key]))
  const figures: LoadFigures = {
    runsPerSecond50: middle('runsPerSecond50'),
    runsPerSecond200: middle('runsPerSecond200'),
    idleP50Ms: middle('idleP50Ms'),
    idleP99Ms: middle('idleP99Ms'),
  }
  const { version, durability, tuning } = first
  if (name === 'weft')
    return { title: 'Weft', isDurable: true, version, durability, tuning, figures, isTrusted: true }
  const { title, isDurable, runsPerSecond, idleMs } = PEERS[name as PeerName]
  const best = Math.max(figures.runsPerSecond50, figures.runsPerSecond200)
  const isTrusted = best >= runsPerSecond * TRUSTED_SHARE && figures.idleP50Ms <= idleMs / TRUSTED_SHARE
  return { title, isDurable, version, durability, tuning, figures, isTrusted }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : rounded((upper + (sorted[middle - 1] ?? Number.NaN)) / 2, 2)
}
