/**
 * Whether this process can work: what `/healthz` and `/readyz` answer, in every role.
 *
 * Ready does not depend on the transport between processes: submits, decisions and cancels are accepted while it is away
 * (R15), and a balancer that took every API process out would turn a delay into an outage. It is shown all the same:
 * such a process is `degraded`. So is one that was started paused.
 */
import type { Clock } from './clock.ts'
import { RESUME_ADVICE } from './hold.ts'
import type { Store } from './store/store.ts'
import type { Transport } from './transport/transport.ts'

const ANSWER_WITHIN_MS = 2_000
const HELD = `This process was started with WEFT_START_PAUSED and dispatches nothing: ${RESUME_ADVICE}.`

export interface HealthParts {
  readonly store: Pick<Store, 'ping'>
  readonly transport: Pick<Transport, 'tasks'>
  readonly clock: Clock
  readonly version: string
  readonly roles: readonly string[]
  /** Why the runs of this process do not move on at the moment; `null` when they do, or when it decides none. */
  readonly trouble: () => string | null
  /** Whether the process was started paused, and nobody has resumed it. */
  readonly isHeld: () => boolean
}

interface Dependency {
  readonly ok: boolean
  readonly ms?: number
  readonly error?: string
}

export interface Readiness {
  readonly status: 'ready' | 'degraded' | 'not_ready'
  readonly dependencies: Readonly<Record<string, Dependency>>
}

export interface Health {
  live(): { readonly status: 'ok'; readonly version: string; readonly roles: readonly string[] }
  ready(isStopping: boolean): Promise<Readiness>
}

export function createHealth({
  store,
  transport,
  clock,
  version,
  roles,
  trouble,
  isHeld,
}: HealthParts): Health {
  async function check(work: () => Promise<unknown>): Promise<Dependency> {
    const startedAt = clock.monotonic()
    let withdraw = (): void => {}
    const slow = new Promise<never>((_, reject) => {
      withdraw = clock.after(ANSWER_WITHIN_MS, () =>
        reject(new Error(`no answer within ${ANSWER_WITHIN_MS} ms`)),
      )
    })
    const error = await Promise.race([work(), slow]).then(
      () => undefined,
      (reason: unknown) => (reason instanceof Error ? reason.message : String(reason)),
    )
    withdraw()
    const ms = Math.round((clock.monotonic() - startedAt) * 10) / 10
    return error === undefined ? { ok: true, ms } : { ok: false, ms, error }
  }

  return {
    live: () => ({ status: 'ok', version, roles }),
    async ready(isStopping) {
      const [database, lanes] = await Promise.all([
        check(() => store.ping()),
        check(() => transport.tasks.depth()),
      ])
      const reason = trouble()
      const runs = reason === null ? { ok: true } : { ok: false, error: reason }
      const held = isHeld() ? { ok: false, error: HELD } : null
      const isServing = database.ok && (runs.ok || !lanes.ok) && !isStopping
      return {
        status: !isServing ? 'not_ready' : lanes.ok && !held ? 'ready' : 'degraded',
        dependencies: { database, transport: lanes, runs: runs.ok && held ? held : runs },
      }
    },
  }
}
