/**
 * Says to everybody who performs attempts here: this process, if it has the worker role, and the programs outside that
 * claim tasks from it. `weft workers`, `why` and the registry of node types read it, in whatever process they run.
 */
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { Service } from './service.ts'
import type { Store, WorkerBeat, WorkerRow } from './store/store.ts'
import { createTurns } from './turns.ts'

const EVERY_MS = 5_000
/** A process that is gone is missed after two beats. */
const PROCESS_LIVES_MS = 12_000
/** Between two claims a program is silent for as long as its work takes. */
const PROGRAM_LIVES_MS = 60_000

export interface Program {
  readonly name: string
  readonly workspace: string
  readonly types: WorkerRow['types']
}

export interface RollCallParts {
  readonly store: Pick<Store, 'workers'>
  readonly clock: Clock
  readonly log: Log
  readonly name: string
  /** What the worker of this process performs; `null` without the role. */
  readonly load: (() => WorkerRow['types']) | null
  /** Programs that were heard since the last call. */
  readonly programs: () => readonly Program[]
}

export interface RollCall extends Service {
  /** One turn, for tests and when the types of this process have changed. */
  tick(): Promise<void>
}

export function createRollCall({ store, clock, log, name, load, programs }: RollCallParts): RollCall {
  const id = clock.id()
  let state: 'stopped' | 'running' = 'stopped'

  async function beat(): Promise<void> {
    const workers: WorkerBeat[] = programs().map((program) => ({
      id: `${program.workspace}/${program.name}`,
      kind: 'program',
      livesMs: PROGRAM_LIVES_MS,
      ...program,
    }))
    if (load !== null)
      workers.push({ id, name, kind: 'process', workspace: null, types: load(), livesMs: PROCESS_LIVES_MS })
    await store.workers.beat({ workers })
  }

  const turns = createTurns({
    clock,
    everyMs: EVERY_MS,
    turn: beat,
    failed: (error) => log.debug({ error }, 'the roll call failed; the next one is in a moment'),
  })

  return {
    name: 'roll call',
    tick: turns.tick,
    async start() {
      if (state === 'running') return
      state = 'running'
      await turns.tick()
      turns.start()
    },
    async stop() {
      if (state === 'stopped') return
      state = 'stopped'
      await turns.stop()
      if (load !== null) await store.workers.leave({ ids: [id] }).catch(() => {})
    },
  }
}
