/**
 * Which faults strike when, drawn from a seed: storms in which every kind strikes, and a calm after each, long enough to
 * see who does not go on.
 *
 * Owns: the plan. Does not own: how a fault is done (`ground.ts`), when (`trial.ts`).
 */
import type { Random } from '../../random.ts'

export const FAULT_KINDS = [
  'kill',
  'stop',
  'flush',
  'redis-restart',
  'postgres-stop',
  'silent-redis',
  'silent-postgres',
] as const

export type FaultKind = (typeof FAULT_KINDS)[number]

export interface PlannedFault {
  readonly kind: FaultKind
  /** The process, or the connections of it; `null` for a server that all share. */
  readonly member: string | null
  /** Milliseconds since the storm began. */
  readonly startsAt: number
  /** How long it lasts, or, of what has to be started again, until somebody does. */
  readonly lastsMs: number
}

export interface Storm {
  readonly faults: readonly PlannedFault[]
  readonly lastsMs: number
  readonly calmMs: number
}

export interface Targets {
  readonly members: readonly string[]
  /** Those that reach Redis and Postgres through a proxy. */
  readonly behindProxies: readonly string[]
}

const STORM_EVERY_MS = 120_000
const STORM_SHARE = 2 / 3

/** Shortest and longest of each kind. */
const LASTS_MS: Record<FaultKind, readonly [number, number]> = {
  kill: [200, 3_000],
  stop: [2_000, 30_000],
  flush: [0, 0],
  'redis-restart': [200, 5_000],
  'postgres-stop': [0, 0],
  'silent-redis': [3_000, 20_000],
  'silent-postgres': [3_000, 20_000],
}

/** Of each kind as many as minutes, at least one in each storm. */
export function planStorms(minutes: number, random: Random, targets: Targets): Storm[] {
  const count = Math.max(1, Math.round((minutes * 60_000) / STORM_EVERY_MS))
  const totalMs = (minutes * 60_000) / count
  const perStorm = Math.max(1, Math.ceil(minutes / count))
  const lastsMs = totalMs * STORM_SHARE
  return Array.from({ length: count }, () => ({
    lastsMs,
    calmMs: totalMs - lastsMs,
    faults: FAULT_KINDS.flatMap((kind) =>
      Array.from({ length: perStorm }, () => plan(kind, lastsMs, random, targets)),
    ).sort((a, b) => a.startsAt - b.startsAt),
  }))
}

function plan(kind: FaultKind, stormMs: number, random: Random, targets: Targets): PlannedFault {
  const [least, most] = LASTS_MS[kind]
  const lastsMs = random.between(Math.min(least, stormMs / 4), Math.min(most, stormMs / 2))
  return {
    kind,
    member: memberFor(kind, random, targets),
    startsAt: random.between(0, Math.floor(stormMs - lastsMs)),
    lastsMs,
  }
}

function memberFor(kind: FaultKind, random: Random, { members, behindProxies }: Targets): string | null {
  switch (kind) {
    case 'kill':
    case 'stop':
      return random.pick(members)
    case 'silent-redis':
    case 'silent-postgres':
      return random.pick(behindProxies)
    default:
      return null
  }
}
