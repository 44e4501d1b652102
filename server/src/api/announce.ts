/**
 * Tells the owners of runs that something waits for them in the store.
 *
 * Nobody waits for that: a run whose announcement is lost is found by its wake time, within seconds (R6). A transport
 * that is away says so itself, once, and not for each run.
 */
import type { Log } from '../log.ts'
import { type SignalEnvelope, type Transport, TransportUnavailable } from '../transport/transport.ts'

export function announce(
  { transport, log }: { readonly transport: Transport; readonly log: Log },
  signals: readonly SignalEnvelope[],
): void {
  transport.signals.send(signals).catch((error: unknown) => {
    if (error instanceof TransportUnavailable) return
    const runId = signals[0]?.runId
    log.warn(
      { runId, runs: signals.length, error },
      'what waits for a run could not be announced; its owner finds it within seconds',
    )
  })
}
