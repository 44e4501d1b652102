/** What every workload gets, and what it answers: the figures under their published keys. */
import type { Subject } from '../subject.ts'

export interface Bench {
  /** Smaller numbers, for a first look; the figures are then no measure. */
  readonly quick: boolean
  /** A line for whoever waits. */
  say(text: string): void
  /** Runs `work` against a fresh engine with its loads in process, and ends it whatever happens. */
  withSubject<T>(work: (subject: Subject) => Promise<T>, options?: SubjectNeeds): Promise<T>
  /** How many keys the transport holds in Redis; 0 without one. */
  redisKeys(): Promise<number>
  /** Runs `work` against a fresh `weft serve`, as users start it. */
  withServer<T>(work: (server: Server) => Promise<T>): Promise<T>
}

export interface SubjectNeeds {
  /** `host:port` of what the egress guard lets through. */
  readonly allow?: string
  /** The coordinator must be in the measured process, whatever the mode. */
  readonly withCoordinator?: boolean
}

export interface Server {
  readonly url: string
  readonly apiKey: string
  readonly databaseUrl: string
  /** Milliseconds from the spawn to a yes from `/readyz`. */
  readonly readyMs: number
  kill(): Promise<void>
  stop(): Promise<void>
  /** Starts it again on the same data; answers the milliseconds until it was ready. */
  startAgain(): Promise<number>
  pids(): number[]
}

export interface Workload {
  readonly name: string
  /** Throws when something that must be true was not; the message says what. */
  measure(bench: Bench): Promise<Record<string, number>>
}
