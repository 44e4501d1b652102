/**
 * When a stream of server-sent events must end: its reader has gone, the server stops, or its key is no longer good (it
 * is looked at now and then, since a stream may outlive it). The reader connects again, and is told why not.
 */
import type { Clock } from '../clock.ts'
import { type Keys, mayAct } from './auth.ts'
import type { Call } from './call.ts'
import { ApiError } from './errors.ts'

const LOOK_EVERY_MS = 15_000

export interface StreamParts {
  readonly keys: Keys
  readonly clock: Clock
  /** Fires when the server stops. */
  readonly stopping: AbortSignal
}

export function streamSignal(
  { keys, clock, stopping }: StreamParts,
  { gone, headers }: Pick<Call, 'gone' | 'headers'>,
): AbortSignal {
  // Not `AbortSignal.any`: whether that one fired is asked of all its sources, for every event of every stream.
  const over = new AbortController()
  const end = (): void => over.abort()
  const hasGone = gone()
  hasGone.addEventListener('abort', end)
  stopping.addEventListener('abort', end)
  const look = async (): Promise<void> => {
    try {
      const principal = await keys.principal(headers.authorization as string | undefined)
      if (!mayAct(principal, 'viewer')) end()
    } catch (error) {
      // A database that does not answer says nothing about the key.
      if (error instanceof ApiError) end()
    }
  }
  let withdraw: () => void = () => {}
  const lookLater = (): void => {
    withdraw = clock.after(LOOK_EVERY_MS, () => {
      lookLater()
      void look()
    })
  }
  lookLater()
  over.signal.addEventListener('abort', () => {
    withdraw()
    stopping.removeEventListener('abort', end)
  })
  if (hasGone.aborted || stopping.aborted) end()
  return over.signal
}
