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
  const refused = new AbortController()
  const signal = AbortSignal.any([gone(), stopping, refused.signal])
  const look = async (): Promise<void> => {
    try {
      const principal = await keys.principal(headers.authorization as string | undefined)
      if (!mayAct(principal, 'viewer')) refused.abort()
    } catch (error) {
      // A database that does not answer says nothing about the key.
      if (error instanceof ApiError) refused.abort()
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
  signal.addEventListener('abort', () => withdraw())
  return signal
}
