/** What the bench knows of a peer: how to start it on the given servers, run three steps, and read back its record. */

export interface Servers {
  /** A fresh database of the peer's own. */
  readonly postgresUrl: string
  /** An empty Redis; `null` when this machine has none. */
  readonly redisUrl: string | null
  /** A fresh folder for a peer that brings a server. */
  readonly directory: string
}

export interface Peer {
  /** What its word is worth when the power goes, in one line. */
  readonly durability: string
  /** What was set, and why the figures are its best on these servers. */
  readonly tuning: string
  /** Resolves when the peer says that the run of three steps has ended. */
  run(order: number): Promise<void>
  /** Read from where the peer keeps it, after the load. */
  recorded(): Promise<Recorded>
  stop(): Promise<void>
}

export interface Recorded {
  readonly runs: number
  readonly steps: number
}
