/**
 * SIGTERM and SIGINT, from the first moment of a server on: one that comes while the server is still starting must not
 * leave behind what was started so far.
 */
export interface StopSignals {
  /** Resolves at the first signal: finish what is at work and end. */
  readonly asked: Promise<void>
  /** Resolves at the second one: do not wait. */
  readonly hurried: Promise<void>
}

export function listenForStop(): StopSignals {
  const asked = Promise.withResolvers<void>()
  const hurried = Promise.withResolvers<void>()
  let signals = 0
  const onSignal = (): void => {
    signals++
    if (signals === 1) asked.resolve()
    else hurried.resolve()
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  return { asked: asked.promise, hurried: hurried.promise }
}
