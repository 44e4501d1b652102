/**
 * Every call from a process to the store or the transport goes through here: it takes time, and it may go wrong before
 * and after it took effect.
 */
import type { Random } from '../../engine/test/world/random.ts'
import type { FaultKind, Faults } from './faults.ts'
import type { SimProcess } from './process.ts'
import type { VirtualTime } from './time.ts'

/** Calls on one connection: they take effect in the order in which they were made. */
export class Line {
  #last: Promise<void> = Promise.resolve()

  /** Resolves when it is this call's turn; the returned function ends the turn. */
  async turn(): Promise<() => void> {
    const before = this.#last
    let done = (): void => {}
    this.#last = new Promise((resolve) => {
      done = resolve
    })
    await before
    return done
  }
}

export interface Call<Result> {
  readonly name: string
  readonly process: SimProcess
  readonly perform: () => Promise<Result>
  /** What may go wrong, beside the process. */
  readonly faults?: readonly FaultKind[]
  /** What the caller is told when the call failed; `isDone`: it took effect. */
  readonly failure?: (kind: FaultKind) => Error
  /** What the caller is told when the message was dropped. */
  readonly nothing?: Result
  readonly line?: Line
  /** It waits at the other side, for as long as it takes. */
  readonly isWait?: boolean
}

export interface Seam {
  call<Result>(call: Call<Result>): Promise<Result>
}

const PROCESS_FAULTS: readonly FaultKind[] = ['killed before', 'killed after', 'paused']
const LONGEST_DELAY_MS = 8_000

export interface SeamParts {
  readonly time: VirtualTime
  readonly random: Random
  readonly faults: Faults
  readonly kill: (process: SimProcess) => void
  readonly pause: (process: SimProcess) => void
  /** A world's own mistake: `perform` threw what no store or transport throws. */
  readonly isOrdinary: (error: unknown) => boolean
  readonly fail: (error: unknown) => void
}

export function createSeam({ time, random, faults, kill, pause, isOrdinary, fail }: SeamParts): Seam {
  const hop = (): number => (random.chance(0.5) ? 0 : random.int(4))

  return {
    call<Result>({ name, process, perform, line, isWait, ...call }: Call<Result>): Promise<Result> {
      return new Promise((resolve, reject) => {
        if (process.isDead) return
        const label = `${process.name} ${name}`
        const kind = faults.draw([...(call.faults ?? []), ...(process.isMortal ? PROCESS_FAULTS : [])])
        if (kind) time.note(`${label}: ${kind}`)
        const failure = (): Error => call.failure?.(kind as FaultKind) ?? new Error(`${name} failed: ${kind}`)
        const answer = (act: () => void, delayMs = hop()): void =>
          void time.after(delayMs, `${label} answers`, () => process.deliver(act))

        const turn = line?.turn()

        async function arrive(): Promise<void> {
          const done = await turn
          try {
            // What a killed process had sent may or may not have left it.
            if (process.isDead && random.chance(0.5)) return
            await act()
          } finally {
            done?.()
          }
        }

        async function act(): Promise<void> {
          switch (kind) {
            case 'killed before':
              kill(process)
              return
            case 'error before':
            case 'refused':
            case 'session lost before':
              answer(() => reject(failure()))
              return
            case 'dropped':
              answer(() => resolve(call.nothing as Result))
              return
          }
          const performing = perform()
          // A wait does not hold up the connection's other calls.
          if (isWait) void performing.then(tell, refuse)
          else await performing.then(tell, refuse)
        }

        function tell(result: Result): void {
          switch (kind) {
            case 'killed after':
              kill(process)
              return
            case 'paused':
              pause(process)
              break
            case 'error after':
            case 'session lost after':
              answer(() => reject(failure()))
              return
            case 'repeated':
              time.after(random.int(LONGEST_DELAY_MS), `${label} again`, () => {
                void perform().catch(() => {})
              })
              break
          }
          answer(() => resolve(result))
        }

        function refuse(error: unknown): void {
          if (!isOrdinary(error)) fail(error)
          answer(() => reject(error))
        }

        const delayMs = hop() + (kind === 'delayed' ? 50 + random.int(LONGEST_DELAY_MS) : 0)
        time.after(delayMs, label, () => void arrive().catch(fail))
      })
    },
  }
}
